-- +goose Up
-- intake_id returns the patient that a key means: the patient who has it as an identifier, or had it when it was first
-- read; otherwise the one whose id was made from it. After a patient's wrong number was corrected, the wrong number no
-- longer means this patient: it is somebody else's.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_id(authority text, type text, value text, id uuid, is_id boolean) RETURNS uuid
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    meant uuid;
BEGIN
    IF intake_id.value IS NULL OR is_id AND EXISTS (SELECT FROM patients.patient p WHERE p.id = intake_id.id) THEN
        RETURN intake_id.id;
    END IF;
    meant := (SELECT i.patient_id FROM patients.identifier i
              WHERE (i.authority, i.type, i.value) = (intake_id.authority, intake_id.type, intake_id.value));
    IF meant IS NULL THEN
        meant := (SELECT k.patient_id FROM patients.intake_known k WHERE k.id = intake_id.id);
    END IF;
    IF meant IS NULL AND EXISTS (
        SELECT FROM patients.identifier i
        WHERE i.patient_id = intake_id.id AND (i.authority, i.type) = (intake_id.authority, intake_id.type)) THEN
        meant := gen_random_uuid();
    END IF;
    IF meant <> intake_id.id THEN
        INSERT INTO patients.intake_known AS k (id, patient_id) VALUES (intake_id.id, meant)
        ON CONFLICT (id) DO UPDATE SET patient_id = excluded.patient_id WHERE k.patient_id <> excluded.patient_id;
    END IF;
    RETURN coalesce(meant, intake_id.id);
END $$;
-- +goose StatementEnd

-- intake_ids does the same for all rows of a source at once, except those whose id is already right.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_ids(source text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE patients.intake_row r SET id = n.meant
    FROM (SELECT k.authority, k.type, k.value, k.old, patients.intake_id(k.authority, k.type, k.value, k.old, k.is_id) AS meant
          FROM (SELECT DISTINCT o.key_authority AS authority, o.key_type AS type, o.key_value AS value, o.id AS old, o.key_is_id AS is_id
                FROM patients.intake_row o
                LEFT JOIN patients.identifier i ON (i.authority, i.type, i.value) = (o.key_authority, o.key_type, o.key_value)
                WHERE o.source = intake_ids.source AND o.turn = 1 AND o.key_value IS NOT NULL
                  AND (i.patient_id <> o.id
                    OR i.patient_id IS NULL AND EXISTS (SELECT FROM patients.identifier h WHERE h.patient_id = o.id)
                    OR i.patient_id IS NULL AND EXISTS (SELECT FROM patients.intake_known h WHERE h.id = o.id))
                OFFSET 0) k
          OFFSET 0) n
    WHERE r.source = intake_ids.source AND r.turn = 1
      AND (r.key_authority, r.key_type, r.key_value) = (n.authority, n.type, n.value) AND r.id = n.old AND n.meant <> n.old;
END $$;
-- +goose StatementEnd

-- intake_rekey moves a patient's key from the wrong value to the right one before the row is taken
-- in. If it can't, it returns the reason.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_rekey(r patients.intake_row) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known boolean := EXISTS (SELECT FROM patients.patient p WHERE p.id = r.id);
BEGIN
    IF r.retired_id = r.id OR NOT EXISTS (SELECT FROM patients.patient p WHERE p.id = r.retired_id) THEN
        RETURN NULL;
    END IF;
    IF known THEN
        RETURN 'the right number is another patient''s';
    END IF;
    UPDATE patients.identifier i SET authority = r.key_authority, type = r.key_type, value = r.key_value
    WHERE i.patient_id = r.retired_id
      AND (i.authority, i.type, i.value) = (r.retired_authority, r.retired_type, r.retired_value);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- intake_merge retires a row's record after the row was taken in. If it can't, it returns the reason.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_merge(r patients.intake_row) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    survivor uuid := patients.survivor(r.id);
    listed boolean := coalesce(r.identifiers @> jsonb_build_array(
        jsonb_build_object('authority', r.key_authority, 'type', r.key_type, 'value', r.key_value)), false);
BEGIN
    IF EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id IN (r.id, r.retired_id)) THEN
        RETURN 'one of the two records was erased';
    END IF;
    IF survivor = r.retired_id THEN
        RETURN 'the record that should survive was merged into the other';
    END IF;
    IF EXISTS (SELECT FROM patients.alias a WHERE a.retired_id = r.retired_id) THEN
        RETURN CASE WHEN patients.survivor(r.retired_id) <> survivor THEN 'the record was merged into another one before' ELSE '' END;
    END IF;
    INSERT INTO patients.patient (id) VALUES (r.retired_id) ON CONFLICT (id) DO NOTHING;
    IF listed THEN -- so that it is found again by what the source called it
        INSERT INTO patients.identifier (patient_id, authority, type, value)
        VALUES (r.retired_id, r.retired_authority, r.retired_type, r.retired_value) ON CONFLICT (authority, type, value) DO NOTHING;
    END IF;
    INSERT INTO patients.alias (retired_id, survivor_id) VALUES (r.retired_id, r.id);
    RETURN NULL;
