-- +goose Up
-- Records of partners' files, staged by COPY and taken in by patients.intake in the same transaction.
-- Unlogged: after a crash the file is loaded again.
CREATE UNLOGGED TABLE patients.intake_row (
    source           text,    -- the partner that sent the records; one load of a source at a time
    seq              bigint,  -- the file's own order
    id               uuid NOT NULL, -- the patient; of a row with a key, unless an identifier names another one
    act              text NOT NULL DEFAULT 'change' CHECK (act IN ('change', 'merge', 'rekey', 'unlink')),
    -- The identifier by which the source knows the patient, and whether id is the UUID that this text spells.
    key_authority    text,
    key_type         text,
    key_value        text,
    key_is_id        boolean NOT NULL DEFAULT false,
    -- The other record, in the same way: the one that a merge ends, the wrong key of a rekey, the second one of an
    -- unlink.
    retired_id        uuid,
    retired_authority text,
    retired_type      text,
    retired_value     text,
    retired_is_id     boolean NOT NULL DEFAULT false,
    -- The source's own order, if it has one: rows that are older than its last report change nothing.
    order_sequence   bigint,
    order_event      timestamptz,
    order_sent       timestamptz,
    -- NULL: the file does not say, and what is known stays; '': the value was removed.
    family_name      text,
    given_name       text,
    birth_date       text,
    sex              text,
    address_line     text,
    address_city     text,
    address_postcode text,
    address_country  text,
    death_status     text,    -- NULL: the file does not say; none: the patient is alive
    death_earliest   timestamptz,
    death_latest     timestamptz,
    death_precision  text,
    death_undated    boolean NOT NULL DEFAULT false, -- dead, and a date that is known was wrong
    death_by_change  boolean NOT NULL DEFAULT false, -- counts where it differs from what the source said before
    identifiers      jsonb,   -- [{"authority", "type", "value"}]
    -- All of the patient's identifiers; if false, they replace those of the same authority and type only.
    identifiers_all  boolean NOT NULL DEFAULT true,
    turn             integer NOT NULL DEFAULT 1, -- set by intake: rows of one turn hold a patient at most once
    outcome          text NOT NULL DEFAULT 'unchanged', -- set by intake
    reason           text,    -- set by intake, of a row that was disputed
    PRIMARY KEY (source, turn, id, seq) -- joins by patient are cheap however few rows the planner expects
);

-- What a source last reported about a patient. A record that repeats it, or is older, changes nothing. Death has a
-- separate order, because a record that is otherwise old may be the only one that reports the death.
CREATE TABLE patients.intake_told (
    source           text,
    patient_id       uuid,
    order_sequence   bigint,
    order_event      timestamptz,
    order_sent       timestamptz,
    death_status     text,
    death_earliest   timestamptz,
    death_latest     timestamptz,
    death_precision  text,
    death_undated    boolean NOT NULL DEFAULT false,
    death_sequence   bigint,
    death_event      timestamptz,
    death_sent       timestamptz,
    PRIMARY KEY (source, patient_id)
);
CREATE INDEX intake_told_dead ON patients.intake_told (patient_id) WHERE death_status IN ('informal', 'formal');

-- An id is made from a key. Where the key means another patient than the one with that id, this table says which. That
-- patient was found by the identifier; the row stays when the patient has no identifiers any more. So a partner that still
-- names an erased person does not register them again.
CREATE TABLE patients.intake_known (
    id         uuid PRIMARY KEY,
    patient_id uuid NOT NULL
);

-- A record that was merged into another, and that a source now says is another person. Reports about the record wait
-- until a person has decided: patients.settle_unlink.
CREATE TABLE patients.intake_unlinked (
    retired_id uuid PRIMARY KEY,
    source     text NOT NULL,
    told_at    timestamptz NOT NULL DEFAULT now()
);

-- settle_unlink lets records of a retired record in again, and reports whether any waited.
CREATE FUNCTION patients.settle_unlink(retired uuid) RETURNS boolean LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    WITH settled AS (DELETE FROM patients.intake_unlinked u WHERE u.retired_id = retired RETURNING 1)
    SELECT EXISTS (SELECT FROM settled)
