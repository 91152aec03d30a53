package importer

import "context"

// analyze lets the planner know how many rows a table has. Otherwise it assumes hundreds for any temporary table, and reads
// every patient for a batch of one event.
func (l *load) analyze(ctx context.Context, table string) error {
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
