package importer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/crashpoint"
	"waybill/internal/fault"
	"waybill/internal/span"
	"waybill/schemas/part"
)

// load is one batch on its way into the database, in one transaction.
type load struct {
	*session
	batch   *fetched
	tx      pgx.Tx
	mode    loadMode
	took    time.Duration // without the commit
	copied  bool          // the batch was copied straight into its table: staging is empty
	summary BatchSummary
	done    int64 // in mode observe, the number of the last effect that was applied, not only observed
}

// loadMode distinguishes the first load of a batch from a re-run.
type loadMode struct {
	rerun   bool      // leave the checkpoint where it is
	reapply bool      // reconcile all of the batch's patients, not only those whose state changed
	resync  *Decision // make the states equal to the snapshot's
	// observed has no batch: it reconciles the patients for whom mode observe left something undone.
	observed bool
	reason   string
	person   string
}

// own reports whether a person commanded the load: it has a separate brake and can't be approved.
func (m loadMode) own() bool { return m.rerun || m.resync != nil }

// load applies fetched batches whole, in one transaction, or leaves no trace of them. It refuses tables that
// were migrated during the run. If they are migrated later, a new column stays empty until this run ends.
func (s *session) load(ctx context.Context, mode loadMode, batches ...*fetched) (err error) {
	tx, err := s.database().Begin(ctx)
	if err != nil {
		return fault.Database("begin", batches[0].name(), err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	tally, sampled := maps.Clone(s.tally), maps.Clone(s.sampled)
	defer func() {
		if err != nil {
			clear(s.tally)
			maps.Copy(s.tally, tally)
			s.sampled = sampled
		}
	}()
	if err := s.consumer.CheckTables(ctx, tx); err != nil {
		return err
	}
	loads := make([]*load, len(batches))
	for i, batch := range batches {
		loads[i] = s.newLoad(tx, batch, mode)
		if err := loads[i].traced(ctx); err != nil {
			return err
		}
	}
	crashpoint.Here("import.4-before-commit")
	committing := time.Now()
	if err := tx.Commit(ctx); err != nil {
		err = fault.Database("commit", batches[0].name(), err)
		for _, batch := range batches {
			batch.err = err
		}
		return err
	}
	crashpoint.Here("import.4-after-commit")
	share := time.Since(committing) / time.Duration(len(loads))
	for _, l := range loads {
		l.committed(share)
	}
	return nil
}

func (s *session) newLoad(tx pgx.Tx, batch *fetched, mode loadMode) *load {
	l := &load{session: s, batch: batch, tx: tx, mode: mode}
	m := batch.manifest()
	l.summary = BatchSummary{Batch: m.Batch, Manifest: batch.entry.Hash, Kind: m.Kind, Bytes: batch.bytes(), Effects: map[string]int64{}, WindowFrom: m.Window.From.Time, WindowTo: m.Window.To.Time}
	return l
}

// traced runs the load as a span of the batch's trace.
func (l *load) traced(ctx context.Context) (err error) {
	began := time.Now()
	ctx, loading := span.Start(l.batch.within(ctx), "load")
	defer func() {
		l.batch.err = err
		span.End(loading, err)
	}()
	if err := l.run(ctx); err != nil {
		return l.failed(ctx, err)
	}
	l.took = time.Since(began)
	loading.SetAttributes(span.Events.Int64(l.summary.Rows), span.Changed.Int64(l.summary.Changed))
	return nil
}

func (l *load) run(ctx context.Context) error {
	for _, step := range l.steps() {
		if err := step.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step is one step of the load, and a span of its trace.
type step struct {
	name string
	do   func(context.Context) error
}

func (l *load) steps() []step {
	if l.mode.observed {
		return []step{{"begin", l.begin}, {"lock checkpoint", l.lock}, {"apply", l.applyObserved}, {"settle", l.settle}}
	}
	if l.batch.heartbeat() {
		return []step{{"begin", l.begin}, {"lock checkpoint", l.lock}, {"settle", l.settle}}
	}
	return []step{{"begin", l.begin}, {"lock checkpoint", l.lock}, {"copy", l.stage}, {"apply", l.apply}, {"settle", l.settle}, {"grown", l.grown}}
}

func (s step) run(ctx context.Context) (err error) {
	ctx, taking := span.Start(ctx, s.name)
	defer func() { span.End(taking, err) }()
	return s.do(ctx)
}

// failed rolls back and, for a held batch, notes that it is held.
func (l *load) failed(ctx context.Context, err error) error {
	if held, ok := errors.AsType[*heldError](err); ok && l.dryRun == nil {
		if rollback := l.tx.Rollback(ctx); rollback != nil {
			return fault.Database("roll back", l.batch.name(), rollback)
		}
		return l.noteHeld(ctx, held)
	}
	return fault.Database("load", l.batch.name(), err)
}

// begin makes the batch's tables and stores the run's settings for the later statements.
func (l *load) begin(ctx context.Context) error {
	now, err := l.now(ctx)
	if err := errors.Join(err, l.makeTables(ctx)); err != nil {
		return err
	}
	var actWithin *time.Duration
	if l.config.ActWithin != Unlimited {
		actWithin = &l.config.ActWithin
	}
	m := l.batch.manifest()
	if _, err = l.tx.Exec(ctx, `INSERT INTO run (batch, generation, kind, now, act_within, zone) VALUES ($1, $2, $3, $4, $5, $6)`,
		m.Batch, m.Generation, m.Kind, now, actWithin, l.config.Zone.String()); err != nil {
		return err
	}
	return l.analyze(ctx, "run", 1)
}

// stage copies the subscribed rows into the staging table, or straight into their own.
func (l *load) stage(ctx context.Context) (err error) {
	if l.copied, err = l.copyStraight(ctx); err != nil || l.copied {
		return err
	}
	if err := l.copy(ctx, l.sql.copy); err != nil {
		return err
	}
	return l.analyze(ctx, "staging (patient_id, event)", l.summary.Rows) // analyzing wide columns would take longest, and no plan uses them
}

func (l *load) copy(ctx context.Context, sql string) error {
	stream := part.NewStream(l.contract, part.Options{Events: l.consumer.Events, Quarantine: l.config.QuarantineRows}, l.batch.parts()...)
	defer stream.Close()
	source := &source{stream: stream, left: mostUnpacked(l.batch.bytes())}
	err := connect.CopyFrom(ctx, l.tx.Conn(), source, sql)
	if source.err != nil {
		return fault.New(fault.Poison, "read", l.batch.name(), source.err,
			"ask the producer; if the batch cannot be repaired, `waybill export --snapshot` at the producer and `"+l.consumer.command()+" --pass N` here leave it behind")
	}
	if err != nil {
		return err
	}
	l.summary.Rows = stream.Rows()
	return l.quarantine(ctx, stream.Bad())
}

func (l *load) quarantine(ctx context.Context, bad []part.BadRow) error {
	// A re-run finds the same rows again.
	if _, err := l.tx.Exec(ctx, `DELETE FROM quarantine WHERE batch = $1`, l.summary.Batch); err != nil {
		return err
	}
	for _, row := range bad {
		if _, err := l.tx.Exec(ctx, `INSERT INTO quarantine (batch, part, row, column_name, reason, patient_id, at)
			SELECT batch, $1, $2, $3, $4, nullif($5, '')::uuid, now FROM run`, row.Part, row.Row, row.Column, row.Reason, row.PatientID); err != nil {
			return err
		}
	}
	l.summary.Quarantined = int64(len(bad))
	return nil
}

// lock makes this the only load, and checks that the checkpoint is the one the batch follows.
func (l *load) lock(ctx context.Context) error {
	var batch int64
	var hash string
	var sealed bool
	if err := l.tx.QueryRow(ctx, `SELECT batch, hash, sealed FROM checkpoint FOR UPDATE`).Scan(&batch, &hash, &sealed); err != nil {
		return err
	}
	if sealed && !l.mode.rerun && l.batch.lies(false) && l.summary.Batch >= l.config.Open.From {
		return fault.New(fault.Poison, "load", l.batch.name(), errNotSealed, "ask the producer whether it has stopped sealing: anybody who reads the store can read this batch. "+
			fmt.Sprintf("If that is meant, set open.from to %d", l.summary.Batch+1))
	}
	if l.mode.resync != nil {
		return l.rewind(ctx)
	}
	m := l.batch.manifest()
	if !l.mode.rerun && (batch != m.Batch-1 || hash != m.Previous && m.Batch > 0) {
		return fault.New(fault.Transient, "load", l.batch.name(), fmt.Errorf("the checkpoint is at batch %d: another importer has moved it", batch), "")
	}
	return nil
}

var errNotSealed = errors.New("a part is not sealed, and earlier ones were")

// apply writes the new states into the projection and runs the consumer's SQL on the changes.
func (l *load) apply(ctx context.Context) error {
	if err := l.blank(ctx); err != nil {
		return err
	}
	if l.consumer.Append != "" {
		return l.append(ctx)
	}
	if err := l.project(ctx); err != nil {
		return err
	}
	return l.reconcile(ctx)
}

func (l *load) applyObserved(ctx context.Context) error {
	if _, err := l.tx.Exec(ctx, `INSERT INTO changed SELECT patient_id FROM observed JOIN patient USING (patient_id)`); err != nil {
		return err
	}
	return l.reconcile(ctx)
}

// source keeps the error that ends a stream, because COPY returns it only as text from the server.
type source struct {
	stream io.Reader
	left   int64 // bytes that may still come
	err    error
}

// mostUnpacked is how many bytes of COPY a packed part may yield. Rows that people wrote grow tenfold;
// rows of one patient who was changed many times grow a hundredfold.
func mostUnpacked(packed int64) int64 { return 16<<20 + 250*packed }

func (s *source) Read(p []byte) (int, error) {
	n, err := s.stream.Read(p)
	if s.left -= int64(n); s.left < 0 {
		err = errors.New("its parts unpack to more than 250 times their size")
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	crashpoint.Here("import.4-copy")
	return n, err
}
