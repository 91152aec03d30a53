-- +goose Up
-- What people decided, and why. Rows are only added. Each holds the hash of the one before it, so a row
-- that was altered, removed or inserted later is found. Nothing is erased here: reasons must name no patient.
CREATE TABLE decision (
    id       bigint PRIMARY KEY,      -- 1, 2, 3 …; the trigger sets this and at, role, previous and hash
    at       timestamptz NOT NULL,
    kind     text NOT NULL,           -- the command: approve, pass, from-snapshot, resync, rerun, adopt; release, discard; pause, resume, cancel, run
    subject  text NOT NULL,           -- what it is about
    seen     text NOT NULL,           -- sha256 of the manifest that was looked at; '' where there is none
    reason   text NOT NULL CHECK (reason <> ''),
    person   text NOT NULL,           -- who decided, by their own account
    login    text NOT NULL,           -- the program's account on its machine
    role     text NOT NULL,           -- the account in this database
    previous text NOT NULL,           -- hash of the row before; '' in the first
    hash     text NOT NULL
);

CREATE FUNCTION decision_hash(d decision) RETURNS text LANGUAGE sql STABLE
RETURN encode(sha256(convert_to(jsonb_build_array(
    d.id, d.at AT TIME ZONE 'UTC', d.kind, d.subject, d.seen, d.reason, d.person, d.login, d.role, d.previous)::text, 'UTF8')), 'hex');

-- +goose StatementBegin
CREATE FUNCTION chain_decision() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(TG_RELID::bigint); -- one at a time: otherwise two could follow the same row
    SELECT coalesce(max(id), 0) + 1, coalesce((array_agg(hash ORDER BY id DESC))[1], '') INTO NEW.id, NEW.previous FROM decision;
    NEW.at := clock_timestamp();
    NEW.role := session_user;
    NEW.hash := decision_hash(NEW);
    RETURN NEW;
END $$;

CREATE FUNCTION keep_decision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what people decided can be neither changed nor deleted' USING ERRCODE = 'restrict_violation';
END $$;
-- +goose StatementEnd

CREATE TRIGGER chain BEFORE INSERT ON decision FOR EACH ROW EXECUTE FUNCTION chain_decision();
CREATE TRIGGER keep BEFORE UPDATE OR DELETE ON decision FOR EACH ROW EXECUTE FUNCTION keep_decision();
CREATE TRIGGER keep_all BEFORE TRUNCATE ON decision EXECUTE FUNCTION keep_decision();
ALTER TABLE decision ENABLE ALWAYS TRIGGER chain, ENABLE ALWAYS TRIGGER keep, ENABLE ALWAYS TRIGGER keep_all;

-- +goose Down
DROP TABLE decision CASCADE;
DROP FUNCTION chain_decision(), keep_decision();
