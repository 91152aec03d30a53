-- +goose Up
-- Tells what people write in a consumer's tables from what the importer writes.

-- Whether the importer itself is writing, and not a person. Anyone can set waybill.applying, so it counts
-- only for a role that may move the checkpoint. The body is bound to its table and functions here:
-- no caller's search_path changes it.
-- +goose StatementBegin
CREATE FUNCTION applying() RETURNS boolean
LANGUAGE sql STABLE
RETURN current_setting('waybill.applying', true) IS NOT DISTINCT FROM 'on'
    AND has_table_privilege(session_user, 'checkpoint'::regclass, 'UPDATE');
-- +goose StatementEnd

-- The name that a person's write is kept under: the one they gave, or their login. Only the importer is waybill.
-- +goose StatementBegin
CREATE FUNCTION signed(name text) RETURNS text
LANGUAGE sql STABLE
RETURN coalesce(nullif(name, 'waybill'), session_user);
-- +goose StatementEnd

-- For a trigger BEFORE UPDATE OF touched_by that fires before the table's other triggers: a statement that sets
-- touched_by names a person, even if it is the same name as before. Only a trigger on that column can tell;
-- it empties touched_at to say so.
-- +goose StatementBegin
CREATE FUNCTION name_toucher() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.touched_at := NULL;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- For a trigger BEFORE UPDATE OF resolved_by: no person settles anything as waybill, since what waybill settled
-- may come back. A consumer's triggers may: they run in people's transactions.
-- +goose StatementBegin
CREATE FUNCTION name_resolver() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF OLD.resolved_by IS DISTINCT FROM 'waybill' AND pg_trigger_depth() = 1 AND NOT applying() THEN
        NEW.resolved_by := signed(NEW.resolved_by);
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION name_resolver, name_toucher, signed, applying;
