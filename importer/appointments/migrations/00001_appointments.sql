-- +goose Up
-- A death is (patient_id, death_no) throughout; an appointment's own patient_id is the record it
-- was booked for. Unqualified: the search_path is the consumer's schema.

CREATE TABLE kind (
    code        text PRIMARY KEY,
    description text NOT NULL,
    post_mortem boolean -- dated after a death by its nature: it stays. NULL: nobody has decided, and it does not
);
INSERT INTO kind (code, description, post_mortem) VALUES
    ('consultation', 'Consultation', false),
    ('followup', 'Follow-up', false),
    ('imaging', 'Imaging', false),
    ('laboratory', 'Laboratory test', false),
    ('surgery', 'Surgery', false),
    ('therapy', 'Therapy', false),
    ('vaccination', 'Vaccination', false),
    ('death_certification', 'Certification of a death', true),
    ('bereavement', 'Talk with the bereaved', true),
    ('autopsy', 'Autopsy', true);

CREATE TABLE appointment (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    patient_id          uuid NOT NULL,
    kind                text NOT NULL REFERENCES kind (code),
    resource            text NOT NULL,
    starts_at           timestamptz NOT NULL,
    ends_at             timestamptz NOT NULL CHECK (ends_at >= starts_at),
    status              text NOT NULL DEFAULT 'booked' CHECK (status IN ('booked', 'arrived', 'fulfilled', 'noshow', 'cancelled')),
    cancellation_reason text,
    booked_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    touched_at          timestamptz,                -- when a person last wrote it
    touched_by          text,
    revision            integer NOT NULL DEFAULT 0  -- grows with every update, whoever makes it
);
-- No two live appointments of a resource overlap. One without a length occupies its instant. The
-- resource is a range of one number, so that PostgreSQL needs no extension to compare it. Of two who
-- book the same start the index has one wait, where the constraint might have both wait for each other.
CREATE UNIQUE INDEX appointment_slot ON appointment (resource, starts_at) WHERE status IN ('booked', 'arrived');
ALTER TABLE appointment ADD CONSTRAINT appointment_slot_overlap EXCLUDE USING gist (
    int8range(hashtextextended(resource, 0) / 2, hashtextextended(resource, 0) / 2, '[]') WITH &&,
    tstzrange(starts_at, ends_at, CASE WHEN ends_at > starts_at THEN '[)' ELSE '[]' END) WITH &&)
    WHERE (status IN ('booked', 'arrived'));
CREATE INDEX appointment_patient ON appointment (patient_id);

-- What is known here of a record: whether its person is dead, by whose death, since when. Writers
-- of appointments hold its row FOR SHARE and the importer updates it before it looks for
-- appointments, so that of two at once the later one sees the other's work.
CREATE TABLE vital (
    patient_id     uuid PRIMARY KEY,
    dead           boolean NOT NULL DEFAULT false,
    death_of       uuid CHECK (NOT dead OR death_of IS NOT NULL), -- the survivor's id after a merge
    death_no       integer CHECK (NOT dead OR death_no IS NOT NULL),
    death_earliest timestamptz,
    death_latest   timestamptz,
    known_at       timestamptz CHECK (NOT dead OR known_at IS NOT NULL)
);

-- What this system cancelled. No foreign key, here and below: its check would wait for a person
-- who holds the appointment.
CREATE TABLE cancellation (
    appointment_id uuid NOT NULL,
    patient_id     uuid NOT NULL,
    death_no       integer NOT NULL,
    record_id      uuid NOT NULL,    -- the appointment's own patient_id
    cancelled_at   timestamptz NOT NULL,
    revision       integer NOT NULL, -- of the appointment, as the cancellation left it
    restored_at    timestamptz,
    handed_over_at timestamptz,      -- to a person, when the death was retracted
    asked          boolean NOT NULL DEFAULT false, -- a person was asked, and then the patient died again
    PRIMARY KEY (appointment_id, patient_id, death_no)
);
CREATE INDEX cancellation_record ON cancellation (record_id);

