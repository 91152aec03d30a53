package importer

import "context"

// makeTables makes the batch's tables and what the consumer prepares, if the connection does not have them. A run that finds
// nothing new makes none.
func (l *load) makeTables(ctx context.Context) error {
	if l.sampled == nil {
		l.sampled = map[string]bool{}
		if _, err := l.tx.Exec(ctx, l.sql.temporary); err != nil {
			return err
		}
		if _, err := l.tx.Exec(ctx, l.consumer.prepare); err != nil {
			return l.consumer.failed("prepare.sql", err, "correct prepare.sql or the consumer's tables; nothing of the batch was applied")
		}
	}
	_, err := l.tx.Exec(ctx, l.sql.emptied) // the transaction may hold the rows of an earlier batch
	return err
}

// fewRows are what a plan for one row is good for, too.
const fewRows = 100

// analyze lets the planner know how many rows a temporary table has. Otherwise it assumes hundreds for any, and reads every
// patient for a batch of one event. It scales what it knows by the table's size, so statistics of few rows stay right while
// there are few, and so do the plans that the connection keeps: these are made anew after ANALYZE.
func (l *load) analyze(ctx context.Context, table string, rows int64) error {
	few := rows <= fewRows
	if few && l.sampled[table] {
		return nil
	}
	l.sampled[table] = few
	_, err := l.tx.Exec(ctx, "ANALYZE "+table)
	return err
}

// manyRows is how many rows a batch changes before the planner's statistics of a consumer's tables may be wrong. Autovacuum
// updates them within minutes, but the next batch comes at once.
const manyRows = 20_000

// grown analyses the consumer's tables after a large batch. An appending consumer's rows are found by their key, and no plan
// depends on statistics.
func (l *load) grown(ctx context.Context) error {
	if l.summary.Changed <= manyRows || l.consumer.Append != "" {
		return nil
	}
	_, err := l.tx.Exec(ctx, `DO $$
		DECLARE tab regclass;
		BEGIN
		    FOR tab IN SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') ORDER BY oid LOOP
		        EXECUTE format('ANALYZE %s', tab);
		    END LOOP;
		END $$`)
	return err
}
