-- +goose Up
-- Records of partners' files: three-valued texts, keys instead of ids, merges, and an order of
-- their own. Staged rows do not outlive a transaction, so that the table can be made anew.
DROP TABLE patients.intake_row;
CREATE UNLOGGED TABLE patients.intake_row (
    source           text,    -- whose records these are; one load of a source at a time
    seq              bigint,  -- the file's own order
    id               uuid NOT NULL, -- the patient; with a key, as long as no identifier says otherwise
    act              text NOT NULL DEFAULT 'change' CHECK (act IN ('change', 'merge', 'rekey')),
    -- The identifier by which the source knows the patient, and whether id is that very text.
    key_authority    text,
    key_type         text,
    key_value        text,
    key_is_id        boolean NOT NULL DEFAULT false,
    -- Of a merge, the record that ends; of a rekey, the key that was wrong. As above.
    retired_id        uuid,
    retired_authority text,
    retired_type      text,
    retired_value     text,
    retired_is_id     boolean NOT NULL DEFAULT false,
    -- The source's own order, as far as it has one: rows that are older than what it said last change
    -- nothing.
    order_sequence   bigint,
    order_event      timestamptz,
    order_sent       timestamptz,
    -- NULL: the file does not say, and what is known stays; '': there is none any more.
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
    -- All that the patient has; else those of an authority and type replace these and no others.
    identifiers_all  boolean NOT NULL DEFAULT true,
    turn             integer NOT NULL DEFAULT 1, -- set by intake: rows of one turn hold a patient at most once
    outcome          text NOT NULL DEFAULT 'unchanged', -- set by intake
    reason           text,    -- set by intake, of a row that was disputed
    PRIMARY KEY (source, turn, id, seq) -- joins by patient are cheap however few rows the planner expects
);

-- What a source said last of a patient: what it repeats is no news, and what is older neither.
-- Death has an order of its own, for a record that is old in all else may be the only one that
-- speaks of it.
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

-- The patient that an id made of a key means, where that is not the patient of that id: found by
-- the identifier, and remembered for when the patient has no identifiers any more. Whoever was erased
-- is not registered anew by a partner who goes on naming them.
CREATE TABLE patients.intake_known (
    id         uuid PRIMARY KEY,
    patient_id uuid NOT NULL
);

-- intake_older compares two places in a source's order by what both have.
CREATE FUNCTION patients.intake_older(
    a_sequence bigint, a_event timestamptz, a_sent timestamptz, b_sequence bigint, b_event timestamptz, b_sent timestamptz
) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN a_sequence <> b_sequence THEN a_sequence < b_sequence
                WHEN a_event <> b_event THEN a_event < b_event
                ELSE coalesce(a_sent < b_sent, false) END
$$;

