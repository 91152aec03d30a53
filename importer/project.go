package importer

import (
	"context"

	"waybill/schemas"
)

// append writes the new events into the consumer's table.
func (l *load) append(ctx context.Context) error {
	rows, completed := l.summary.Rows, int64(0)
	if !l.copied {
		var err error
		if rows, err = l.write(ctx, l.sql.append); err != nil {
			return err
		}
		if completed, err = l.complete(ctx); err != nil {
			return err
		}
		if err := l.forget(ctx); err != nil {
			return err
		}
	}
	l.summary.Changed, l.summary.Effects[effectAppended] = rows+completed, rows
	if l.detailed() {
		l.summary.Inserted, l.summary.Unchanged = rows, l.summary.Rows-rows-completed
	}
	return l.brake(ctx)
}

// project writes the newest states into the projection and notes whose changed.
func (l *load) project(ctx context.Context) error {
	if l.mode.resync != nil {
		if _, err := l.tx.Exec(ctx, l.sql.doubt); err != nil {
			return err
		}
	}
	if l.detailed() {
		if err := l.tx.QueryRow(ctx, foreseen).Scan(&l.summary.Inserted, &l.summary.Unchanged); err != nil {
			return err
		}
	}
	events, patients := "staging", touched
	if l.copied { // the table has the batch's patients and no others
		events, patients = "patient", "seen s RIGHT JOIN patient p USING (patient_id)"
		if _, err := l.tx.Exec(ctx, `INSERT INTO changed SELECT patient_id FROM patient`); err != nil {
			return err
		}
	} else if err := l.projectStaged(ctx); err != nil {
		return err
	}
	if err := l.tx.QueryRow(ctx, `SELECT count(*) FROM changed`).Scan(&l.summary.Changed); err != nil {
		return err
	}
	var more []string
	if l.erases() {
		more = append(more, l.sql.erasures.loaded, erasedEffects)
	}
	if m := l.batch.manifest(); l.mode.resync != nil || m.Kind == schemas.Snapshot && m.Generation > l.checkpoint.generation {
		more = append(more, unheard)
	}
	if l.mode.reapply {
		more = append(more, reapply)
	}
	for _, sql := range more {
		if _, err := l.tx.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := l.analyze(ctx, "changed"); err != nil {
		return err
	}
	_, err := l.tx.Exec(ctx, notice(events, patients))
	return err
}

func (l *load) projectStaged(ctx context.Context) error {
	projected, err := l.write(ctx, l.sql.project)
	if err != nil {
		return err
	}
	completed, err := l.complete(ctx)
	if err != nil {
		return err
	}
	if l.detailed() {
		l.summary.Unchanged -= projected + completed
	}
	if l.batch.manifest().Kind == schemas.Snapshot {
		_, err = l.tx.Exec(ctx, vanish)
	}
	return err
}

// detailed reports whether a person asked for the load and also wants to know what it left unchanged.
func (l *load) detailed() bool { return l.mode.own() || l.dryRun != nil }

// write runs a statement in the form that suits its table and returns the rows written. The
// checkpoint is locked, so nobody else fills the table meanwhile.
func (l *load) write(ctx context.Context, w write) (int64, error) {
	empty, err := l.empty(ctx, w.table)
	if err != nil {
		return 0, err
	}
	sql := w.merge
	switch {
	case empty:
		sql = w.fill
	case l.repeats():
		sql = w.again
	}
	tag, err := l.tx.Exec(ctx, sql)
	return tag.RowsAffected(), err
}

func (l *load) empty(ctx context.Context, table string) (empty bool, err error) {
	err = l.tx.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM "+table+")").Scan(&empty)
	return empty, err
}

// repeats reports whether the table may hold most of the batch: in a re-run, and in a snapshot.
func (l *load) repeats() bool { return l.mode.rerun || l.batch.manifest().Kind == schemas.Snapshot }

// complete fills columns that an older release left out, if the same state comes again.
func (l *load) complete(ctx context.Context) (int64, error) {
	if !l.repeats() {
		return 0, nil
	}
	tag, err := l.tx.Exec(ctx, l.sql.complete)
	return tag.RowsAffected(), err
}
