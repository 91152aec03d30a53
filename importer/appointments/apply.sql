-- Reconciles appointments and the worklist with the state of the patients that changed, and of
-- whoever is one person with them by merges. A person is the record at the end of a chain of
-- merges; the records before it are retired. Nobody is waited for who holds an appointment: their
-- write wins, and goes on the worklist if it leaves one of the dead with a live appointment.

SELECT require_read_committed();
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
    patient_id     uuid PRIMARY KEY,
    death_of       uuid,             -- the record whose death it is; NULL: alive
    death_no       integer,
    death_earliest timestamptz,
    acting         boolean NOT NULL, -- the death is not historic, nor in conflict with a person known to be alive
    historic       boolean NOT NULL,
    conflict       boolean NOT NULL  -- dead, and merged into one that is not known to be dead
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS pending (
    appointment_id uuid PRIMARY KEY,
    record_id      uuid NOT NULL,
    death_of       uuid NOT NULL,
    death_no       integer NOT NULL,
    cutoff         timestamptz NOT NULL,
    verdict        text NOT NULL     -- cancel, missed, or why it is a person's to cancel
) ON COMMIT DELETE ROWS;
DELETE FROM person;
DELETE FROM member;
DELETE FROM concerned;
DELETE FROM pending;

-- Of a million patients most are alive, single and unknown here: they are left out at once. Records
-- in a circle of merges, which the patients service refuses to make, count as persons.
INSERT INTO person (patient_id)
WITH RECURSIVE
seed AS (
    SELECT p.patient_id, p.merged_into FROM changed JOIN patient p USING (patient_id)
    WHERE p.death_status IN ('informal', 'formal') OR p.merged_into IS NOT NULL
    UNION
    SELECT p.patient_id, p.merged_into FROM changed JOIN patient p USING (patient_id)
    WHERE p.patient_id IN (SELECT patient_id FROM vital WHERE dead)
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

INSERT INTO concerned (patient_id, death_of, death_no, death_earliest, acting, historic, conflict)
SELECT m.patient_id, m.death_of, d.death_no, d.death_earliest,
       m.death_of IS NOT NULL AND NOT it.historic AND (it.person_dead OR s.patient_id IS NULL),
       it.historic,
       m.death_of IS NOT DISTINCT FROM m.patient_id AND NOT it.person_dead
FROM member m
LEFT JOIN patient p USING (patient_id)
LEFT JOIN patient s ON s.patient_id = m.person
LEFT JOIN patient d ON d.patient_id = m.death_of
LEFT JOIN notice n ON (n.patient_id, n.death_no) = (d.patient_id, d.death_no)
CROSS JOIN LATERAL (
    SELECT coalesce(n.historic, false) AS historic,
           coalesce(s.death_status IN ('informal', 'formal'), false) AS person_dead) AS it
WHERE p.event IS DISTINCT FROM 'erased';

-- From here on no write to these records' appointments commits unseen: whoever made one is waited
-- for here, and whoever makes one waits there and then learns of the death.
INSERT INTO vital AS v (patient_id, dead, death_of, death_no, death_earliest, known_at)
SELECT k.patient_id, k.death_of IS NOT NULL, k.death_of, k.death_no, k.death_earliest,
       CASE WHEN k.death_of IS NOT NULL THEN run.now END
FROM concerned k, run
WHERE k.death_of IS NOT NULL OR k.patient_id IN (SELECT patient_id FROM vital)
ORDER BY k.patient_id
ON CONFLICT (patient_id) DO UPDATE
SET dead = excluded.dead, death_of = excluded.death_of, death_no = excluded.death_no, death_earliest = excluded.death_earliest,
    known_at = CASE WHEN excluded.dead THEN coalesce(v.known_at, excluded.known_at) END
WHERE (v.death_of, v.death_no, v.death_earliest) IS DISTINCT FROM (excluded.death_of, excluded.death_no, excluded.death_earliest);

-- The erased are neither dead nor alive: their appointments hold ids alone and stay as they are, and
-- nothing that was cancelled for them comes back.
WITH forgotten AS (
    UPDATE vital v SET dead = false, death_of = NULL, death_no = NULL, death_earliest = NULL, known_at = NULL
    FROM changed JOIN patient p USING (patient_id)
    WHERE p.event = 'erased' AND v.patient_id = p.patient_id AND v.dead
    RETURNING v.patient_id, p.death_no)
INSERT INTO effect (kind, patient_id, death_no) SELECT 'forgotten', patient_id, death_no FROM forgotten;

UPDATE cancellation c SET handed_over_at = run.now
FROM run, changed JOIN patient p USING (patient_id)
WHERE p.event = 'erased' AND c.record_id = p.patient_id AND c.restored_at IS NULL AND c.handed_over_at IS NULL;

-- Items whose death no longer stands, and those of a death that is historic no more.
WITH over AS MATERIALIZED (
    SELECT l.id FROM worklist l JOIN concerned k USING (patient_id) JOIN patient p USING (patient_id)
    WHERE l.resolved_at IS NULL AND l.reason <> 'not_restored'
      AND NOT (p.death_status IN ('informal', 'formal') AND p.death_no = l.death_no
               AND (k.conflict OR l.reason <> 'merge_conflict') AND (k.historic OR l.detail IS DISTINCT FROM 'historic'))
    ORDER BY l.id
    FOR UPDATE OF l SKIP LOCKED),
resolved AS (
    UPDATE worklist l SET resolved_at = run.now, resolved_by = 'waybill'
    FROM over, run WHERE l.id = over.id AND l.resolved_at IS NULL
    RETURNING l.id, l.patient_id, l.death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'resolved', patient_id, death_no, 'worklist ' || id FROM resolved;

-- The live appointments of the dead, of one long dead those to come, save those that a person has before
-- them, or has dealt with, on account of this death or of one that it succeeds by a merge. What was settled here and is live again,
-- because its death was restated after all, was a person's and is theirs once more.
INSERT INTO pending (appointment_id, record_id, death_of, death_no, cutoff, verdict)
WITH before_them AS NOT MATERIALIZED (
    SELECT l.appointment_id, o.person, l.resolved_by FROM worklist l
    JOIN patient p USING (patient_id, death_no) JOIN member o USING (patient_id) JOIN concerned k USING (patient_id)
    WHERE p.death_status IN ('informal', 'formal') AND l.reason <> 'not_restored'
      AND (k.historic OR l.detail IS DISTINCT FROM 'historic' OR coalesce(l.resolved_by, 'waybill') <> 'waybill'))
SELECT a.id, a.patient_id, k.death_of, k.death_no, it.cutoff,
       CASE WHEN k.historic THEN 'historic'
            WHEN a.starts_at < it.cutoff THEN 'missed'
            WHEN a.status = 'arrived' THEN 'arrived'
            WHEN EXISTS (SELECT FROM cancellation c JOIN member o USING (patient_id)
                         WHERE c.appointment_id = a.id AND o.person = m.person AND c.restored_at IS NULL AND c.handed_over_at IS NULL)
              OR EXISTS (SELECT FROM before_them b WHERE b.appointment_id = a.id AND b.person = m.person) THEN 'booked again'
            ELSE 'cancel' END
FROM concerned k
JOIN member m USING (patient_id)
JOIN vital v USING (patient_id)
CROSS JOIN LATERAL (SELECT greatest(v.death_earliest, v.known_at) AS cutoff) AS it
JOIN appointment a USING (patient_id)
JOIN kind ON kind.code = a.kind
WHERE NOT kind.post_mortem
  AND (k.acting AND a.starts_at >= coalesce(v.death_earliest, v.known_at) OR k.historic AND a.starts_at >= it.cutoff)
  AND (a.status = 'booked' OR a.status = 'arrived' AND a.starts_at >= it.cutoff)
  AND NOT EXISTS (SELECT FROM before_them b
                  WHERE b.appointment_id = a.id AND b.person = m.person AND b.resolved_by IS DISTINCT FROM 'waybill');

WITH due AS MATERIALIZED (
    SELECT a.id, p.death_of, p.death_no
    FROM pending p JOIN appointment a ON (a.id, a.patient_id) = (p.appointment_id, p.record_id)
    WHERE p.verdict = 'cancel' AND a.status = 'booked' AND a.starts_at >= p.cutoff
    ORDER BY a.id
    FOR NO KEY UPDATE OF a SKIP LOCKED),
cancelled AS (
    UPDATE appointment a SET status = 'cancelled', cancellation_reason = 'pat-dec'
    FROM due WHERE a.id = due.id AND a.status = 'booked'
    RETURNING a.id, a.patient_id, a.revision, due.death_of, due.death_no),
noted AS (
    INSERT INTO cancellation (appointment_id, patient_id, death_no, record_id, cancelled_at, revision)
    SELECT id, death_of, death_no, patient_id, run.now, revision FROM cancelled, run
    ON CONFLICT (appointment_id, patient_id, death_no) DO UPDATE
    SET record_id = excluded.record_id, cancelled_at = excluded.cancelled_at, revision = excluded.revision,
        restored_at = NULL, handed_over_at = NULL)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'cancelled', death_of, death_no, 'appointment ' || id FROM cancelled;

-- What is still live is a person's.
WITH listed AS (
    INSERT INTO worklist AS l (reason, detail, appointment_id, patient_id, death_no, raised_at)
    SELECT CASE WHEN p.verdict = 'missed' THEN 'missed' ELSE 'not_cancelled' END,
           CASE p.verdict WHEN 'missed' THEN NULL WHEN 'cancel' THEN 'in use' ELSE p.verdict END,
           a.id, p.death_of, p.death_no, run.now
    FROM run, pending p JOIN appointment a ON (a.id, a.patient_id) = (p.appointment_id, p.record_id)
    WHERE a.status IN ('booked', 'arrived')
    ORDER BY a.id
    ON CONFLICT (appointment_id, patient_id, death_no, reason) WHERE appointment_id IS NOT NULL
    DO UPDATE SET detail = excluded.detail, raised_at = excluded.raised_at, resolved_at = NULL, resolved_by = NULL
    WHERE l.resolved_by = 'waybill'
    RETURNING reason, patient_id, death_no, appointment_id)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT reason, patient_id, death_no, 'appointment ' || appointment_id FROM listed;

-- Records that are alive again get back what this system took.
WITH tried AS MATERIALIZED (
    SELECT c.appointment_id, c.patient_id, c.death_no, restore(c.appointment_id, c.revision, run.now) AS outcome
    FROM run, cancellation c JOIN concerned k ON k.patient_id = c.record_id
    WHERE k.death_of IS NULL AND c.restored_at IS NULL AND c.handed_over_at IS NULL
    ORDER BY c.appointment_id),
noted AS (
    UPDATE cancellation c
    SET restored_at = CASE WHEN tried.outcome = 'restored' THEN run.now END,
        handed_over_at = CASE WHEN tried.outcome <> 'restored' THEN run.now END
    FROM tried, run
    WHERE (c.appointment_id, c.patient_id, c.death_no) = (tried.appointment_id, tried.patient_id, tried.death_no)),
listed AS (
    INSERT INTO worklist (reason, detail, appointment_id, patient_id, death_no, raised_at)
    SELECT 'not_restored', outcome, appointment_id, patient_id, death_no, run.now
    FROM tried, run WHERE outcome NOT IN ('restored', 'settled')
    ON CONFLICT DO NOTHING
    RETURNING reason, patient_id, death_no, appointment_id)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT outcome, patient_id, death_no, 'appointment ' || appointment_id FROM tried WHERE outcome = 'restored'
UNION ALL
SELECT reason, patient_id, death_no, 'appointment ' || appointment_id FROM listed;

WITH listed AS (
    INSERT INTO worklist AS l (reason, patient_id, death_no, raised_at)
    SELECT 'merge_conflict', k.death_of, k.death_no, run.now FROM concerned k, run WHERE k.conflict
    ORDER BY k.death_of
    ON CONFLICT (patient_id, death_no) WHERE appointment_id IS NULL
    DO UPDATE SET raised_at = excluded.raised_at, resolved_at = NULL, resolved_by = NULL
    WHERE l.resolved_by = 'waybill'
    RETURNING id, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'merge_conflict', patient_id, death_no, 'worklist ' || id FROM listed;

SELECT set_config('waybill.applying', '', true);
