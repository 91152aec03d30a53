-- Reconciles cases and alerts with the state of the patients that changed, and of whoever is one
-- person with them by merges. Nothing here depends on which events led to that state, save that a
-- conflict leaves what is there as it is. A person is the record at the end of a chain of merges,
-- the records before it are retired.

SELECT set_config('waybill.applying', 'on', true), set_config('jit', 'off', true);

CREATE TEMP TABLE IF NOT EXISTS person (
    patient_id uuid PRIMARY KEY
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS member (
    patient_id uuid PRIMARY KEY,
    person     uuid NOT NULL,
    death_of   uuid              -- the record whose death counts as this one's, NULL: alive
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS concerned (
    patient_id   uuid PRIMARY KEY,
    death_no     integer NOT NULL,
    death_of     uuid,             -- the record whose death counts as this one's; NULL: alive
    verdict      text NOT NULL,    -- on the case of this record's death:
                                   --   open: one must be open       keep: open unless it was voided
                                   --   merged: expected is void, the case of death_of stands
                                   --   void: expected is void, alive   leave: untouched
    conflict     boolean NOT NULL, -- dead, and merged into one that is not known to be dead
    stated       jsonb             -- the identity of the dead
) ON COMMIT DELETE ROWS;
DELETE FROM person;
DELETE FROM member;
DELETE FROM concerned;

-- Of a million patients most are alive, single and unknown here: they are left out at once. Records
-- in a circle of merges, which the patients service refuses to make, count as persons.
INSERT INTO person (patient_id)
WITH RECURSIVE
seed AS (
    SELECT p.patient_id, p.merged_into FROM changed JOIN patient p USING (patient_id)
    WHERE p.death_status IN ('informal', 'formal') OR p.merged_into IS NOT NULL
    UNION
    SELECT p.patient_id, p.merged_into FROM changed JOIN patient p USING (patient_id)
    WHERE p.patient_id IN (SELECT patient_id FROM case_file)
    UNION
    SELECT p.patient_id, p.merged_into FROM changed JOIN patient p USING (patient_id)
    WHERE p.patient_id IN (SELECT patient_id FROM alert)
    UNION
    SELECT p.patient_id, p.merged_into FROM changed JOIN patient p USING (patient_id)
    WHERE p.patient_id IN (SELECT merged_into FROM patient WHERE merged_into IS NOT NULL)
),
climb (patient_id, above) AS (
    SELECT patient_id, merged_into FROM seed WHERE merged_into IS NOT NULL
    UNION
    SELECT c.patient_id, p.merged_into FROM climb c JOIN patient p ON p.patient_id = c.above
    WHERE p.merged_into IS NOT NULL
),
ended AS (
    SELECT c.patient_id, c.above FROM climb c LEFT JOIN patient p ON p.patient_id = c.above WHERE p.merged_into IS NULL
)
SELECT patient_id FROM seed WHERE merged_into IS NULL
UNION
SELECT above FROM ended
UNION
SELECT above FROM climb WHERE patient_id NOT IN (SELECT patient_id FROM ended);

-- The death of a record is that of the last dead one in its chain. A historic death, which has no
-- effects, does not stand for one that has.
INSERT INTO member (patient_id, person, death_of)
WITH RECURSIVE family (patient_id, person, acting, historic) AS (
    SELECT e.patient_id, e.patient_id, CASE WHEN d.acts THEN e.patient_id END, CASE WHEN NOT d.acts THEN e.patient_id END
    FROM person e LEFT JOIN dead d USING (patient_id)
    UNION ALL
    SELECT p.patient_id, f.person,
           coalesce(f.acting, CASE WHEN d.acts THEN p.patient_id END), coalesce(f.historic, CASE WHEN NOT d.acts THEN p.patient_id END)
    FROM family f JOIN patient p ON p.merged_into = f.patient_id LEFT JOIN dead d ON d.patient_id = p.patient_id
    WHERE NOT EXISTS (SELECT FROM person e WHERE e.patient_id = p.patient_id)
),
dead AS NOT MATERIALIZED (
    SELECT p.patient_id, NOT coalesce(n.historic, false) AS acts
    FROM patient p LEFT JOIN notice n USING (patient_id, death_no)
    WHERE p.death_status IN ('informal', 'formal')
)
SELECT patient_id, person, coalesce(acting, historic) FROM family;

INSERT INTO concerned (patient_id, death_no, death_of, verdict, conflict, stated)
SELECT p.patient_id, p.death_no, m.death_of,
       CASE WHEN NOT it.dead THEN 'void'
            WHEN it.historic THEN 'leave'
            WHEN m.death_of <> p.patient_id THEN 'merged'
            WHEN it.person_dead THEN 'open'
            WHEN s.patient_id IS NULL THEN 'keep'
            ELSE 'leave' END,
       it.dead AND m.death_of = p.patient_id AND NOT it.person_dead,
       CASE WHEN it.dead THEN to_jsonb(identity) END
FROM member m
JOIN patient p USING (patient_id)
LEFT JOIN patient s ON s.patient_id = m.person
LEFT JOIN patient d ON d.patient_id = m.death_of
LEFT JOIN notice n ON (n.patient_id, n.death_no) = (d.patient_id, d.death_no)
CROSS JOIN LATERAL (
    SELECT p.death_status IN ('informal', 'formal') AS dead,
           coalesce(s.death_status IN ('informal', 'formal'), false) AS person_dead,
           coalesce(n.historic, false) AS historic) AS it
CROSS JOIN LATERAL (
    SELECT p.family_name, p.given_name, p.birth_date, p.sex, p.identifiers,
           p.address_line, p.address_city, p.address_postcode, p.address_country) AS identity
WHERE p.event <> 'erased';

-- From here on each statement sees what staff had committed when the lock was granted.
SELECT count(*) FROM (
    SELECT FROM case_file WHERE patient_id IN (
        SELECT patient_id FROM concerned
        UNION ALL
        SELECT patient_id FROM changed JOIN patient p USING (patient_id) WHERE p.event = 'erased')
    ORDER BY id FOR UPDATE) AS locked;

-- One person, one body: where it is already in custody, or was, under a retired record, the case
-- of the death that counts expects nobody.
UPDATE concerned survivor SET verdict = 'merged'
FROM concerned retired JOIN case_file c USING (patient_id, death_no)
WHERE survivor.verdict IN ('open', 'keep') AND retired.death_of = survivor.patient_id
  AND retired.patient_id <> survivor.patient_id AND retired.stated IS NOT NULL
  AND c.state IN ('received', 'released');

WITH voided AS (
    UPDATE case_file c
    SET state = 'void', voided_at = run.now, voided_by = 'waybill',
        void_reason = CASE WHEN k.verdict = 'merged' AND k.death_no = c.death_no THEN 'merged' ELSE 'retracted' END
    FROM concerned k, run
    WHERE c.patient_id = k.patient_id AND c.state = 'expected' AND c.voided_at IS NULL
      AND (k.verdict IN ('void', 'merged') OR c.death_no <> k.death_no)
    RETURNING c.id, c.patient_id, c.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'voided', patient_id, death_no, 'case ' || id FROM voided;

WITH opened AS (
    INSERT INTO case_file (patient_id, death_no, noticed_at,
        family_name, given_name, birth_date, sex, identifiers,
        address_line, address_city, address_postcode, address_country, stated,
        death_status, death_earliest, death_latest, death_precision)
    SELECT p.patient_id, p.death_no, coalesce(n.noticed_at, run.now),
        p.family_name, p.given_name, p.birth_date, p.sex, p.identifiers,
        p.address_line, p.address_city, p.address_postcode, p.address_country, k.stated,
        p.death_status, p.death_earliest, p.death_latest, p.death_precision
    FROM run, concerned k JOIN patient p USING (patient_id)
    LEFT JOIN notice n ON (n.patient_id, n.death_no) = (p.patient_id, p.death_no)
    WHERE k.verdict IN ('open', 'keep')
    ORDER BY p.patient_id
    ON CONFLICT DO NOTHING
    RETURNING id, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'opened', patient_id, death_no, 'case ' || id FROM opened;

WITH reopened AS (
    UPDATE case_file c
    SET state = 'expected', voided_at = NULL, voided_by = NULL, void_reason = NULL
    FROM concerned k
    WHERE (c.patient_id, c.death_no) = (k.patient_id, k.death_no) AND k.verdict = 'open'
      AND c.state = 'void' AND c.voided_by = 'waybill'
    RETURNING c.id, c.patient_id, c.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'reopened', patient_id, death_no, 'case ' || id FROM reopened;

-- Facts that people rely on, in custody or edited by hand, stay; that they were restated is an alert.
WITH restated AS (
    UPDATE case_file c SET stated = k.stated
    FROM concerned k
    WHERE (c.patient_id, c.death_no) = (k.patient_id, k.death_no) AND c.stated IS DISTINCT FROM k.stated AND k.stated IS NOT NULL
      AND (c.state IN ('received', 'released') OR c.state = 'expected' AND c.touched_at IS NOT NULL)
    RETURNING c.id, c.patient_id, c.death_no),
raised AS (
    INSERT INTO alert (kind, patient_id, death_no, case_id, raised_at)
    SELECT 'identity_changed', patient_id, death_no, id, run.now FROM restated, run
    ORDER BY id
    ON CONFLICT DO NOTHING
    RETURNING id, kind, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT kind, patient_id, death_no, 'alert ' || id FROM raised;

-- Else they follow. The facts of the death are the patients service's to state until the release.
WITH corrected AS (
    UPDATE case_file c
    SET (family_name, given_name, birth_date, sex, identifiers,
         address_line, address_city, address_postcode, address_country, stated,
         death_status, death_earliest, death_latest, death_precision)
        = ROW (p.family_name, p.given_name, p.birth_date, p.sex, p.identifiers,
         p.address_line, p.address_city, p.address_postcode, p.address_country, k.stated,
         p.death_status, p.death_earliest, p.death_latest, p.death_precision)
    FROM concerned k JOIN patient p USING (patient_id)
    WHERE (c.patient_id, c.death_no) = (k.patient_id, k.death_no) AND k.stated IS NOT NULL
      AND c.state = 'expected' AND c.touched_at IS NULL
      AND (c.stated, c.death_status, c.death_earliest, c.death_latest, c.death_precision)
          IS DISTINCT FROM (k.stated, p.death_status, p.death_earliest, p.death_latest, p.death_precision)
    RETURNING c.id, c.patient_id, c.death_no),
dated AS (
    UPDATE case_file c
    SET (death_status, death_earliest, death_latest, death_precision)
        = ROW (p.death_status, p.death_earliest, p.death_latest, p.death_precision)
    FROM concerned k JOIN patient p USING (patient_id)
    WHERE (c.patient_id, c.death_no) = (k.patient_id, k.death_no) AND k.stated IS NOT NULL
      AND c.state = 'received' AND c.touched_at IS NULL
      AND (c.death_status, c.death_earliest, c.death_latest, c.death_precision)
          IS DISTINCT FROM (p.death_status, p.death_earliest, p.death_latest, p.death_precision)
    RETURNING c.id, c.patient_id, c.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'updated', patient_id, death_no, 'case ' || id
FROM (SELECT * FROM corrected UNION ALL SELECT * FROM dated) AS updated;

-- An alert that a person has resolved is not raised again.
WITH due (kind, patient_id, death_no, case_id) AS (
    SELECT 'identity', c.patient_id, c.death_no, c.id
    FROM case_file c JOIN concerned k USING (patient_id)
    WHERE c.state IN ('received', 'released') AND (k.verdict = 'void' OR c.death_no <> k.death_no)
    UNION ALL
    SELECT 'merged_in_custody', c.patient_id, c.death_no, c.id
    FROM case_file c JOIN concerned k USING (patient_id, death_no)
    WHERE c.state IN ('received', 'released') AND k.stated IS NOT NULL AND k.death_of <> k.patient_id
    UNION ALL
    SELECT 'merge_conflict', k.patient_id, k.death_no, c.id
    FROM concerned k LEFT JOIN case_file c USING (patient_id, death_no)
    WHERE k.conflict),
raised AS (
    INSERT INTO alert (kind, patient_id, death_no, case_id, raised_at)
    SELECT due.*, run.now FROM due, run
    WHERE NOT EXISTS (
        SELECT FROM alert a
        WHERE (a.kind, a.patient_id, a.death_no) = (due.kind, due.patient_id, due.death_no)
          AND a.resolved_by IS DISTINCT FROM 'waybill')
    ORDER BY due.patient_id, due.kind
    RETURNING id, kind, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT kind, patient_id, death_no, 'alert ' || id FROM raised;

-- Nothing is expected of the erased any more, and what is known of them goes, with trigger
-- forget_erased, but while a body is in custody: a person must look.
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

WITH raised AS (
    INSERT INTO alert (kind, patient_id, death_no, case_id, raised_at)
    SELECT 'erased_in_custody', c.patient_id, c.death_no, c.id, run.now
    FROM run, changed JOIN patient p USING (patient_id) JOIN case_file c USING (patient_id)
    WHERE p.event = 'erased' AND c.state = 'received' AND c.stated <> '{}'
      AND NOT EXISTS (SELECT FROM alert a WHERE (a.kind, a.case_id) = ('erased_in_custody', c.id))
    ORDER BY c.id
    RETURNING id, kind, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT kind, patient_id, death_no, 'alert ' || id FROM raised;

-- A conflict is settled when the retired record or its survivor has changed.
WITH resolved AS (
    UPDATE alert a SET resolved_at = run.now, resolved_by = 'waybill'
    FROM run, (
        SELECT patient_id, death_no, conflict FROM concerned
        UNION ALL
        SELECT patient_id, 0, false FROM changed JOIN patient p USING (patient_id) WHERE p.event = 'erased') k
    WHERE a.patient_id = k.patient_id AND a.kind = 'merge_conflict' AND a.resolved_at IS NULL
      AND NOT (k.conflict AND a.death_no = k.death_no)
    RETURNING a.id, a.patient_id, a.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'resolved', patient_id, death_no, 'alert ' || id FROM resolved;

SELECT set_config('waybill.applying', '', true);
