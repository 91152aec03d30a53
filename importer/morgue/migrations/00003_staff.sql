-- +goose Up
-- What staff call.

-- Movements of bodies other than notice, reception and release. Append only.
CREATE TABLE trail (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    action   text NOT NULL CHECK (action IN ('taken_in', 'reassigned')),
    tag      text NOT NULL,
    case_id  bigint NOT NULL,
    to_case  bigint,
    person   text NOT NULL,
    login    text NOT NULL DEFAULT session_user
);

-- A body arrives and is tagged.
-- +goose StatementBegin
CREATE PROCEDURE receive(case_file_id bigint, body_tag text, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE case_file SET state = 'received', tag = body_tag, received_at = clock_timestamp(), received_by = person
    WHERE id = case_file_id AND state = 'expected';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % is not expected', case_file_id
            USING HINT = 'a void case says that the patient is alive or known under another case: identify the body first, or CALL take_in(tag, person, NULL)';
    END IF;
    UPDATE alert SET urgent = true, case_id = case_file_id
    FROM case_file c
    WHERE c.id = case_file_id AND (alert.patient_id, alert.death_no) = (c.patient_id, c.death_no) AND resolved_at IS NULL;
END $$;
-- +goose StatementEnd

-- A body leaves. It must stay while its identity is in question.
-- +goose StatementBegin
CREATE PROCEDURE release(case_file_id bigint, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM case_file WHERE id = case_file_id AND state = 'received' FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % is not received', case_file_id;
    END IF;
    IF EXISTS (SELECT FROM alert WHERE case_id = case_file_id AND resolved_at IS NULL) THEN
        RAISE EXCEPTION 'case % has an open alert', case_file_id USING HINT = 'settle it with CALL resolve(alert, person)';
    END IF;
    UPDATE case_file SET state = 'released', released_at = clock_timestamp(), released_by = person WHERE id = case_file_id;
END $$;
-- +goose StatementEnd

-- A person has settled an alert.
-- +goose StatementBegin
CREATE PROCEDURE resolve(alert_id bigint, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = person WHERE id = alert_id AND resolved_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert % is not open', alert_id;
    END IF;
END $$;
-- +goose StatementEnd

CREATE TRIGGER alert_resolved BEFORE UPDATE OF resolved_by ON alert
FOR EACH ROW WHEN (NEW.resolved_by = 'waybill') EXECUTE FUNCTION name_resolver();

-- A body arrives without a notice. Its case has no patient until reassign names one.
-- +goose StatementBegin
CREATE PROCEDURE take_in(body_tag text, person text, INOUT case_file_id bigint DEFAULT NULL)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO case_file (patient_id, death_no, state, noticed_at, death_status, opened_by, tag, received_at, received_by)
    VALUES (gen_random_uuid(), 0, 'received', clock_timestamp(), 'none', person, body_tag, clock_timestamp(), person)
    RETURNING id INTO case_file_id;
    INSERT INTO trail (action, tag, case_id, person) VALUES ('taken_in', body_tag, case_file_id, person);
END $$;
-- +goose StatementEnd

-- The body of one case, here or released, belongs to another case that is expected: the tag moves there.
-- The old case expects its own body again, unless it has no patient, the same patient, or a patient who
-- is not dead or was erased.
-- +goose StatementBegin
CREATE PROCEDURE reassign(case_file_id bigint, to_case bigint, person text)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    source case_file;
    target case_file;
BEGIN
    PERFORM FROM case_file WHERE id IN (case_file_id, to_case) ORDER BY id FOR UPDATE;
    SELECT * INTO source FROM case_file WHERE id = case_file_id AND state IN ('received', 'released');
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % has no body', case_file_id;
    END IF;
    SELECT * INTO target FROM case_file WHERE id = to_case AND state = 'expected';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'case % is not expected', to_case;
    END IF;
    UPDATE case_file SET tag = NULL, received_at = NULL, received_by = NULL, released_at = NULL, released_by = NULL,
        state = CASE WHEN void.it THEN 'void' ELSE 'expected' END,
        voided_by = CASE WHEN void.it THEN person ELSE voided_by END,
        void_reason = CASE WHEN void.it THEN 'reassigned' ELSE void_reason END
    FROM (SELECT source.opened_by <> 'waybill' OR source.patient_id = target.patient_id OR source.stated = '{}'
              OR EXISTS (SELECT FROM alert WHERE case_id = source.id AND kind IN ('identity', 'erased_in_custody') AND about IS NOT NULL)) AS void (it)
    WHERE id = source.id;
    UPDATE case_file SET state = source.state, tag = source.tag, received_at = source.received_at, received_by = source.received_by,
        released_at = source.released_at, released_by = source.released_by
    WHERE id = target.id;
    UPDATE alert SET urgent = true, case_id = target.id
    WHERE (patient_id, death_no) = (target.patient_id, target.death_no) AND resolved_at IS NULL;
    UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = person
    WHERE case_id = source.id AND resolved_at IS NULL AND kind NOT IN ('merge_conflict', 'future_death');
    INSERT INTO trail (action, tag, case_id, to_case, person) VALUES ('reassigned', source.tag, source.id, target.id, person);
END $$;
-- +goose StatementEnd

-- +goose Down
DROP PROCEDURE reassign;
DROP PROCEDURE take_in;
DROP PROCEDURE resolve;
DROP PROCEDURE release;
DROP PROCEDURE receive;
DROP TABLE trail;
