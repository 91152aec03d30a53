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
		if rows, completed, err = l.appendStaged(ctx); err != nil {
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

func (l *load) appendStaged(ctx context.Context) (rows, completed int64, err error) {
	sql, err := l.form(ctx, l.sql.append)
	if err != nil {
		return 0, 0, err
	}
	tag, err := l.tx.Exec(ctx, sql)
	if rows = tag.RowsAffected(); err != nil || !l.repeats() {
		return rows, 0, err
	}
	tag, err = l.tx.Exec(ctx, l.sql.complete)
	return rows, tag.RowsAffected(), err
}

// project writes the newest states into the projection and notes whose changed.
func (l *load) project(ctx context.Context) error {
	if l.mode.resync != nil {
		if _, err := l.tx.Exec(ctx, l.sql.doubt); err != nil {
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
	if err := l.analyze(ctx, "changed", l.summary.Changed); err != nil {
		return err
	}
	rows, _ := l.tx.Query(ctx, notice(events, patients)) // prepared, unlike by Exec
	rows.Close()
	return rows.Err()
}

func (l *load) projectStaged(ctx context.Context) error {
	sql, err := l.form(ctx, l.sql.project)
	if err != nil {
		return err
	}
	var written, inserted int64
	if err := l.tx.QueryRow(ctx, sql).Scan(&written, &inserted); err != nil {
		return err
	}
	if l.detailed() {
		l.summary.Inserted = inserted
		if err := l.tx.QueryRow(ctx, `SELECT count(DISTINCT patient_id) - $1 FROM staging`, written).Scan(&l.summary.Unchanged); err != nil {
			return err
		}
	}
	if l.batch.manifest().Kind == schemas.Snapshot {
		_, err = l.tx.Exec(ctx, vanish)
	}
	return err
}

// detailed reports whether a person asked for the load and also wants to know what it left unchanged.
func (l *load) detailed() bool { return l.mode.own() || l.dryRun != nil }

// form returns the form of the statement that suits its table. The checkpoint is locked, so nobody else fills the table
// meanwhile.
func (l *load) form(ctx context.Context, w write) (string, error) {
	empty, err := l.empty(ctx, w.table)
	switch {
	case empty:
		return w.fill, err
	case l.repeats():
		return w.again, err
	}
	return w.merge, err
}

func (l *load) empty(ctx context.Context, table string) (empty bool, err error) {
	err = l.tx.QueryRow(ctx, "SELECT NOT EXISTS (SELECT FROM "+table+")").Scan(&empty)
	return empty, err
}

// repeats reports whether the table may hold most of the batch: in a re-run, and in a snapshot.
func (l *load) repeats() bool { return l.mode.rerun || l.batch.manifest().Kind == schemas.Snapshot }