END $$;
-- +goose StatementEnd

-- intake_unlink marks a row as disputed if it says that two records are two people, but one was merged into the
-- other, or both into a third: only a person can undo a merge. Reports about the merged records wait, too.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_unlink(r patients.intake_row) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF r.id = r.retired_id OR patients.survivor(r.id) <> patients.survivor(r.retired_id) THEN
        RETURN NULL;
    END IF;
    INSERT INTO patients.intake_unlinked (retired_id, source)
    SELECT a.retired_id, r.source FROM patients.alias a WHERE a.retired_id IN (r.id, r.retired_id)
    ON CONFLICT (retired_id) DO NOTHING;
    RETURN 'unlinks two records of which one was merged into the other';
END $$;
-- +goose StatementEnd

-- intake_one takes in one row about a record that the file merges or whose key it changes. The rows before it decide what
-- its keys mean.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_one(source text, turn integer, identity_change text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    staged    patients.intake_row;
    dispute   text;
    conflicts bigint;
BEGIN
    UPDATE patients.intake_row r
    SET id = patients.intake_id(r.key_authority, r.key_type, r.key_value, r.id, r.key_is_id),
        retired_id = patients.intake_id(r.retired_authority, r.retired_type, r.retired_value, r.retired_id, r.retired_is_id)
    WHERE r.source = intake_one.source AND r.turn = intake_one.turn
    RETURNING * INTO staged;
    IF staged.act = 'rekey' THEN
        dispute := patients.intake_rekey(staged);
        IF dispute IS NULL AND EXISTS (SELECT FROM patients.patient p WHERE p.id = staged.retired_id) THEN
            UPDATE patients.intake_row r SET id = staged.retired_id
            WHERE r.source = intake_one.source AND r.turn = intake_one.turn;
        END IF;
    ELSIF staged.act = 'merge' AND staged.id = staged.retired_id THEN
        dispute := 'a record that would be merged into itself';
    ELSIF staged.act = 'unlink' THEN
        dispute := patients.intake_unlink(staged);
    END IF;
    IF dispute IS NULL THEN
        conflicts := patients.intake_turn(source, turn, identity_change);
        SELECT r.reason INTO dispute FROM patients.intake_row r
        WHERE r.source = intake_one.source AND r.turn = intake_one.turn AND r.outcome = 'disputed';
        IF staged.act = 'merge' AND dispute IS NULL THEN
            dispute := patients.intake_merge(staged);
        END IF;
    END IF;
    UPDATE patients.intake_row r
    SET outcome = CASE WHEN dispute <> '' THEN 'disputed' WHEN dispute = '' THEN r.outcome WHEN r.act = 'merge' THEN 'merged' ELSE r.outcome END,
        reason = coalesce(nullif(dispute, ''), r.reason)
    WHERE r.source = intake_one.source AND r.turn = intake_one.turn;
    RETURN coalesce(conflicts, 0);
END $$;
-- +goose StatementEnd

-- intake_apply takes the staged rows of a source into the service's tables and leaves them, each with its
-- outcome; it returns how many identifiers stayed with another patient. A patient's rows apply in the source's
-- own order, or in that of seq if it has none; deaths follow the rules of record_death. A row that has a death
-- or merge and another birth date, sex or other names is disputed, unless identity_change is allow. Several
-- sources may be taken in at once. It runs as its owner, so that the program that reads partners' files needs
-- no right to the patients.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_apply(source text, identity_change text DEFAULT 'dispute') RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    turns     integer;
    alone     integer; -- rows that make turns of their own, behind the others
    conflicts bigint := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('patients.intake ' || intake_apply.source, 0));
    -- A source's clock that is ahead would make all later rows look old.
    UPDATE patients.intake_row r SET order_event = NULL
    WHERE r.source = intake_apply.source AND r.turn = 1 AND r.order_event > now() + interval '1 day';
    UPDATE patients.intake_row r SET order_sent = NULL
    WHERE r.source = intake_apply.source AND r.turn = 1 AND r.order_sent > now() + interval '1 day';

    -- Rows of records that this file merges, or whose key it changes, are taken in one by one, from turn 0.
    IF EXISTS (SELECT FROM patients.intake_row r WHERE r.source = intake_apply.source AND r.turn = 1 AND r.act <> 'change') THEN
        UPDATE patients.merge_turn SET tx = pg_current_xact_id() WHERE tx <> pg_current_xact_id(); -- before any patient
        UPDATE patients.intake_row r SET turn = 0
        WHERE r.source = intake_apply.source AND r.turn = 1 AND (r.key_authority, r.key_type, r.key_value) IN (
            SELECT a.key_authority, a.key_type, a.key_value FROM patients.intake_row a
            WHERE a.source = intake_apply.source AND a.act <> 'change'
            UNION ALL
            SELECT a.retired_authority, a.retired_type, a.retired_value FROM patients.intake_row a
            WHERE a.source = intake_apply.source AND a.act <> 'change');
    END IF;
    PERFORM patients.intake_ids(intake_apply.source);
    -- Patients are locked in the order of their ids, so that loads of different sources don't deadlock.
    PERFORM FROM patients.patient p
        WHERE p.id IN (SELECT r.id FROM patients.intake_row r WHERE r.source = intake_apply.source
                       UNION ALL SELECT r.retired_id FROM patients.intake_row r WHERE r.source = intake_apply.source AND r.act <> 'change')
        ORDER BY p.id FOR NO KEY UPDATE;

    UPDATE patients.intake_row r SET turn = n.turn
    FROM (SELECT o.id, o.seq, row_number() OVER (
              PARTITION BY o.id ORDER BY o.order_sequence NULLS FIRST, o.order_event NULLS FIRST, o.order_sent NULLS FIRST, o.seq) AS turn
          FROM patients.intake_row o WHERE o.source = intake_apply.source AND o.turn = 1) n
    WHERE r.source = intake_apply.source AND r.turn = 1 AND r.id = n.id AND r.seq = n.seq AND n.turn > 1;
    turns := (SELECT coalesce(max(r.turn), 0) FROM patients.intake_row r WHERE r.source = intake_apply.source);
    UPDATE patients.intake_row r SET turn = n.turn
    FROM (SELECT o.id, o.seq, turns + row_number() OVER (
              ORDER BY o.order_sequence NULLS FIRST, o.order_event NULLS FIRST, o.order_sent NULLS FIRST, o.seq) AS turn
          FROM patients.intake_row o WHERE o.source = intake_apply.source AND o.turn = 0) n
    WHERE r.source = intake_apply.source AND r.turn = 0 AND r.id = n.id AND r.seq = n.seq;
    GET DIAGNOSTICS alone = ROW_COUNT;
    -- A report that is dated ahead by up to a day counts as of now: it must not outdate those that come until then. The turns
    -- keep the order that the file's own times have.
    UPDATE patients.intake_row r
    SET order_event = CASE WHEN r.order_event > now() THEN now() ELSE r.order_event END,
        order_sent = CASE WHEN r.order_sent > now() THEN now() ELSE r.order_sent END
    WHERE r.source = intake_apply.source AND (r.order_event > now() OR r.order_sent > now());
    IF turns + alone > 1 THEN
        ANALYZE patients.intake_row; -- else each of many small turns reads all rows
    END IF;
    FOR turn IN 1 .. turns LOOP
        conflicts := conflicts + patients.intake_turn(intake_apply.source, turn, intake_apply.identity_change);
    END LOOP;
    FOR turn IN turns + 1 .. turns + alone LOOP
        conflicts := conflicts + patients.intake_one(intake_apply.source, turn, intake_apply.identity_change);
    END LOOP;
    RETURN conflicts;