CREATE TABLE worklist (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason         text NOT NULL CHECK (reason IN (
        'missed', 'booked_after_death', 'not_cancelled', 'seen_after_death', 'kind_stays', -- of the dead
        'not_restored', 'rebooked',                                                        -- of those who live after all
        'merge_conflict', 'future_death')),                                                -- of the death itself
    detail         text,
    -- The patient may live: they came, or their death lies in the future. A person ends it, and no
    -- appointment's status does.
    urgent         boolean GENERATED ALWAYS AS (
        reason IN ('seen_after_death', 'future_death') OR coalesce(detail = 'arrived', false)) STORED,
    appointment_id uuid CHECK ((appointment_id IS NULL) = (reason IN ('merge_conflict', 'future_death'))),
    patient_id     uuid NOT NULL,
    death_no       integer NOT NULL,
    raised_at      timestamptz NOT NULL,
    resolved_at    timestamptz,
    resolved_by    text,             -- 'waybill' or a person
    outdated       boolean NOT NULL DEFAULT false -- of a death itself: its state has been another since it was resolved
);
CREATE UNIQUE INDEX worklist_appointment ON worklist (appointment_id, patient_id, death_no, reason) WHERE appointment_id IS NOT NULL;
CREATE UNIQUE INDEX worklist_conflict ON worklist (patient_id, death_no, reason) WHERE appointment_id IS NULL;
CREATE INDEX worklist_death ON worklist (patient_id);

-- A statement that sets touched_by names a person, be it the same as before. Only a trigger on that
-- column can tell; it says so to mark_touched by an empty touched_at.
-- +goose StatementBegin
CREATE FUNCTION name_toucher() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.touched_at := NULL;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER appointment_named BEFORE UPDATE OF touched_by ON appointment
FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION name_toucher();

-- Marks what a person writes: as the login, unless the statement names somebody else. It may not
-- name the importer.
-- +goose StatementBegin
CREATE FUNCTION mark_touched() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.revision := OLD.revision + 1;
    IF NOT applying() THEN
        NEW.touched_by := coalesce(CASE WHEN NEW.touched_at IS NULL THEN nullif(NEW.touched_by, 'waybill') END, session_user);
        NEW.touched_at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER appointment_touched BEFORE UPDATE ON appointment FOR EACH ROW EXECUTE FUNCTION mark_touched();

-- Puts what a person books for the dead, restores or moves to them, on the worklist at once, and those
-- of the dead who come, however late. Every write takes the lock, cancellations too: an importer then waits for the
-- person, and cancels or lists what they left. A row that is only rewritten is not booked again.
-- +goose StatementBegin
CREATE FUNCTION watch_the_dead() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    rewritten uuid[];
    came      uuid[];
BEGIN
    IF TG_OP = 'UPDATE' THEN
        came := ARRAY(SELECT w.id FROM written w JOIN was o USING (id, patient_id) WHERE w.status = 'arrived' AND o.status <> 'arrived');
        rewritten := ARRAY(SELECT w.id FROM written w JOIN was o USING (id, patient_id, kind, starts_at)
                           WHERE o.status IN ('booked', 'arrived'));
    END IF;
    INSERT INTO vital (patient_id) SELECT DISTINCT patient_id FROM written ORDER BY patient_id ON CONFLICT DO NOTHING;
    PERFORM FROM vital WHERE patient_id IN (SELECT patient_id FROM written) ORDER BY patient_id FOR SHARE;
    -- What a person has settled by their own write. It may come up again.
    UPDATE worklist l SET resolved_at = clock_timestamp(), resolved_by = 'waybill'
    FROM written w JOIN vital v USING (patient_id) JOIN kind k ON k.code = w.kind
    WHERE l.appointment_id = w.id AND l.resolved_at IS NULL
      AND CASE WHEN l.reason IN ('not_restored', 'kind_stays') THEN w.status <> 'cancelled'
               WHEN l.reason = 'rebooked' THEN w.status IN ('cancelled', 'noshow')
               WHEN (l.patient_id, l.death_no) IS DISTINCT FROM (v.death_of, v.death_no) THEN true
               WHEN l.urgent THEN false
               ELSE k.post_mortem OR w.status IN ('cancelled', 'noshow') END;
    INSERT INTO worklist AS l (reason, appointment_id, patient_id, death_no, raised_at)
    SELECT it.reason, w.id, v.death_of, v.death_no, clock_timestamp()
    FROM written w JOIN vital v USING (patient_id) JOIN kind k ON k.code = w.kind
    CROSS JOIN LATERAL (
        SELECT CASE WHEN w.id = ANY (came) OR w.status IN ('arrived', 'fulfilled') AND w.starts_at >= least(v.death_latest, v.known_at) THEN 'seen_after_death'
                    WHEN w.status IN ('booked', 'arrived') AND w.starts_at >= least(v.death_earliest, v.known_at)
                     AND NOT EXISTS (SELECT FROM unnest(rewritten) AS r (id) WHERE r.id = w.id) THEN 'booked_after_death' END AS reason) AS it
    WHERE v.dead AND k.post_mortem IS NOT TRUE AND it.reason IS NOT NULL
    ON CONFLICT (appointment_id, patient_id, death_no, reason) WHERE appointment_id IS NOT NULL
    DO UPDATE SET raised_at = excluded.raised_at, resolved_at = NULL, resolved_by = NULL
    WHERE l.resolved_by = 'waybill';
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER appointment_booked AFTER INSERT ON appointment
REFERENCING NEW TABLE AS written FOR EACH STATEMENT WHEN (NOT applying()) EXECUTE FUNCTION watch_the_dead();
CREATE TRIGGER appointment_changed AFTER UPDATE ON appointment
REFERENCING OLD TABLE AS was NEW TABLE AS written FOR EACH STATEMENT WHEN (NOT applying()) EXECUTE FUNCTION watch_the_dead();

