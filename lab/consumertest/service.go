// Package consumertest runs a consumer's folder on a database that the importer has migrated. Its
// load does only what apply.sql relies on: it fills the projection, the notices and the batch's
// temporary tables. Tests say which states a batch has, and when it runs and commits.
package consumertest

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"waybill/importer"
	"waybill/lab/pg/pgtest"
)

// ActWithin is the age beyond which a death is historic, unless a batch saw the patient die.
const ActWithin = 30 * 24 * time.Hour

// Service is one consumer's service: its database, and the importer that loads it.
type Service struct {
	Now  time.Time // of the next batch
	Zone string    // of the site

	t        testing.TB
	url      string
	consumer *importer.Consumer
	apply    string
	check    string // reconcile.sql
	importer *pgx.Conn
	staff    *pgx.Conn
	versions map[string]int64
}

// Effect is one thing that apply.sql recorded.
type Effect struct {
	Kind, PatientID string
	DeathNo         int
	Subject         string
}

// New sets up the consumer whose folder is given, in a database of its own.
func New(t testing.TB, folder fs.FS) *Service {
	t.Helper()
	consumer, err := importer.LoadConsumer(folder)
	if err != nil {
		t.Fatal(err)
	}
	text := func(name string) string {
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	s := &Service{
		Now: time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC), Zone: "UTC",
		t: t, consumer: consumer, apply: text("apply.sql"), check: text("reconcile.sql"), versions: map[string]int64{},
	}
	s.url = pgtest.Database(t, func(ctx context.Context, url string) error { return prepare(ctx, url, consumer, folder) }, consumer.Name)
	s.importer, s.staff = s.Connect(), s.Connect()
	if _, err := s.importer.Exec(t.Context(), batchTables+text("prepare.sql")); err != nil {
		t.Fatal(err)
	}
	return s
}