END $$;
-- +goose StatementEnd

-- intake_end removes the rows of a source and counts them by outcome.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_end(
    source text, OUT inserted bigint, OUT changed bigint, OUT unchanged bigint, OUT stale bigint, OUT merged bigint, OUT disputed bigint,
    OUT rekeyed bigint -- of the changed: whose key was wrong
) LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    WITH taken AS (DELETE FROM patients.intake_row r WHERE r.source = intake_end.source RETURNING r.outcome, r.act)
    SELECT count(*) FILTER (WHERE t.outcome = 'inserted'), count(*) FILTER (WHERE t.outcome = 'changed'),
           count(*) FILTER (WHERE t.outcome = 'unchanged'), count(*) FILTER (WHERE t.outcome = 'stale'),
           count(*) FILTER (WHERE t.outcome = 'merged'), count(*) FILTER (WHERE t.outcome = 'disputed'),
           count(*) FILTER (WHERE t.outcome = 'changed' AND t.act = 'rekey')
    FROM taken t
$$;
-- +goose StatementEnd

-- intake_events makes the events of this transaction now, and counts those that an intake's brake bounds.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_events(OUT died bigint, OUT death_retracted bigint, OUT merged bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    SET CONSTRAINTS ALL IMMEDIATE;
    SET CONSTRAINTS ALL DEFERRED;
    SELECT count(*) FILTER (WHERE o.event = 'died'), count(*) FILTER (WHERE o.event = 'death_retracted'), count(*) FILTER (WHERE o.event = 'merged')
    INTO died, death_retracted, merged FROM patients.outbox o WHERE o.tx = pg_current_xact_id();
END $$;
-- +goose StatementEnd

-- intake takes the staged rows of a source into the service's tables, removes them, and returns
-- how many registered a patient, changed one, changed nothing, were older than what the source
-- said before, merged two records, and contradict what is known; and how many identifiers stayed with
-- another patient.
-- +goose StatementBegin
CREATE FUNCTION patients.intake(
    source text, OUT inserted bigint, OUT changed bigint, OUT unchanged bigint, OUT conflicts bigint,
    OUT stale bigint, OUT merged bigint, OUT disputed bigint
) LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    conflicts := patients.intake_apply(intake.source);
    SELECT e.inserted, e.changed, e.unchanged, e.stale, e.merged, e.disputed
    INTO inserted, changed, unchanged, stale, merged, disputed FROM patients.intake_end(intake.source) e;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION patients.intake_apply(text, text), patients.intake_events(), patients.intake_end(text) FROM PUBLIC;