-- intake_news takes out of a turn's rows what is no news. A source that says alive, and never said
-- dead, takes back nobody else's word: that is for a person.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_news(source text, turn integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, patients, pg_temp AS $$
#variable_conflict use_column
BEGIN
    -- A partner's file may go on naming whoever was erased here: such a row says nothing.
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
    SET outcome = 'disputed', reason = 'says alive of a patient whose death somebody else reported'
    FROM patients.patient p
    WHERE r.source = intake_news.source AND r.turn = intake_news.turn AND p.id = r.id
      AND r.death_by_change AND r.death_status = 'none' AND p.death_status IN ('informal', 'formal')
      AND NOT EXISTS (SELECT FROM patients.intake_told t
                      WHERE t.source = r.source AND t.patient_id = r.id AND t.death_status IS NOT NULL);

    -- What was said last is noted before the rows lose it.
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
CREATE OR REPLACE FUNCTION patients.intake_patients(source text, turn integer) RETURNS void
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
CREATE OR REPLACE FUNCTION patients.intake_deaths(source text, turn integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    told record;
    known patients.patient;
BEGIN
    FOR told IN
        SELECT r.seq, r.id, r.death_status, r.death_earliest, r.death_latest, r.death_precision, r.death_undated
        FROM patients.intake_row r
        JOIN patients.patient p ON p.id = r.id
        WHERE r.source = intake_deaths.source AND r.turn = intake_deaths.turn AND r.death_status IS NOT NULL
          AND (p.death_status, p.death_earliest, p.death_latest, p.death_precision)
              IS DISTINCT FROM (r.death_status, r.death_earliest, r.death_latest, r.death_precision)
        ORDER BY r.id
    LOOP
        -- A death without a date leaves the one that is known, of the record that the death is about.
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
        IF patients.record_death(told.id, told.death_status, told.death_earliest, told.death_latest, told.death_precision) THEN
            UPDATE patients.intake_row r SET outcome = 'changed'
            WHERE r.source = intake_deaths.source AND r.turn = intake_deaths.turn AND r.id = told.id AND r.seq = told.seq;
        END IF;
    END LOOP;
END $$;
-- +goose StatementEnd

-- An identifier that another patient has stays there and is counted: which of the two it belongs
-- to is for a person to say.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION patients.intake_identifiers(source text, turn integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
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

    RETURN (
        SELECT count(*)
        FROM patients.intake_row r, jsonb_to_recordset(r.identifiers) AS w (authority text, type text, value text)
        JOIN patients.identifier i USING (authority, type, value)
        WHERE r.source = intake_identifiers.source AND r.turn = intake_identifiers.turn AND i.patient_id <> r.id);
END $$;
-- +goose StatementEnd

-- intake_turn takes in the rows of one turn, and returns how many identifiers stayed with another patient.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_turn(source text, turn integer) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM patients.intake_news(source, turn);
    PERFORM patients.intake_patients(source, turn);
    PERFORM patients.intake_deaths(source, turn);
    RETURN patients.intake_identifiers(source, turn);
END $$;
-- +goose StatementEnd

-- intake_id returns the patient that a key means: the one who has it as an identifier, or had it
-- when it was met before, else the one of the id that was made of it. A patient whose number was another
-- all along, and was set right, is no longer meant by the wrong one: that is somebody else.
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

-- intake_ids does so for all rows of a source at once, those aside that mean what they say.
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
-- in, and returns why it can't, if it can't.
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

-- intake_merge retires a row's record once the row is taken in, and returns why it can't, if it can't.
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

-- intake_one takes in a row that has to do with a merge or a change of key, or comes before or
-- after one: what its keys mean depends on the rows before it.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_one(source text, turn integer) RETURNS bigint
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
    END IF;
    IF dispute IS NULL THEN
        conflicts := patients.intake_turn(source, turn);
        IF staged.act = 'merge' THEN
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

-- intake_apply takes the staged rows of a source into the service's tables and leaves them, each
-- with its outcome; it returns how many identifiers stayed with another patient. A patient's rows
-- apply in the source's own order, as far as it has one, and else in that of seq; deaths follow
-- the rules of record_death. Several sources may be taken in at once. As its owner: the program that
-- reads partners' files needs no right to the patients.
-- +goose StatementBegin
CREATE FUNCTION patients.intake_apply(source text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    turns     integer;
    alone     integer; -- rows that make turns of their own, behind the others
    conflicts bigint := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('patients.intake ' || intake_apply.source, 0));
    -- A clock that is ahead would make all that comes later look old.
    UPDATE patients.intake_row r SET order_event = NULL
    WHERE r.source = intake_apply.source AND r.turn = 1 AND r.order_event > now() + interval '1 day';
    UPDATE patients.intake_row r SET order_sent = NULL
    WHERE r.source = intake_apply.source AND r.turn = 1 AND r.order_sent > now() + interval '1 day';

    -- Rows of which a merge or a change of key of this file speaks go one by one, in turn 0.
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
    -- Patients are held in the order of their ids, so that loads of different sources wait for
    -- each other and never in a circle.
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
    IF turns + alone > 1 THEN
        ANALYZE patients.intake_row; -- else each of many small turns looks through all of the rows
    END IF;
    FOR turn IN 1 .. turns LOOP
        conflicts := conflicts + patients.intake_turn(intake_apply.source, turn);
    END LOOP;
    FOR turn IN turns + 1 .. turns + alone LOOP
        conflicts := conflicts + patients.intake_one(intake_apply.source, turn);
    END LOOP;
    RETURN conflicts;
END $$;
-- +goose StatementEnd

-- intake_end removes the rows of a source and returns how many had which outcome.
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

-- intake_events makes the events of this transaction now, and returns how many are of the kinds that an
-- intake's brake counts.
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
DROP FUNCTION patients.intake(text);
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
REVOKE EXECUTE ON FUNCTION patients.intake_apply(text), patients.intake_events(), patients.intake_end(text) FROM PUBLIC;
