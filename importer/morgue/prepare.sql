-- What apply.sql needs, once on each connection: so PostgreSQL plans a statement when it first has rows for it, and keeps the plan.

CREATE TEMP TABLE IF NOT EXISTS member (
    patient_id uuid NOT NULL,
    person     uuid NOT NULL,
    death_of   uuid              -- the record whose death counts as this one's, NULL: alive
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS concerned (
    patient_id   uuid NOT NULL,
    death_no     integer NOT NULL,
    death_of     uuid,             -- the record whose death counts as this one's; NULL: alive
    verdict      text NOT NULL,    -- on the case of this record's death:
                                   --   open: one must be open       keep: open unless it was voided
                                   --   merged: expected is void, the case of death_of stands
                                   --   void: expected is void, alive   leave: untouched
    conflict     text,             -- dead, and merged into this person, who is not known to be dead
    future       text,             -- dead by a death that begins, as stated, at this time, on a day after its notice
    stated       jsonb,            -- where there is a case: the facts of the dead, as their record has them
    counts       jsonb             -- and the facts of the record whose death counts, if that is another
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS due (
    kind       varchar(40) NOT NULL,
    patient_id uuid NOT NULL,
    death_no   integer NOT NULL,
    case_id    bigint,
    urgent     boolean NOT NULL,
    about      varchar(80)       -- the state; NULL: one alert is enough, in any state
) ON COMMIT DELETE ROWS;

-- Reconciles alerts and cases with the state of the patients that changed, and of the records that are one
-- person with them by merges. Nothing here depends on which events led to that state, except that a
-- conflict leaves a case as it is. A person is the record at the end of a chain of merges; the records
-- before it are retired.
CREATE OR REPLACE FUNCTION pg_temp.raise_alerts() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
PERFORM set_config('waybill.applying', 'on', true), set_config('jit', 'off', true);

DELETE FROM member; DELETE FROM concerned; DELETE FROM due;

-- Of a million patients most are alive, not merged and unknown here: they are left out at once. Of the rest, most are a
-- person of one record.
WITH known AS MATERIALIZED (
    SELECT p.patient_id, p.death_status IN ('informal', 'formal') AS dead,
           p.merged_into IS NOT NULL OR (SELECT true FROM patient r WHERE r.merged_into = p.patient_id LIMIT 1) IS TRUE AS merged
    FROM changed JOIN patient p USING (patient_id)),
concerns AS (
    SELECT * FROM known k
    WHERE dead OR merged
       OR (SELECT true FROM case_file c WHERE c.patient_id = k.patient_id LIMIT 1)
       OR (SELECT true FROM alert a WHERE a.patient_id = k.patient_id LIMIT 1))
INSERT INTO member
SELECT patient_id, patient_id, CASE WHEN dead THEN patient_id END FROM concerns WHERE NOT merged
UNION ALL
SELECT m.* FROM (SELECT array_agg(patient_id) AS records FROM concerns WHERE merged HAVING count(*) > 0) AS r, members_of(r.records) AS m;
PERFORM pg_temp.sample('member');

INSERT INTO concerned (patient_id, death_no, death_of, verdict, conflict, future)
SELECT p.patient_id, p.death_no, m.death_of,
       CASE WHEN NOT it.dead THEN 'void'
            WHEN it.historic THEN 'leave'
            WHEN m.death_of <> p.patient_id THEN 'merged'
            WHEN it.person_dead THEN 'open'
            WHEN s.patient_id IS NULL THEN 'keep'
            ELSE 'leave' END,
       CASE WHEN m.death_of = p.patient_id AND NOT it.person_dead THEN concat_ws(' ', m.person, CASE WHEN s.patient_id IS NOT NULL THEN 'alive' END) END,
       CASE WHEN m.death_of = p.patient_id AND (d.death_earliest AT TIME ZONE run.zone)::date > (n.noticed_at AT TIME ZONE run.zone)::date
            THEN extract(epoch FROM d.death_earliest)::text END
FROM run CROSS JOIN member m
JOIN patient p USING (patient_id)
LEFT JOIN patient s ON s.patient_id = m.person
LEFT JOIN patient d ON d.patient_id = m.death_of
LEFT JOIN notice n ON (n.patient_id, n.death_no) = (d.patient_id, d.death_no)
CROSS JOIN LATERAL (
    SELECT p.death_status IN ('informal', 'formal') AS dead,
           coalesce(s.death_status IN ('informal', 'formal'), false) AS person_dead,
           coalesce(n.historic, false) AS historic) AS it
WHERE s.event IS DISTINCT FROM 'erased'; -- nor of persons whose survivor was erased: their own erasure follows
PERFORM pg_temp.sample('concerned');

-- From here on each statement sees what staff had committed when the lock was granted.
PERFORM count(*) FROM (
    SELECT FROM case_file WHERE patient_id IN (
        SELECT patient_id FROM concerned
        UNION ALL
        SELECT patient_id FROM changed JOIN patient p USING (patient_id) WHERE p.event = 'erased')
    ORDER BY id FOR UPDATE) AS locked;

-- Most of the dead have no case or alert yet, and to plan what concerns these takes longer than all the rest.
IF EXISTS (SELECT FROM concerned JOIN case_file USING (patient_id)) THEN
UPDATE concerned k SET stated = CASE WHEN p.death_status IN ('informal', 'formal') THEN facts(p) END,
    counts = (SELECT facts(d) FROM patient d WHERE d.patient_id = k.death_of AND d.patient_id <> p.patient_id)
FROM patient p WHERE p.patient_id = k.patient_id AND EXISTS (SELECT FROM case_file c WHERE c.patient_id = k.patient_id);

-- One person, one body: if it is or was in custody under a retired record, the case of the death
-- that counts expects nobody. A body that came before that death began is another person's.
UPDATE concerned survivor SET verdict = 'merged'
FROM concerned retired JOIN case_file c USING (patient_id, death_no), patient p LEFT JOIN notice n USING (patient_id, death_no)
WHERE survivor.verdict IN ('open', 'keep') AND retired.death_of = survivor.patient_id
  AND retired.patient_id <> survivor.patient_id AND retired.stated IS NOT NULL
  AND c.state IN ('received', 'released')
  AND p.patient_id = survivor.patient_id AND NOT coalesce(c.received_at <= least(p.death_earliest, n.noticed_at) AND p.death_earliest IS NOT NULL, false);

-- Alerts come first, before the savepoint. They change no case, so they are raised in mode observe,
-- too.

-- Alerts if the patients service changes facts that people rely on: who a body in custody is, and
-- facts edited by hand. No alert if it now states what a person wrote. For a body under a retired
-- record, the record whose death counts is compared; a change of that record has a separate alert,
-- also when the chain of merges grows. This applies to a body even if its case is of an earlier death.
-- If the body came before any notice, the facts that a person wrote are compared.
WITH said AS (
    SELECT c.id, c.patient_id, c.death_no, c.edited, c.state, c.stated_of, it.*, facts(c) AS present,
           CASE WHEN c.stated_of IS NULL THEN facts(c) WHEN c.stated_of = it.source_of THEN c.stated ELSE it.source END AS before
    FROM concerned k JOIN case_file c USING (patient_id)
    CROSS JOIN LATERAL (
        SELECT CASE WHEN it.here THEN coalesce(k.counts, k.stated) ELSE k.stated END AS source,
               CASE WHEN it.here THEN k.death_of ELSE k.patient_id END AS source_of,
               it.here
        FROM (SELECT c.state IN ('received', 'released') AS here) AS it) AS it
    WHERE it.source IS NOT NULL AND (it.here OR c.death_no = k.death_no AND (c.state <> 'void' OR c.voided_by = 'waybill' AND k.verdict = 'open'))
      AND (c.stated, c.stated_of) IS DISTINCT FROM (it.source, it.source_of)),
noted AS (
    UPDATE case_file c SET stated = s.source, stated_of = s.source_of FROM said s WHERE c.id = s.id),
raised AS (
    INSERT INTO alert (kind, patient_id, death_no, case_id, urgent, raised_at)
    SELECT DISTINCT CASE WHEN n.key LIKE 'death%' THEN 'death_changed' ELSE 'identity_changed' END, s.patient_id, s.death_no, s.id, true, run.now
    FROM run CROSS JOIN said s CROSS JOIN LATERAL jsonb_each(s.source) AS n
    WHERE n.value IS DISTINCT FROM s.before -> n.key
      AND CASE WHEN n.key = ANY (s.edited) THEN n.value <> s.present -> n.key ELSE s.here AND n.key NOT LIKE 'death%' END
      AND NOT (n.key LIKE 'death%' AND s.state = 'released')
    ORDER BY 4, 1
    ON CONFLICT DO NOTHING
    RETURNING id, kind, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT kind, patient_id, death_no, 'alert ' || id FROM raised;
END IF;

INSERT INTO due (kind, patient_id, death_no, case_id, urgent, about)
SELECT 'identity', c.patient_id, c.death_no, c.id, true, CASE WHEN k.death_of IS NULL THEN 'alive' END
FROM case_file c JOIN concerned k USING (patient_id)
WHERE c.state IN ('received', 'released') AND (k.verdict = 'void' OR c.death_no <> k.death_no)
UNION ALL
SELECT 'merged_in_custody', c.patient_id, c.death_no, c.id, true, k.death_of::text
FROM case_file c JOIN concerned k USING (patient_id)
WHERE c.state IN ('received', 'released') AND k.death_of <> k.patient_id
UNION ALL
SELECT it.kind, k.patient_id, k.death_no, c.id, it.kind = 'future_death' OR coalesce(c.state IN ('received', 'released'), false), it.about
FROM concerned k LEFT JOIN case_file c USING (patient_id, death_no)
CROSS JOIN LATERAL (VALUES ('merge_conflict', k.conflict), ('future_death', k.future)) AS it (kind, about)
WHERE it.about IS NOT NULL;

IF EXISTS (SELECT FROM due) THEN
-- An alert that a person resolved is not raised again until the state differs from the one they resolved.
WITH raised AS (
    INSERT INTO alert (kind, patient_id, death_no, case_id, urgent, about, raised_at)
    SELECT due.*, run.now FROM due, run
    WHERE NOT EXISTS (
        SELECT FROM alert a
        WHERE (a.kind, a.patient_id, a.death_no) = (due.kind, due.patient_id, due.death_no)
          AND (a.resolved_at IS NULL OR a.resolved_by <> 'waybill' AND (due.about IS NULL OR due.about = a.about)))
    ORDER BY due.patient_id, due.kind
    RETURNING id, kind, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT kind, patient_id, death_no, 'alert ' || id FROM raised;
END IF;

IF EXISTS (SELECT FROM concerned JOIN alert USING (patient_id)) THEN
UPDATE alert a SET about = CASE WHEN a.resolved_at IS NULL THEN it.about END
FROM (SELECT a.id, due.about
      FROM concerned k JOIN alert a USING (patient_id)
      LEFT JOIN due ON (due.kind, due.patient_id, due.death_no) = (a.kind, a.patient_id, a.death_no)
      WHERE a.kind IN ('identity', 'merged_in_custody', 'merge_conflict', 'future_death')) AS it
WHERE a.id = it.id AND (a.resolved_at IS NULL OR a.about IS NOT NULL) AND a.about IS DISTINCT FROM it.about;
END IF;

IF EXISTS (SELECT FROM changed JOIN patient p USING (patient_id) WHERE p.event = 'erased') THEN
WITH raised AS (
    INSERT INTO alert (kind, patient_id, death_no, case_id, urgent, about, raised_at)
    SELECT 'erased_in_custody', c.patient_id, c.death_no, c.id, true, 'erased', run.now
    FROM run, changed JOIN patient p USING (patient_id) JOIN case_file c USING (patient_id)
    WHERE p.event = 'erased' AND c.state = 'received' AND c.stated <> '{}'
      AND NOT EXISTS (SELECT FROM alert a WHERE (a.kind, a.case_id) = ('erased_in_custody', c.id))
    ORDER BY c.id
    RETURNING id, kind, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT kind, patient_id, death_no, 'alert ' || id FROM raised;
END IF;

IF EXISTS (SELECT FROM changed JOIN alert a USING (patient_id)) OR EXISTS (SELECT FROM concerned JOIN alert a USING (patient_id)) THEN
-- A question about a death itself is settled when the retired record, its survivor or the time of death
-- has changed.
WITH resolved AS (
    UPDATE alert a SET resolved_at = run.now, resolved_by = 'waybill'
    FROM run, (
        SELECT patient_id FROM concerned
        UNION
        SELECT patient_id FROM changed JOIN patient p USING (patient_id) WHERE p.event = 'erased') k
    WHERE a.patient_id = k.patient_id AND a.kind IN ('merge_conflict', 'future_death') AND a.resolved_at IS NULL
      AND NOT EXISTS (SELECT FROM due WHERE (due.kind, due.patient_id, due.death_no) = (a.kind, a.patient_id, a.death_no))
    RETURNING a.id, a.patient_id, a.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'resolved', patient_id, death_no, 'alert ' || id FROM resolved;
END IF;
END $$;

CREATE OR REPLACE FUNCTION pg_temp.settle_cases() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
IF EXISTS (SELECT FROM concerned JOIN case_file USING (patient_id)) THEN
WITH voided AS (
    UPDATE case_file c
    SET state = 'void', voided_at = run.now, voided_by = 'waybill',
        void_reason = CASE WHEN k.verdict = 'merged' AND k.death_no = c.death_no THEN 'merged' ELSE 'retracted' END
    FROM concerned k, run
    WHERE c.patient_id = k.patient_id AND c.state = 'expected' AND c.voided_at IS NULL AND c.opened_by = 'waybill'
      AND (k.verdict IN ('void', 'merged') OR c.death_no <> k.death_no)
    RETURNING c.id, c.patient_id, c.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'voided', patient_id, death_no, 'case ' || id FROM voided;

WITH reopened AS (
    UPDATE case_file c
    SET state = 'expected', voided_at = NULL, voided_by = NULL, void_reason = NULL
    FROM concerned k
    WHERE (c.patient_id, c.death_no) = (k.patient_id, k.death_no) AND k.verdict = 'open'
      AND c.state = 'void' AND c.voided_by = 'waybill'
    RETURNING c.id, c.patient_id, c.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'reopened', patient_id, death_no, 'case ' || id FROM reopened;

-- Facts that nobody edited follow the patients service: who the dead are while their case is expected,
-- how and when they died until the release.
WITH follows AS (
    SELECT c.id, p.*, ARRAY(
        SELECT n.key FROM jsonb_each(it.source) AS n
        WHERE n.value <> it.present -> n.key AND n.key <> ALL (c.edited) AND (c.state = 'expected' OR n.key LIKE 'death%')) AS keys
    FROM concerned k JOIN case_file c USING (patient_id, death_no)
    JOIN patient p ON p.patient_id = CASE WHEN c.state = 'expected' THEN k.patient_id ELSE k.death_of END
    CROSS JOIN LATERAL (SELECT CASE WHEN c.state = 'expected' THEN k.stated ELSE coalesce(k.counts, k.stated) END AS source, facts(c) AS present) AS it
    WHERE k.stated IS NOT NULL AND c.state IN ('expected', 'received')),
updated AS (
    UPDATE case_file c
    SET family_name = CASE WHEN 'family_name' = ANY (f.keys) THEN f.family_name ELSE c.family_name END,
        given_name = CASE WHEN 'given_name' = ANY (f.keys) THEN f.given_name ELSE c.given_name END,
        birth_date = CASE WHEN 'birth_date' = ANY (f.keys) THEN f.birth_date ELSE c.birth_date END,
        sex = CASE WHEN 'sex' = ANY (f.keys) THEN f.sex ELSE c.sex END,
        identifiers = CASE WHEN 'identifiers' = ANY (f.keys) THEN f.identifiers ELSE c.identifiers END,
        (address_line, address_city, address_postcode, address_country) = (
            SELECT f.address_line, f.address_city, f.address_postcode, f.address_country WHERE 'address' = ANY (f.keys)
            UNION ALL
            SELECT c.address_line, c.address_city, c.address_postcode, c.address_country WHERE 'address' <> ALL (f.keys)),
        death_status = CASE WHEN 'death_status' = ANY (f.keys) THEN f.death_status ELSE c.death_status END,
        (death_earliest, death_latest, death_precision) = (
            SELECT f.death_earliest, f.death_latest, f.death_precision WHERE 'death_time' = ANY (f.keys)
            UNION ALL
            SELECT c.death_earliest, c.death_latest, c.death_precision WHERE 'death_time' <> ALL (f.keys))
    FROM follows f
    WHERE c.id = f.id AND f.keys <> '{}'
    RETURNING c.id, c.patient_id, c.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'updated', patient_id, death_no, 'case ' || id FROM updated;
END IF;

-- The new cases come last: they have the present facts.
WITH opened AS (
    INSERT INTO case_file (patient_id, death_no, noticed_at,
        family_name, given_name, birth_date, sex, identifiers,
        address_line, address_city, address_postcode, address_country, stated, stated_of,
        death_status, death_earliest, death_latest, death_precision)
    SELECT p.patient_id, p.death_no, coalesce(n.noticed_at, run.now),
        p.family_name, p.given_name, p.birth_date, p.sex, p.identifiers,
        p.address_line, p.address_city, p.address_postcode, p.address_country, facts(p), p.patient_id,
        p.death_status, p.death_earliest, p.death_latest, p.death_precision
    FROM run, concerned k JOIN patient p USING (patient_id)
    LEFT JOIN notice n ON (n.patient_id, n.death_no) = (p.patient_id, p.death_no)
    WHERE k.verdict IN ('open', 'keep')
    ORDER BY p.patient_id
    ON CONFLICT DO NOTHING
    RETURNING id, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'opened', patient_id, death_no, 'case ' || id FROM opened;

IF EXISTS (SELECT FROM changed JOIN patient p USING (patient_id) WHERE p.event = 'erased') THEN
-- An erased patient's body is no longer expected, and trigger forget_erased removes the patient's data. A
-- case whose body is in custody stays as it is: a person must check it.
WITH forgotten AS (
    UPDATE case_file c
    SET state = CASE WHEN c.state = 'expected' THEN 'void' ELSE c.state END,
        voided_at = CASE WHEN c.state = 'expected' THEN run.now ELSE c.voided_at END,
        voided_by = CASE WHEN c.state = 'expected' THEN 'waybill' ELSE c.voided_by END,
        void_reason = CASE WHEN c.state = 'expected' THEN 'erased' ELSE c.void_reason END
    FROM changed JOIN patient p USING (patient_id), run
    WHERE p.event = 'erased' AND c.patient_id = p.patient_id AND c.state <> 'received' AND c.stated <> '{}'
    RETURNING c.id, c.patient_id, c.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'forgotten', patient_id, death_no, 'case ' || id FROM forgotten;
END IF;

PERFORM set_config('waybill.applying', '', true);
END $$;