-- Nobody can work off an item whose appointment is gone. That a patient came is still to be looked at.
-- +goose StatementBegin
CREATE FUNCTION end_items() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE worklist l SET resolved_at = clock_timestamp(), resolved_by = 'waybill'
    FROM removed r WHERE l.appointment_id = r.id AND l.resolved_at IS NULL AND NOT l.urgent;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER appointment_removed AFTER DELETE ON appointment
REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION end_items();

-- A kind that stays after a death, it turns out: what was cancelled of it is for a person to book again.
-- +goose StatementBegin
CREATE FUNCTION list_cancelled() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO worklist (reason, appointment_id, patient_id, death_no, raised_at)
    SELECT 'kind_stays', a.id, c.patient_id, c.death_no, clock_timestamp()
    FROM cancellation c JOIN appointment a ON (a.id, a.revision) = (c.appointment_id, c.revision)
    WHERE c.restored_at IS NULL AND c.handed_over_at IS NULL AND a.kind = NEW.code
      AND a.status = 'cancelled' AND a.ends_at > clock_timestamp()
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER kind_decided AFTER UPDATE ON kind
FOR EACH ROW WHEN (NEW.post_mortem AND OLD.post_mortem IS NOT TRUE) EXECUTE FUNCTION list_cancelled();

-- Books a cancelled appointment again if that overrides nobody, and nothing else speaks against it. Returns 'restored', or 'settled'
-- where a person has already acted on it, or else why it is theirs to decide. Never waits for a
-- person: one who holds the row or is booking the slot comes first.
-- +goose StatementBegin
CREATE FUNCTION restore(cancelled uuid, left_at integer, at timestamptz, against text) RETURNS text
LANGUAGE plpgsql SET search_path FROM CURRENT SET lock_timeout = '200ms' AS $$
DECLARE
    a appointment;
BEGIN
    SELECT * INTO a FROM appointment WHERE id = cancelled FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN CASE WHEN EXISTS (SELECT FROM appointment WHERE id = cancelled) THEN 'in use' ELSE 'settled' END;
    ELSIF a.status <> 'cancelled' THEN
        RETURN 'settled';
    ELSIF a.revision <> left_at THEN
        RETURN 'touched';
    ELSIF a.starts_at <= at THEN
        RETURN 'past';
    ELSIF against IS NOT NULL THEN
        RETURN against;
    END IF;
    UPDATE appointment SET status = 'booked', cancellation_reason = NULL
    WHERE id = cancelled AND status = 'cancelled' AND revision = left_at;
    RETURN 'restored';
EXCEPTION WHEN unique_violation OR exclusion_violation OR lock_not_available THEN
    RETURN 'slot taken';
END $$;
-- +goose StatementEnd

-- The steps of apply.sql rely on each statement seeing what was committed while the one before
-- waited for a lock.
-- +goose StatementBegin
CREATE FUNCTION require_read_committed() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the appointments are reconciled at isolation level read committed only';
    END IF;
END $$;
-- +goose StatementEnd

-- A person has dealt with an item.
-- +goose StatementBegin
CREATE PROCEDURE resolve(item bigint, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE worklist SET resolved_at = clock_timestamp(), resolved_by = person WHERE id = item AND resolved_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'worklist item % is not open', item;
    END IF;
END $$;
-- +goose StatementEnd

-- What a person has dealt with is theirs, by whatever name: what the importer settled may come back. The
-- triggers above settle items in staff's transactions.
-- +goose StatementBegin
CREATE FUNCTION name_resolver() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.resolved_by := session_user;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER worklist_resolved BEFORE UPDATE OF resolved_by ON worklist
    FOR EACH ROW WHEN (NEW.resolved_by = 'waybill' AND OLD.resolved_by IS DISTINCT FROM 'waybill' AND pg_trigger_depth() = 0 AND NOT applying())
    EXECUTE FUNCTION name_resolver();

-- +goose Down
DROP PROCEDURE resolve;
DROP FUNCTION require_read_committed, restore;
DROP TABLE worklist, cancellation, vital, appointment, kind;
DROP FUNCTION watch_the_dead, end_items, list_cancelled, mark_touched, name_toucher, name_resolver;
