-- +goose Up
-- The floors that this database has published. The batches below a floor were this database's, and must not be mistaken
-- for another database's.
CREATE TABLE exporter.floor (
    stream       text NOT NULL,
    batch        bigint NOT NULL CHECK (batch BETWEEN 1 AND 999999999999), -- the oldest that stays
    snapshot     bigint NOT NULL CHECK (snapshot >= batch),
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (stream, batch)
);

-- prune_outbox looks at the outbox's next rows after a position and deletes the old events among them. It returns how
-- many it deleted, how many of the rows were exported below the batch, and the last row's position (NULL if there was
-- no row). An event is old if it was exported below the batch, and so was a newer one of the same patient. So each
-- patient's last event stays, with which the next change is compared, and so does everything from which the batch and
-- later ones, snapshots included, can be written again; of other streams, everything after their oldest plans. It
-- refuses a batch behind the newest snapshot. Each call is a transaction of its own, and blocks no one, for events
-- are not updated.
-- +goose StatementBegin
CREATE FUNCTION exporter.prune_outbox(
    of_stream text, below bigint, behind bigint, number integer, dry_run boolean,
    OUT pruned bigint, OUT exported bigint, OUT last bigint
) LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    before pg_snapshot[];
BEGIN
    SELECT array_agg(p.cursor_before) INTO before FROM exporter.plan p WHERE p.stream = of_stream AND p.batch = below;
    IF before IS NULL OR NOT EXISTS (
        SELECT FROM exporter.plan p WHERE p.stream = of_stream AND p.batch >= below AND p.kind = 'snapshot' AND p.published_at IS NOT NULL) THEN
        RAISE EXCEPTION 'no snapshot makes up for the events below batch %', below
            USING ERRCODE = 'restrict_violation', HINT = 'publish one with `waybill export --snapshot`';
    END IF;
    before := before || ARRAY(SELECT s.cursor_before FROM exporter.stream s WHERE s.stream <> of_stream);
    WITH looked AS MATERIALIZED (
        SELECT o.position, o.patient_id, o.version, (SELECT bool_and(pg_visible_in_snapshot(o.tx, b)) FROM unnest(before) b) AS exported
        FROM patients.outbox o WHERE o.position > behind ORDER BY o.position LIMIT number),
    old AS MATERIALIZED (
        SELECT l.position FROM looked l
        WHERE l.exported AND EXISTS (
            SELECT FROM patients.outbox newer
            WHERE newer.patient_id = l.patient_id AND newer.version > l.version AND (SELECT bool_and(pg_visible_in_snapshot(newer.tx, b)) FROM unnest(before) b))),
    gone AS (
        DELETE FROM patients.outbox o USING old WHERE o.position = old.position AND NOT dry_run)
    SELECT (SELECT count(*) FROM old), count(*) FILTER (WHERE l.exported), max(l.position)
    INTO pruned, exported, last FROM looked l;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION exporter.prune_outbox(text, bigint, bigint, integer, boolean) FROM PUBLIC;