$$;

-- is_other_person reports whether two statements can't be about the same person, because birth date, sex or names
-- differ.
CREATE FUNCTION patients.is_other_person(
    a_family text, a_given text, a_birth text, a_sex text, b_family text, b_given text, b_birth text, b_sex text
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(a_birth <> '' AND b_birth <> '' AND NOT starts_with(a_birth, b_birth) AND NOT starts_with(b_birth, a_birth), false)
        OR coalesce(a_sex <> b_sex AND a_sex NOT IN ('', 'unknown') AND b_sex NOT IN ('', 'unknown'), false)
        OR coalesce(a_family <> '' AND b_family <> '' AND a_given <> '' AND b_given <> ''
            AND lower(a_family) <> lower(b_family) AND lower(a_given) <> lower(b_given), false)
$$;

-- intake_doubts marks a turn's rows as disputed if they may be about another person, or contradict known dates. Disputed
-- rows change nothing.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_doubts(source text, turn integer, identity_change text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    UPDATE patients.intake_row r
    SET outcome = 'disputed', reason = d.reason,
        family_name = NULL, given_name = NULL, birth_date = NULL, sex = NULL, identifiers = NULL,
        address_line = NULL, address_city = NULL, address_postcode = NULL, address_country = NULL,
        death_status = NULL, death_earliest = NULL, death_latest = NULL, death_precision = NULL,
        order_sequence = NULL, order_event = NULL, order_sent = NULL
    FROM (SELECT o.id, o.seq, CASE
              WHEN EXISTS (SELECT FROM patients.intake_unlinked u WHERE u.retired_id = o.id)
                  THEN 'is about a record that was merged and then unlinked; it waits for a person (patients.settle_unlink)'
              WHEN intake_doubts.identity_change = 'dispute' AND (o.act = 'merge' OR o.death_status IN ('informal', 'formal'))
                  AND patients.is_other_person(o.family_name, o.given_name, o.birth_date, o.sex,
                                               p.family_name, p.given_name, p.birth_date, p.sex)
                  THEN 'a death or merge under the key of a patient with another birth date, sex or name'
              WHEN to_char(o.death_latest - interval '1 day', 'YYYY-MM-DD') < p.birth_date AND o.death_status IN ('informal', 'formal')
                  AND coalesce(o.birth_date, '') = ''
                  THEN 'reports a death before the birth date that is known'
              END AS reason
          FROM patients.intake_row o JOIN patients.patient p ON p.id = o.id
          WHERE o.source = intake_doubts.source AND o.turn = intake_doubts.turn) d
    WHERE r.source = intake_doubts.source AND r.turn = intake_doubts.turn AND r.id = d.id AND r.seq = d.seq AND d.reason IS NOT NULL;
END $$;
-- +goose StatementEnd

-- intake_older compares two places in a source's order by the fields that both have.
CREATE FUNCTION patients.intake_older(
    a_sequence bigint, a_event timestamptz, a_sent timestamptz, b_sequence bigint, b_event timestamptz, b_sent timestamptz
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN a_sequence <> b_sequence THEN a_sequence < b_sequence
                WHEN a_event <> b_event THEN a_event < b_event
                ELSE coalesce(a_sent < b_sent, false) END
$$;

-- whose_death returns the record whose death a report about a record means: the record if it is dead itself, otherwise
-- the one that it was merged into.
CREATE FUNCTION patients.whose_death(reported uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN EXISTS (SELECT FROM patients.alias a JOIN patients.patient p ON p.id = a.retired_id
                             WHERE a.retired_id = reported AND p.death_status NOT IN ('informal', 'formal'))
           THEN patients.survivor(reported) ELSE reported END
$$;

-- intake_news blanks what a turn's rows repeat. A source that reports a patient alive can't retract a death that it never
-- reported, or that another source reports still: a person decides. A row that a person released is that decision.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_news(source text, turn integer, released boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, patients, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- A partner's file may still name a person who was erased here: such a row changes nothing.
    UPDATE patients.intake_row r
    SET family_name = NULL, given_name = NULL, birth_date = NULL, sex = NULL, identifiers = NULL,
        address_line = NULL, address_city = NULL, address_postcode = NULL, address_country = NULL,
        death_status = NULL, death_earliest = NULL, death_latest = NULL, death_precision = NULL,
        order_sequence = NULL, order_event = NULL, order_sent = NULL
    FROM patients.erasure e
    WHERE r.source = intake_news.source AND r.turn = intake_news.turn AND r.id = e.patient_id;

    UPDATE patients.intake_row r
    SET outcome = 'stale',
        family_name = NULL, given_name = NULL, birth_date = NULL, sex = NULL, identifiers = NULL,
        address_line = NULL, address_city = NULL, address_postcode = NULL, address_country = NULL
    FROM patients.intake_told t
    WHERE r.source = intake_news.source AND r.turn = intake_news.turn AND t.source = r.source AND t.patient_id = r.id
      AND intake_older(r.order_sequence, r.order_event, r.order_sent, t.order_sequence, t.order_event, t.order_sent);

    UPDATE patients.intake_row r
    SET outcome = 'disputed', reason = 'reports a patient alive whose death somebody else reported'
    FROM patients.patient p
    WHERE r.source = intake_news.source AND r.turn = intake_news.turn AND p.id = patients.whose_death(r.id) AND NOT released
      AND r.death_by_change AND r.death_status = 'none' AND p.death_status IN ('informal', 'formal')
      AND NOT EXISTS (SELECT FROM patients.intake_told t -- a person was asked before
                      WHERE t.source = r.source AND t.patient_id = r.id AND t.death_status IN ('none', 'void'))
      AND (NOT EXISTS (SELECT FROM patients.intake_told t
                       WHERE t.source = r.source AND t.patient_id = r.id AND t.death_status IN ('informal', 'formal'))
        OR EXISTS (WITH RECURSIVE record (id) AS (
                       SELECT p.id UNION SELECT a.retired_id FROM record JOIN patients.alias a ON a.survivor_id = record.id)
                   SELECT FROM record JOIN patients.intake_told o ON o.patient_id = record.id
                   WHERE o.source <> r.source AND o.death_status IN ('informal', 'formal') AND patients.whose_death(record.id) = p.id));

    -- The last report is stored before the rows are blanked.
    INSERT INTO patients.intake_told AS t (
        source, patient_id, order_sequence, order_event, order_sent)
    SELECT r.source, r.id, r.order_sequence, r.order_event, r.order_sent
    FROM patients.intake_row r
    WHERE r.source = intake_news.source AND r.turn = intake_news.turn AND r.outcome <> 'stale'
      AND (r.death_by_change AND r.death_status IS NOT NULL OR num_nonnulls(r.order_sequence, r.order_event, r.order_sent) > 0)
    ORDER BY r.id
    ON CONFLICT (source, patient_id) DO UPDATE
    SET order_sequence = coalesce(excluded.order_sequence, t.order_sequence),
        order_event    = coalesce(excluded.order_event, t.order_event),
        order_sent     = coalesce(excluded.order_sent, t.order_sent)
    WHERE num_nonnulls(excluded.order_sequence, excluded.order_event, excluded.order_sent) > 0;

    WITH old AS (
        UPDATE patients.intake_row r
        SET death_status = NULL, death_earliest = NULL, death_latest = NULL, death_precision = NULL
        FROM patients.intake_told t
        WHERE r.source = intake_news.source AND r.turn = intake_news.turn AND r.death_by_change
          AND t.source = r.source AND t.patient_id = r.id AND r.death_status IS NOT NULL
          AND NOT (released AND r.death_status = 'none' AND t.death_status = 'none')
          AND ((t.death_status, t.death_earliest, t.death_latest, t.death_precision, t.death_undated)
                   IS NOT DISTINCT FROM (r.death_status, r.death_earliest, r.death_latest, r.death_precision, r.death_undated)
               OR intake_older(r.order_sequence, r.order_event, r.order_sent, t.death_sequence, t.death_event, t.death_sent))
        RETURNING r.id, r.order_sequence, r.order_event, r.order_sent)
    UPDATE patients.intake_told t
    SET death_sequence = o.order_sequence, death_event = o.order_event, death_sent = o.order_sent
    FROM old o
    WHERE t.source = intake_news.source AND t.patient_id = o.id
      AND intake_older(t.death_sequence, t.death_event, t.death_sent, o.order_sequence, o.order_event, o.order_sent);

    UPDATE patients.intake_told t
    SET death_status = r.death_status, death_earliest = r.death_earliest, death_latest = r.death_latest,
        death_precision = r.death_precision, death_undated = r.death_undated,
        death_sequence = r.order_sequence, death_event = r.order_event, death_sent = r.order_sent
    FROM patients.intake_row r
    WHERE r.source = intake_news.source AND r.turn = intake_news.turn AND r.death_by_change AND r.death_status IS NOT NULL
      AND t.source = r.source AND t.patient_id = r.id;

    UPDATE patients.intake_row r SET death_status = NULL
    WHERE r.source = intake_news.source AND r.turn = intake_news.turn AND r.outcome = 'disputed';
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.intake_patients(source text, turn integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    WITH made AS (
        INSERT INTO patients.patient AS p (
            id, family_name, given_name, birth_date, sex, address_line, address_city, address_postcode, address_country,
            death_status, death_earliest, death_latest, death_precision)
        SELECT r.id, nullif(r.family_name, ''), nullif(r.given_name, ''), nullif(r.birth_date, ''), nullif(r.sex, ''),
               nullif(r.address_line, ''), nullif(r.address_city, ''), nullif(r.address_postcode, ''), nullif(r.address_country, ''),
               coalesce(r.death_status, 'none'), r.death_earliest, r.death_latest, r.death_precision
        FROM patients.intake_row r
        WHERE r.source = intake_patients.source AND r.turn = intake_patients.turn
          AND NOT EXISTS (SELECT FROM patients.patient known WHERE known.id = r.id)
        ORDER BY r.id
        ON CONFLICT (id) DO NOTHING
        RETURNING p.id)
    UPDATE patients.intake_row r SET outcome = 'inserted'
    FROM made
    WHERE r.source = intake_patients.source AND r.turn = intake_patients.turn AND r.id = made.id;

    WITH made AS (
        UPDATE patients.patient p
        SET family_name      = nullif(coalesce(r.family_name, p.family_name), ''),
            given_name       = nullif(coalesce(r.given_name, p.given_name), ''),
            birth_date       = nullif(coalesce(r.birth_date, p.birth_date), ''),
            sex              = nullif(coalesce(r.sex, p.sex), ''),
            address_line     = nullif(coalesce(r.address_line, p.address_line), ''),
            address_city     = nullif(coalesce(r.address_city, p.address_city), ''),
            address_postcode = nullif(coalesce(r.address_postcode, p.address_postcode), ''),
            address_country  = nullif(coalesce(r.address_country, p.address_country), '')
        FROM patients.intake_row r
        WHERE r.source = intake_patients.source AND r.turn = intake_patients.turn
          AND r.outcome <> 'inserted' AND p.id = r.id
          AND (r.family_name <> coalesce(p.family_name, '') OR r.given_name <> coalesce(p.given_name, '')
            OR r.birth_date <> coalesce(p.birth_date, '') OR r.sex <> coalesce(p.sex, '')
            OR r.address_line <> coalesce(p.address_line, '') OR r.address_city <> coalesce(p.address_city, '')
            OR r.address_postcode <> coalesce(p.address_postcode, '') OR r.address_country <> coalesce(p.address_country, ''))
        RETURNING p.id)
    UPDATE patients.intake_row r SET outcome = 'changed'
    FROM made
    WHERE r.source = intake_patients.source AND r.turn = intake_patients.turn AND r.id = made.id AND r.outcome <> 'disputed';
END $$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION patients.intake_deaths(source text, turn integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    told record;
    known patients.patient;
BEGIN
    FOR told IN
        SELECT r.seq, r.id, CASE r.death_status WHEN 'none' THEN p.id ELSE r.id END AS meant,
               r.death_status, r.death_earliest, r.death_latest, r.death_precision, r.death_undated
        FROM patients.intake_row r
        JOIN patients.patient p ON p.id = patients.whose_death(r.id)
        WHERE r.source = intake_deaths.source AND r.turn = intake_deaths.turn AND r.death_status IS NOT NULL
          AND (p.death_status, p.death_earliest, p.death_latest, p.death_precision)
              IS DISTINCT FROM (r.death_status, r.death_earliest, r.death_latest, r.death_precision)
        ORDER BY r.id
    LOOP
        -- A death without a date keeps the date that is known of the record that the death is about.
        IF told.death_status IN ('informal', 'formal') AND told.death_precision IS NULL AND NOT told.death_undated THEN
            SELECT * INTO known FROM patients.patient p WHERE p.id = told.id;
            IF known.death_status NOT IN ('informal', 'formal') THEN
                SELECT * INTO known FROM patients.patient p WHERE p.id = patients.survivor(told.id);
            END IF;
            IF known.death_status IN ('informal', 'formal') THEN
                told.death_earliest := known.death_earliest;
                told.death_latest := known.death_latest;
                told.death_precision := known.death_precision;
            END IF;
        END IF;
        IF patients.record_death(told.meant, told.death_status, told.death_earliest, told.death_latest, told.death_precision) THEN
            UPDATE patients.intake_row r SET outcome = 'changed'
            WHERE r.source = intake_deaths.source AND r.turn = intake_deaths.turn AND r.id = told.id AND r.seq = told.seq;
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- An identifier that another patient has stays with that patient, is counted and is the row's reason: a person decides
-- whose it is.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_identifiers(source text, turn integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    conflicts bigint;
BEGIN
    WITH made AS (
        DELETE FROM patients.identifier i
        USING patients.intake_row r
        WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn
          AND r.outcome <> 'inserted' AND i.patient_id = r.id
          AND NOT r.identifiers @> jsonb_build_array(
              jsonb_build_object('authority', i.authority, 'type', i.type, 'value', i.value))
          AND (r.identifiers_all
            OR r.identifiers @> jsonb_build_array(jsonb_build_object('authority', i.authority, 'type', i.type)))
        RETURNING i.patient_id)
    UPDATE patients.intake_row r SET outcome = 'changed'
    FROM (SELECT DISTINCT patient_id FROM made) m
    WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn AND r.id = m.patient_id
      AND r.outcome <> 'disputed';

    WITH made AS (
        INSERT INTO patients.identifier AS i (patient_id, authority, type, value)
        SELECT r.id, w.authority, w.type, w.value
        FROM patients.intake_row r, jsonb_to_recordset(r.identifiers) AS w (authority text, type text, value text)
        WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn
        ORDER BY w.authority, w.type, w.value, r.seq
        ON CONFLICT (authority, type, value) DO NOTHING
        RETURNING i.patient_id)
    UPDATE patients.intake_row r SET outcome = 'changed'
    FROM (SELECT DISTINCT patient_id FROM made) m
    WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn
      AND r.outcome = 'unchanged' AND r.id = m.patient_id;

    WITH others AS (
        SELECT r.id, r.seq, i.patient_id
        FROM patients.intake_row r, jsonb_to_recordset(r.identifiers) AS w (authority text, type text, value text)
        JOIN patients.identifier i USING (authority, type, value)
        WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn AND i.patient_id <> r.id),
    noted AS (
        UPDATE patients.intake_row r SET reason = 'has an identifier of patient ' || o.patient_id
        FROM others o
        WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn AND r.id = o.id AND r.seq = o.seq
          AND r.outcome <> 'disputed')
    SELECT count(*) INTO conflicts FROM others;
    RETURN conflicts;
END $$;
-- +goose StatementEnd

-- intake_turn takes in the rows of one turn, and returns how many identifiers stayed with another patient.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_turn(source text, turn integer, identity_change text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM patients.intake_doubts(source, turn, identity_change);
    PERFORM patients.intake_news(source, turn, identity_change = 'released');
    PERFORM patients.intake_patients(source, turn);
    PERFORM patients.intake_deaths(source, turn);
    RETURN patients.intake_identifiers(source, turn);
END $$;
-- +goose StatementEnd
