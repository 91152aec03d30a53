-- +goose Up
-- Distinguishes the writes of people in a consumer's tables from those of the importer.

-- Whether the importer is writing, not a person. Anyone can set waybill.applying, so it counts only for a
-- role that may move the checkpoint. The body is bound to its table and functions at creation, so that a
-- caller's search_path can't change it.
-- +goose StatementBegin
CREATE FUNCTION applying() RETURNS boolean
LANGUAGE sql STABLE
RETURN current_setting('waybill.applying', true) IS NOT DISTINCT FROM 'on'
    AND has_table_privilege(session_user, 'checkpoint'::regclass, 'UPDATE');
-- +goose StatementEnd

-- The name that is stored with a person's write: the one they gave, or their login. Only the importer may use
-- the name waybill.
-- +goose StatementBegin
CREATE FUNCTION signed(name text) RETURNS text
LANGUAGE sql STABLE
RETURN coalesce(nullif(name, 'waybill'), session_user);
-- +goose StatementEnd

-- For a trigger BEFORE UPDATE OF touched_by that fires before the table's other triggers: a statement that sets
-- touched_by names a person, even if it is the same name as before. Only a trigger on that column can notice
-- this. It empties touched_at as a sign for the later triggers.
-- +goose StatementBegin
CREATE FUNCTION name_toucher() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.touched_at := NULL;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- For a trigger BEFORE UPDATE OF resolved_by: a person can't resolve anything under the name waybill, because items
-- that waybill resolved may come back. A consumer's triggers can, although they run in people's transactions.
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