// prepare migrates up, down and up again.
func prepare(ctx context.Context, url string, consumer *importer.Consumer, folder fs.FS) error {
	if err := importer.Migrate(ctx, url, consumer); err != nil {
		return err
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	config.RuntimeParams["search_path"] = consumer.Name + ", pg_temp"
	db := stdlib.OpenDB(*config)
	defer db.Close()
	migrations, err := fs.Sub(folder, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithTableName("migration"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if _, err := provider.DownTo(ctx, 0); err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// Connect opens a session as the service's own role, for the importer or a member of staff. It
// is closed at the test's end.
func (s *Service) Connect() *pgx.Conn {
	s.t.Helper()
	config, err := pgx.ParseConfig(s.url)
	if err != nil {
		s.t.Fatal(err)
	}
	config.RuntimeParams["search_path"] = s.consumer.Name
	config.RuntimeParams["timezone"] = "UTC"
	config.RuntimeParams["client_min_messages"] = "warning"
	conn, err := pgx.ConnectConfig(s.t.Context(), config)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Exec runs a statement as a member of staff.
func (s *Service) Exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.staff.Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// Importer runs a statement in the importer's session, between batches.
func (s *Service) Importer(sql string) {
	s.t.Helper()
	if _, err := s.importer.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
}

// Rows returns a query's rows as text, columns parted by a space; NULL is "-".
func (s *Service) Rows(sql string, args ...any) []string {
	s.t.Helper()
	rows, err := s.staff.Query(s.t.Context(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...)
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		values := make([]string, len(row.RawValues()))
		for i, raw := range row.RawValues() {
			if values[i] = string(raw); raw == nil {
				values[i] = "-"
			}
		}
		return strings.Join(values, " "), nil
	})
	if err != nil {
		s.t.Fatalf("%s: %v", sql, err)
	}
	return found
}

// Apply loads a batch with these states and returns what apply.sql recorded, sorted.
func (s *Service) Apply(states ...State) []Effect {
	s.t.Helper()
	batch := s.Begin(states...)
	if err := batch.Run(); err != nil {
		s.t.Fatal(err)
	}
	return batch.Commit()
}

// Reapply makes apply.sql reconcile every known patient.
func (s *Service) Reapply() []Effect {
	s.t.Helper()
	batch := s.BeginAll()
	if err := batch.Run(); err != nil {
		s.t.Fatal(err)
	}
	return batch.Commit()
}

// BeginAll opens a load in which every patient that is known counts as changed.
func (s *Service) BeginAll() *Batch {
	s.t.Helper()
	batch := s.Begin()
	batch.exec(`INSERT INTO changed SELECT patient_id FROM patient`)
	return batch
}

// Found returns what reconcile.sql finds: "kind patient".
func (s *Service) Found() []string {
	s.t.Helper()
	return s.Rows(s.check)
}

// Examined returns what doctor says of this name: "value: advice".
func (s *Service) Examined(name string) (said []string) {
	s.t.Helper()
	facts, err := importer.Examine(s.t.Context(), s.url, s.consumer)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, fact := range facts {
		if fact.Name == name {
			said = append(said, fact.Value+": "+fact.Advice)
		}
	}
	return said
}

// Settled fails the test if reconciling everybody once more has an effect.
func (s *Service) Settled() {
	s.t.Helper()
	if again := s.Reapply(); len(again) > 0 {
		s.t.Errorf("a second run had effects: %v", again)
	}
}

// Batch is a load whose transaction is open.
type Batch struct {
	s  *Service
	tx pgx.Tx
}

// Begin opens a load and writes the states into the projection: everything before apply.sql.
func (s *Service) Begin(states ...State) *Batch {
	s.t.Helper()
	tx, err := s.importer.Begin(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	b := &Batch{s: s, tx: tx}
	b.exec(`INSERT INTO run (batch, generation, kind, now, zone) VALUES (1, 1, 'changes', $1, $2)`, s.Now, s.Zone)
	for _, state := range states {
		b.project(state)
	}
	b.exec(`INSERT INTO notice AS n SELECT p.patient_id, p.death_no, run.now,
			(p.baseline OR p.event <> 'died') AND coalesce(p.death_latest < run.now - $1::interval, true)
		FROM run, changed JOIN patient p USING (patient_id)
		WHERE p.death_status IN ('informal', 'formal') ON CONFLICT (patient_id, death_no)
		DO UPDATE SET noticed_at = excluded.noticed_at, historic = false WHERE n.historic AND NOT excluded.historic`, ActWithin)
	return b
}

const batchTables = `
	CREATE TEMP TABLE run (batch bigint, generation integer, kind text, now timestamptz, act_within interval, zone text) ON COMMIT DELETE ROWS;
	CREATE TEMP TABLE changed (patient_id uuid) ON COMMIT DELETE ROWS;
	CREATE TEMP TABLE effect (kind text NOT NULL, patient_id uuid, death_no integer, subject text) ON COMMIT DELETE ROWS;
	CREATE FUNCTION pg_temp.sample(tab regclass) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE format(''ANALYZE %s'', tab); END';`

// project writes a state with the columns that the consumer has.
func (b *Batch) project(state State) {
	b.s.t.Helper()
	version := state.Version
	if version == 0 {
		version = b.s.versions[state.ID] + 1
	}
	b.s.versions[state.ID] = max(version, b.s.versions[state.ID])
	row := map[string]any{
		"event": state.Event, "baseline": state.Baseline, "patient_id": state.ID, "generation": 1, "version": version, "revision": 0,
		"recorded_at": b.s.Now, "death_no": state.DeathNo, "death_status": state.DeathStatus, "death_earliest": state.Earliest,
		"death_latest": state.Latest, "death_precision": state.Precision, "merged_into": state.MergedInto, "identifiers": state.Identifiers,
		"family_name": state.Family, "given_name": state.Given, "birth_date": state.BirthDate, "address_line": state.Line,
		"address_city": state.City, "address_postcode": state.Postcode,
	}
	columns := b.s.consumer.Contract().ColumnNames()
	var places, incoming []string
	var values []any
	for i, column := range columns {
		places, incoming, values = append(places, fmt.Sprintf("$%d", i+1)), append(incoming, "excluded."+column), append(values, row[column])
	}
	b.exec(fmt.Sprintf(`
		WITH projected AS (
			INSERT INTO patient AS p (%[1]s) VALUES (%[2]s)
			ON CONFLICT (patient_id) DO UPDATE SET (%[1]s) = ROW (%[3]s)
			WHERE (excluded.generation, excluded.version, excluded.revision) > (p.generation, p.version, p.revision)
			RETURNING patient_id)
		INSERT INTO changed SELECT patient_id FROM projected EXCEPT SELECT patient_id FROM changed`,
		strings.Join(columns, ", "), strings.Join(places, ", "), strings.Join(incoming, ", ")), values...)
}

func (b *Batch) exec(sql string, args ...any) {
	b.s.t.Helper()
	if _, err := b.tx.Exec(b.s.t.Context(), sql, args...); err != nil {
		b.s.t.Fatalf("%s: %v", sql, err)
	}
}

// Run runs apply.sql; several goroutines of a test may run at the same time.
func (b *Batch) Run() error {
	_, err := b.tx.Conn().PgConn().Exec(b.s.t.Context(), b.s.apply).ReadAll()
	return err
}

// Commit ends the load and returns its effects, sorted.
func (b *Batch) Commit() []Effect {
	b.s.t.Helper()
	rows, err := b.tx.Query(b.s.t.Context(),
		`SELECT kind, patient_id::text, death_no, coalesce(subject, '') FROM effect ORDER BY kind, patient_id, death_no, subject`)
	if err != nil {
		b.s.t.Fatal(err)
	}
	effects, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Effect])
	if err != nil {
		b.s.t.Fatal(err)
	}
	for _, effect := range effects {
		if _, ok := b.s.consumer.Effects[effect.Kind]; !ok {
			b.s.t.Errorf("effect %q is not declared in consumer.yaml", effect.Kind)
		}
	}
	if err := b.tx.Commit(b.s.t.Context()); err != nil {
		b.s.t.Fatal(err)
	}
	return effects
}

// waiting returns once the backend waits for a lock that another holds.
func (s *Service) waiting(pid uint32) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	defer cancel()
	for waiting := false; !waiting; {
		if err := s.staff.QueryRow(ctx, `SELECT cardinality(pg_blocking_pids($1)) > 0`, pid).Scan(&waiting); err != nil {
			s.t.Fatalf("backend never waited: %v", err)
		}
	}
}

// Kinds returns the effects' kinds, in order.
func Kinds(effects []Effect) []string {
	kinds := make([]string, len(effects))
	for i, effect := range effects {
		kinds[i] = effect.Kind
	}
	slices.Sort(kinds)
	return kinds
}

// BeginMany opens a load in which n patients changed, of whom one in deadEvery is dead and one in
// 50 of the others retired by a merge. Ids start above those of [Patient].
func (s *Service) BeginMany(n, deadEvery int) *Batch {
	s.t.Helper()
	b, columns, values := s.Begin(), "", ""
	if !s.consumer.Slim {
		columns = ", identifiers, family_name, given_name, birth_date, address_line"
		values = `, '[{"authority": "hospital", "type": "MR", "value": "1"}]', 'Family' || i, 'Given' || i, '1950-02-03', 'Street'`
	}
	b.exec(`WITH projected AS (
		INSERT INTO patient (event, baseline, patient_id, generation, version, revision, recorded_at, death_no, death_status,
			death_earliest, death_latest, death_precision, merged_into`+columns+`)
		SELECT 'merged', false, gen_random_uuid(), 1, 1, 0, run.now, dead::integer, CASE WHEN dead THEN 'informal' ELSE 'none' END,
			CASE WHEN dead THEN run.now END, CASE WHEN dead THEN run.now + interval '1 minute' END, CASE WHEN dead THEN 'minute' END,
			CASE WHEN NOT dead AND i % 50 = 0 THEN gen_random_uuid() END`+values+`
		FROM run, generate_series(1, $1) i, LATERAL (SELECT i % $2 = 0 AS dead) AS it
		RETURNING patient_id, death_no, death_status),
	noticed AS (
		INSERT INTO notice SELECT patient_id, death_no, run.now, false FROM projected, run WHERE death_status = 'informal')
	INSERT INTO changed SELECT patient_id FROM projected`, n, deadEvery)
	return b
}
