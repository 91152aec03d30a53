package importer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/internal/connect"
	"waybill/internal/fault"
)

// reconcile runs the consumer's apply.sql, counts its effects and checks them against the brake. In
// observe mode its work is rolled back, and only the record of it is kept. If apply.sql sets the
// savepoint, the work before that stays.
func (l *load) reconcile(ctx context.Context) error {
	inner, err := l.tx.Begin(ctx)
	if err != nil {
		return err
	}
	if _, err := inner.Exec(ctx, `SAVEPOINT effects`); err != nil {
		return err
	}
	if _, err := inner.Conn().PgConn().Exec(ctx, l.consumer.apply).ReadAll(); err != nil {
		return l.applyFailed(err)
	}
	if err := l.countEffects(ctx); err != nil {
		return err
	}
	if l.config.Observe {
		if err := l.keepRecordOnly(ctx); err != nil {
			return err
		}
		return inner.Commit(ctx)
	}
	if err := inner.Commit(ctx); err != nil {
		return err
	}
	if _, err := l.tx.Exec(ctx, `DELETE FROM observed USING changed WHERE observed.patient_id = changed.patient_id`); err != nil {
		return err
	}
	return l.brake(ctx)
}

func (l *load) applyFailed(err error) error {
	return l.consumer.failed("apply.sql", err, "correct apply.sql or the consumer's tables; nothing of the batch was applied")
}

func (l *load) countEffects(ctx context.Context) error {
	rows, _ := l.tx.Query(ctx, `SELECT kind, count(*) FROM effect GROUP BY kind`)
	var kind string
	var count int64
	_, err := pgx.ForEachRow(rows, []any{&kind, &count}, func() error {
		if _, declared := l.consumer.Effects[kind]; !declared && kind != effectHistoric && kind != effectVanished && kind != effectErased {
			return fault.New(fault.Poison, "run", "apply.sql of "+l.consumer.Name, fmt.Errorf("effect %q is not declared", kind), "list it under effects in consumer.yaml")
		}
		l.summary.Effects[kind] = count
		return nil
	})
	return err
}

// keepRecordOnly rolls the effects back but keeps the rows that record them. It keeps them in the
// spool meanwhile, because there may be as many as the batch has rows.
func (l *load) keepRecordOnly(ctx context.Context) error {
	file, err := os.Create(filepath.Join(l.spool.Dir, "effects"))
	if err != nil {
		return fault.New(fault.Transient, "spool", "effects", err, "")
	}
	defer os.Remove(file.Name())
	defer file.Close()
	conn := l.tx.Conn()
	if _, err := conn.PgConn().CopyTo(ctx, file, `COPY effect TO STDOUT (FORMAT binary)`); err != nil {
		return err
	}
	if _, err := l.tx.Exec(ctx, `ROLLBACK TO SAVEPOINT effects`); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := l.tx.QueryRow(ctx, `WITH had AS (DELETE FROM effect RETURNING n) SELECT coalesce(max(n), 0) FROM had`).Scan(&l.done); err != nil {
		return err
	}
	if err := connect.CopyFrom(ctx, conn, file, `COPY effect FROM STDIN (FORMAT binary)`); err != nil {
		return err
	}
	_, err = l.tx.Exec(ctx, `INSERT INTO observed SELECT patient_id FROM changed ON CONFLICT DO NOTHING`)
	return err
}

// heldError is a batch that would have more effects in this run than the brake allows.
type heldError struct {
	at      exchange.Position
	command string // that loads it
	brake   int
	own     bool             // it has a separate brake
	effects map[string]int64 // of the braked kinds
}

func (e *heldError) Error() string {
	kinds := make([]string, 0, len(e.effects))
	for kind, count := range e.effects {
		kinds = append(kinds, fmt.Sprintf("%d %s", count, kind))
	}
	slices.Sort(kinds)
	return fmt.Sprintf("held: %s, and the brake is at %d", strings.Join(kinds, ", "), e.brake)
}

func (e *heldError) fault() error {
	hint := fmt.Sprintf("see `%s --dry-run`; if it is right, `%[1]s --approve %d@%s --reason TEXT`", e.command, e.at.Batch, Digits(e.at.Hash))
	if e.own {
		hint = "see it with --dry-run; if it is right, give this command a --brake of its own"
	}
	return fault.New(fault.Held, "load", fmt.Sprintf("batch %d", e.at.Batch), e, hint)
}

// brake holds a batch whose effects, with those of the run's earlier batches, are more than a
// run may have. An approved batch does not count.
func (l *load) brake(ctx context.Context) error {
	if l.config.Brake == 0 {
		return nil
	}
	if !l.mode.own() { // the approval was for what the batch did at that time
		approved, err := l.approved(ctx)
		if err != nil || approved {
			return err
		}
	}
	held := &heldError{at: l.batch.entry.Position(), command: l.consumer.command(), brake: l.config.Brake, own: l.mode.own(), effects: map[string]int64{}}
	over := !l.mode.own() && l.checkpoint.held == held.at.Batch // a batch that replaced a held one is held too
	for kind, count := range l.summary.Effects {
		if l.consumer.braked(kind) {
			held.effects[kind] = l.tally[kind] + count
			over = over || held.effects[kind] > int64(l.config.Brake)
		}
	}
	if over && l.dryRun == nil {
		return held
	}
	maps.Copy(l.tally, held.effects)
	return nil
}

func (l *load) approved(ctx context.Context) (bool, error) {
	err := l.tx.QueryRow(ctx, `SELECT reason, person FROM decision WHERE kind = 'approve' AND seen = $1 ORDER BY id DESC LIMIT 1`, l.batch.entry.Hash).
		Scan(&l.mode.reason, &l.mode.person)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// noteHeld records, outside the rolled-back load, that the batch waits for a person. It records
// nothing for a person's own command.
func (l *load) noteHeld(ctx context.Context, held *heldError) error {
	if held.own {
		return held.fault()
	}
	effects, err := json.Marshal(held.effects)
	if err != nil {
		return err
	}
	if _, err := l.conn.Exec(ctx, `UPDATE checkpoint SET held_batch = $1, held_effects = $2, seen_batch = $1, seen_hash = $3 WHERE batch = $1 - 1`,
		held.at.Batch, effects, held.at.Hash); err != nil {
		return fault.Database("hold", l.batch.name(), err)
	}
	return held.fault()
}
