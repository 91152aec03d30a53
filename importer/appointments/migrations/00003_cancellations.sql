-- +goose Up
-- What this system cancelled. No foreign key: its check would wait for a person
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

-- Books a cancelled appointment again, unless that would override a person or there is another reason against it.
-- Returns 'restored'; 'settled' if a person has already acted on it; or the reason why a person must decide. It
-- waits for nobody: a person who holds the row or is booking the slot comes first.
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

-- apply.sql relies on read committed: each statement must see what others committed while the
-- statement before waited for a lock.
-- +goose StatementBegin
CREATE FUNCTION require_read_committed() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the appointments are reconciled at isolation level read committed only';
    END IF;
END $$;
-- +goose StatementEnd

-- If a kind is marked as post-mortem, the items of its appointments end, and a person must book cancelled ones
-- again. If the mark is removed, its live appointments that are not over after the death are listed.
-- +goose StatementBegin
CREATE FUNCTION follow_kind() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE worklist l SET resolved_at = clock_timestamp(), resolved_by = 'waybill'
    FROM appointment a
    WHERE a.kind = NEW.code AND l.appointment_id = a.id AND l.resolved_at IS NULL AND NOT l.urgent
      AND CASE WHEN NEW.post_mortem THEN l.reason NOT IN ('not_restored', 'rebooked', 'kind_stays') ELSE l.reason = 'kind_stays' END;
    INSERT INTO worklist AS l (reason, appointment_id, patient_id, death_no, raised_at)
    SELECT 'kind_stays', a.id, c.patient_id, c.death_no, clock_timestamp()
    FROM cancellation c JOIN appointment a ON (a.id, a.revision) = (c.appointment_id, c.revision)
    WHERE NEW.post_mortem AND a.kind = NEW.code AND a.status = 'cancelled' AND a.ends_at > clock_timestamp()
      AND c.restored_at IS NULL AND c.handed_over_at IS NULL
    UNION ALL
    SELECT 'booked_after_death', a.id, v.death_of, v.death_no, clock_timestamp()
    FROM vital v JOIN appointment a USING (patient_id)
    WHERE NEW.post_mortem IS NOT TRUE AND a.kind = NEW.code AND a.status IN ('booked', 'arrived') AND a.ends_at > clock_timestamp()
      AND v.dead AND a.starts_at >= least(v.death_earliest, v.known_at)
    ON CONFLICT (appointment_id, patient_id, death_no, reason) WHERE appointment_id IS NOT NULL
    DO UPDATE SET raised_at = excluded.raised_at, resolved_at = NULL, resolved_by = NULL
    WHERE l.resolved_by = 'waybill';
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER kind_decided AFTER UPDATE ON kind
FOR EACH ROW WHEN ((NEW.post_mortem IS TRUE) <> (OLD.post_mortem IS TRUE)) EXECUTE FUNCTION follow_kind();

-- +goose Down
DROP FUNCTION follow_kind CASCADE;
DROP FUNCTION require_read_committed, restore;
DROP TABLE cancellation;
