-- +goose Up
-- Who is dead, and the appointments that are a person's to decide for that reason.

-- What this service knows of a record: whether its person is dead, by whose death, since when.
-- Writers of appointments hold its row FOR SHARE. The importer updates the row before it looks for
-- appointments. So if both write at once, the later one sees the other's work.
CREATE TABLE vital (
    patient_id     uuid PRIMARY KEY,
    dead           boolean NOT NULL DEFAULT false,
    death_of       uuid CHECK (NOT dead OR death_of IS NOT NULL), -- the survivor's id after a merge
    death_no       integer CHECK (NOT dead OR death_no IS NOT NULL),
    death_earliest timestamptz,
    death_latest   timestamptz,
    known_at       timestamptz CHECK (NOT dead OR known_at IS NOT NULL)
);

-- appointment_id is no foreign key, because its check would wait for a person who holds the appointment.
CREATE TABLE worklist (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason         text NOT NULL CHECK (reason IN (
        'missed', 'booked_after_death', 'not_cancelled', 'seen_after_death', 'kind_stays', -- of the dead
        'not_restored', 'rebooked',                                                        -- of those who live after all
        'merge_conflict', 'future_death')),                                                -- of the death itself
    detail         text,
    -- The patient may live: they came, or their death lies in the future. Only a person ends such
    -- an item; an appointment's status does not.
    urgent         boolean GENERATED ALWAYS AS (
        reason IN ('seen_after_death', 'future_death') OR coalesce(detail = 'arrived', false)) STORED,
    appointment_id uuid CHECK ((appointment_id IS NULL) = (reason IN ('merge_conflict', 'future_death'))),
    patient_id     uuid NOT NULL,
    death_no       integer NOT NULL,
    raised_at      timestamptz NOT NULL,
    resolved_at    timestamptz,
    resolved_by    text,             -- 'waybill' or a person
    about          text              -- for items about a death itself, the state that the item is about; NULL: the state has changed since
);
CREATE UNIQUE INDEX worklist_appointment ON worklist (appointment_id, patient_id, death_no, reason) WHERE appointment_id IS NOT NULL;
CREATE UNIQUE INDEX worklist_conflict ON worklist (patient_id, death_no, reason) WHERE appointment_id IS NULL;
CREATE INDEX worklist_death ON worklist (patient_id);

-- Lists at once the appointments that a person books for the dead, restores or moves to them, and the dead who
-- come, even late. Every write takes the lock, cancellations too: an importer then waits for the person, and
-- cancels or lists what they left. A row that is only rewritten is not booked again.
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
    -- A person has settled these items by their own write. An item may come up again.
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

-- An item ends with its appointment. Only urgent items stay: a patient came, and a person must check.
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

CREATE TRIGGER worklist_resolved BEFORE UPDATE OF resolved_by ON worklist
FOR EACH ROW WHEN (NEW.resolved_by = 'waybill') EXECUTE FUNCTION name_resolver();

-- +goose Down
DROP PROCEDURE resolve;
DROP TABLE worklist, vital;
DROP FUNCTION watch_the_dead, end_items CASCADE;
