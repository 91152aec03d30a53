-- What apply.sql needs, once on each connection: so PostgreSQL plans a statement when it first has rows for it, and keeps the plan.

CREATE TEMP TABLE IF NOT EXISTS member (
    patient_id uuid NOT NULL,
    person     uuid NOT NULL,
    death_of   uuid              -- the record whose death counts as this one's, NULL: alive
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS concerned (
    patient_id     uuid NOT NULL,
    death_of       uuid,             -- the record whose death it is; NULL: alive
    death_no       integer,
    death_earliest timestamptz,
    death_latest   timestamptz,
    acting         boolean NOT NULL, -- the death is neither historic nor contested
    historic       boolean NOT NULL,
    contested      boolean NOT NULL, -- the person is known to be alive
    conflict       varchar(80),      -- dead, and merged into this person, who is not known to be dead
    future         varchar(80)       -- dead by a death that begins, as stated, at this time, on a day after its notice
) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE IF NOT EXISTS pending (
    appointment_id uuid NOT NULL,
    record_id      uuid NOT NULL,
    death_of       uuid NOT NULL,
    death_no       integer NOT NULL,
    verdict        varchar(40) NOT NULL -- cancel, missed, seen, or why a person must cancel it
) ON COMMIT DELETE ROWS;

-- Reconciles appointments and the worklist with the state of the patients that changed, and of the
-- records that are one person with them by merges. A person is the record at the end of a chain of
-- merges; the records before it are retired. It does not wait for a person who holds an appointment:
-- their write wins, and is listed if it leaves a dead patient with a live appointment.
CREATE OR REPLACE FUNCTION pg_temp.settle_appointments() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
PERFORM require_read_committed();
PERFORM set_config('waybill.applying', 'on', true), set_config('jit', 'off', true);

DELETE FROM member;
DELETE FROM concerned;
DELETE FROM pending;

-- Of a million patients most are alive, not merged and unknown here: they are left out at once. Of the rest, most are a
-- person of one record.
WITH known AS MATERIALIZED (
    SELECT p.patient_id, p.death_status IN ('informal', 'formal') AS dead,
           p.merged_into IS NOT NULL OR (SELECT true FROM patient r WHERE r.merged_into = p.patient_id LIMIT 1) IS TRUE AS merged
    FROM changed JOIN patient p USING (patient_id)),
concerns AS (
    SELECT * FROM known k
    WHERE dead OR merged OR (SELECT v.dead FROM vital v WHERE v.patient_id = k.patient_id))
INSERT INTO member
SELECT patient_id, patient_id, CASE WHEN dead THEN patient_id END FROM concerns WHERE NOT merged
UNION ALL
SELECT m.* FROM (SELECT array_agg(patient_id) AS records FROM concerns WHERE merged HAVING count(*) > 0) AS r, members_of(r.records) AS m;
PERFORM pg_temp.sample('member');

INSERT INTO concerned (patient_id, death_of, death_no, death_earliest, death_latest, acting, historic, contested, conflict, future)
SELECT m.patient_id, m.death_of, d.death_no, d.death_earliest, d.death_latest,
       m.death_of IS NOT NULL AND NOT it.historic AND (it.person_dead OR s.patient_id IS NULL),
       it.historic,
       NOT it.person_dead AND s.patient_id IS NOT NULL,
       CASE WHEN m.death_of = m.patient_id AND NOT it.person_dead THEN concat_ws(' ', m.person, CASE WHEN s.patient_id IS NOT NULL THEN 'alive' END) END,
       CASE WHEN m.death_of = m.patient_id AND (d.death_earliest AT TIME ZONE run.zone)::date > (n.noticed_at AT TIME ZONE run.zone)::date
            THEN extract(epoch FROM d.death_earliest)::text END
FROM run CROSS JOIN member m
LEFT JOIN patient p USING (patient_id)
LEFT JOIN patient s ON s.patient_id = m.person
LEFT JOIN patient d ON d.patient_id = m.death_of
LEFT JOIN notice n ON (n.patient_id, n.death_no) = (d.patient_id, d.death_no)
CROSS JOIN LATERAL (
    SELECT coalesce(n.historic, false) AS historic,
           coalesce(s.death_status IN ('informal', 'formal'), false) AS person_dead) AS it
WHERE s.event IS DISTINCT FROM 'erased'; -- nor of persons whose survivor was erased: their own erasure follows
PERFORM pg_temp.sample('concerned');

-- From here on no write to these records' appointments commits unseen: this statement waits for an earlier
-- writer, and a later writer waits for this transaction and then sees the death.
INSERT INTO vital AS v (patient_id, dead, death_of, death_no, death_earliest, death_latest, known_at)
SELECT k.patient_id, k.death_of IS NOT NULL, k.death_of, k.death_no, k.death_earliest, k.death_latest,
       CASE WHEN k.death_of IS NOT NULL THEN run.now END
FROM run CROSS JOIN concerned k LEFT JOIN vital known USING (patient_id)
WHERE k.death_of IS NOT NULL OR known.patient_id IS NOT NULL
ORDER BY k.patient_id
ON CONFLICT (patient_id) DO UPDATE
SET dead = excluded.dead, death_of = excluded.death_of, death_no = excluded.death_no,
    death_earliest = excluded.death_earliest, death_latest = excluded.death_latest,
    known_at = CASE WHEN excluded.dead THEN coalesce(v.known_at, excluded.known_at) END
WHERE (v.death_of, v.death_no, v.death_earliest, v.death_latest)
      IS DISTINCT FROM (excluded.death_of, excluded.death_no, excluded.death_earliest, excluded.death_latest);

-- Most of the dead have none of what follows, and to plan these statements takes longer than all the rest.
IF EXISTS (SELECT FROM changed JOIN patient p USING (patient_id) WHERE p.event = 'erased') THEN
-- The erased are neither dead nor alive: their appointments hold ids alone and stay as they are, and
-- nothing that was cancelled for them comes back.
WITH forgotten AS (
    UPDATE vital v SET dead = false, death_of = NULL, death_no = NULL, death_earliest = NULL, death_latest = NULL, known_at = NULL
    FROM changed JOIN patient p USING (patient_id)
    WHERE p.event = 'erased' AND v.patient_id = p.patient_id AND v.dead
    RETURNING v.patient_id, p.death_no)
INSERT INTO effect (kind, patient_id, death_no) SELECT 'forgotten', patient_id, death_no FROM forgotten;

UPDATE cancellation c SET handed_over_at = run.now
FROM run, changed JOIN patient p USING (patient_id)
WHERE p.event = 'erased' AND c.record_id = p.patient_id AND c.restored_at IS NULL AND c.handed_over_at IS NULL;
END IF;

IF EXISTS (SELECT FROM concerned JOIN worklist USING (patient_id))
    OR EXISTS (SELECT FROM concerned k JOIN cancellation c ON c.record_id = k.patient_id)
    OR EXISTS (SELECT FROM concerned JOIN appointment a USING (patient_id) JOIN worklist l ON l.appointment_id = a.id) THEN
-- Ends items of a death that was retracted or is not historic any more, and items of the living who are dead after
-- all. If a person was asked about an appointment, they are asked again when that death is retracted, too.
WITH over AS MATERIALIZED (
    SELECT id FROM worklist
    WHERE resolved_at IS NULL AND id IN (
        SELECT l.id FROM concerned k JOIN patient p USING (patient_id) JOIN worklist l USING (patient_id)
        WHERE l.reason NOT IN ('not_restored', 'rebooked')
          AND NOT (p.death_status IN ('informal', 'formal') AND p.death_no = l.death_no
                   AND (k.conflict IS NOT NULL OR l.reason <> 'merge_conflict') AND (k.future IS NOT NULL OR l.reason <> 'future_death')
                   AND (k.historic OR l.detail IS DISTINCT FROM 'historic'))
        UNION ALL
        SELECT l.id FROM concerned k JOIN cancellation c ON c.record_id = k.patient_id
        JOIN worklist l ON (l.appointment_id, l.patient_id, l.death_no, l.reason) = (c.appointment_id, c.patient_id, c.death_no, 'not_restored')
        WHERE k.death_of IS NOT NULL AND NOT k.contested
        UNION ALL
        SELECT l.id FROM concerned k JOIN appointment a USING (patient_id) JOIN worklist l ON (l.appointment_id, l.reason) = (a.id, 'rebooked')
        WHERE k.death_of IS NOT NULL AND NOT k.contested)
    ORDER BY id
    FOR UPDATE SKIP LOCKED),
resolved AS (
    UPDATE worklist l SET resolved_at = run.now, resolved_by = 'waybill'
    FROM over, run WHERE l.id = over.id AND l.resolved_at IS NULL
    RETURNING l.id, l.reason, l.appointment_id, l.patient_id, l.death_no),
asked AS (
    UPDATE cancellation c SET handed_over_at = NULL, asked = true
    FROM resolved r
    WHERE r.reason = 'not_restored' AND (c.appointment_id, c.patient_id, c.death_no) = (r.appointment_id, r.patient_id, r.death_no))
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'resolved', patient_id, death_no, 'worklist ' || id FROM resolved;
END IF;

IF EXISTS (SELECT FROM concerned JOIN appointment USING (patient_id)) THEN
-- The appointments that a death concerns; of the long dead only those that are not over or that they came to. Left out are
-- appointments that a person was asked about or has dealt with, for this death or one that it succeeds by a merge. Before
-- the notice nobody knows of the death: appointments between the death and now were missed, and a patient who came since
-- may live. If an appointment that was settled here is live again because its death was declared again, a person decides
-- again. The same holds for one that a person kept for an earlier death.
INSERT INTO pending (appointment_id, record_id, death_of, death_no, verdict)
WITH before_them AS NOT MATERIALIZED (
    SELECT l.appointment_id, l.reason, o.person, l.resolved_by, p.death_no = l.death_no AS stands
    FROM worklist l JOIN patient p USING (patient_id) JOIN member o USING (patient_id) JOIN concerned k USING (patient_id)
    WHERE p.death_status IN ('informal', 'formal') AND l.reason NOT IN ('not_restored', 'rebooked')
      AND (k.historic OR l.detail IS DISTINCT FROM 'historic' OR coalesce(l.resolved_by, 'waybill') <> 'waybill')
      AND EXISTS (SELECT FROM notice n WHERE (n.patient_id, n.death_no) = (l.patient_id, l.death_no))) -- otherwise the item is of a lost past
SELECT a.id, a.patient_id, k.death_of, k.death_no,
       CASE WHEN a.starts_at < it.since THEN 'running'
            WHEN it.seen THEN 'seen'
            WHEN k.historic THEN 'historic'
            WHEN a.status = 'arrived' THEN 'arrived'
            WHEN a.starts_at < run.now THEN 'missed'
            WHEN EXISTS (SELECT FROM before_them b WHERE b.appointment_id = a.id AND b.person = m.person AND b.resolved_by <> 'waybill') THEN 'kept before'
            WHEN EXISTS (SELECT FROM cancellation c JOIN member o USING (patient_id)
                         WHERE c.appointment_id = a.id AND o.person = m.person AND c.restored_at IS NULL AND c.handed_over_at IS NULL)
              OR EXISTS (SELECT FROM before_them b WHERE b.appointment_id = a.id AND b.person = m.person AND b.stands) THEN 'booked again'
            ELSE 'cancel' END
FROM run CROSS JOIN concerned k
JOIN member m USING (patient_id)
JOIN vital v USING (patient_id)
JOIN appointment a USING (patient_id)
JOIN kind ON kind.code = a.kind
CROSS JOIN LATERAL (
    SELECT least(CASE a.status WHEN 'booked' THEN v.death_earliest ELSE v.death_latest END, v.known_at) AS since,
           a.status = 'fulfilled' OR a.status = 'arrived' AND a.starts_at < run.now AS seen) AS it
WHERE kind.post_mortem IS NOT TRUE AND (k.acting OR k.historic)
  AND (a.starts_at >= it.since AND (it.seen OR k.acting AND a.status IN ('booked', 'arrived'))
       OR a.status IN ('booked', 'arrived') AND (a.ends_at > run.now OR a.starts_at >= run.now))
  AND NOT EXISTS (SELECT FROM before_them b
                  WHERE b.appointment_id = a.id AND b.person = m.person AND b.stands AND b.resolved_by IS DISTINCT FROM 'waybill'
                    AND (b.reason = 'seen_after_death' OR NOT (it.seen AND a.starts_at >= it.since)));
END IF;

IF EXISTS (SELECT FROM pending) THEN
WITH due AS MATERIALIZED (
    SELECT a.id, p.death_of, p.death_no
    FROM run CROSS JOIN pending p JOIN appointment a ON (a.id, a.patient_id) = (p.appointment_id, p.record_id)
    WHERE p.verdict = 'cancel' AND a.status = 'booked' AND a.starts_at >= run.now
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
        restored_at = NULL, handed_over_at = NULL, asked = false)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT 'cancelled', death_of, death_no, 'appointment ' || id FROM cancelled;

-- A person decides about appointments that are still live.
WITH listed AS (
    INSERT INTO worklist AS l (reason, detail, appointment_id, patient_id, death_no, raised_at)
    SELECT CASE p.verdict WHEN 'missed' THEN 'missed' WHEN 'seen' THEN 'seen_after_death' ELSE 'not_cancelled' END,
           CASE p.verdict WHEN 'missed' THEN NULL WHEN 'seen' THEN NULL WHEN 'cancel' THEN 'in use' ELSE p.verdict END,
           a.id, p.death_of, p.death_no, run.now
    FROM run, pending p JOIN appointment a ON (a.id, a.patient_id) = (p.appointment_id, p.record_id)
    WHERE a.status <> 'cancelled'
    ORDER BY a.id
    ON CONFLICT (appointment_id, patient_id, death_no, reason) WHERE appointment_id IS NOT NULL
    DO UPDATE SET detail = excluded.detail, raised_at = excluded.raised_at, resolved_at = NULL, resolved_by = NULL
    WHERE l.resolved_by = 'waybill'
    RETURNING reason, patient_id, death_no, appointment_id)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT reason, patient_id, death_no, 'appointment ' || appointment_id FROM listed;
END IF;

IF EXISTS (SELECT FROM concerned k JOIN cancellation c ON c.record_id = k.patient_id WHERE k.death_of IS NULL) THEN
-- Records that are alive again get back the appointments that this system cancelled. If a person has booked another
-- for the same purpose meanwhile, a person decides which of the two the patient needs.
WITH given AS (
    SELECT c.*, a.kind, a.status,
           row_number() OVER (PARTITION BY c.patient_id, c.death_no, a.kind, a.status, c.asked ORDER BY a.starts_at, a.id) AS place
    FROM concerned k JOIN cancellation c ON c.record_id = k.patient_id LEFT JOIN appointment a ON a.id = c.appointment_id
    WHERE k.death_of IS NULL AND c.restored_at IS NULL AND c.handed_over_at IS NULL),
rebooked AS (
    SELECT l.patient_id, l.death_no, o.kind, o.id,
           row_number() OVER (PARTITION BY l.patient_id, l.death_no, o.kind ORDER BY o.starts_at, o.id) AS place
    FROM worklist l JOIN appointment o ON o.id = l.appointment_id
    WHERE l.reason = 'booked_after_death' AND (l.patient_id, l.death_no) IN (SELECT patient_id, death_no FROM given)
      AND o.status NOT IN ('cancelled', 'noshow') AND o.id NOT IN (SELECT appointment_id FROM given)),
tried AS MATERIALIZED (
    SELECT g.appointment_id, g.patient_id, g.death_no, r.id AS rebooked,
           restore(g.appointment_id, g.revision, run.now, CASE WHEN g.asked THEN 'asked' WHEN r.id IS NOT NULL THEN 'booked elsewhere' END) AS outcome
    FROM run CROSS JOIN given g
    LEFT JOIN rebooked r ON g.status = 'cancelled'
        AND (r.patient_id, r.death_no, r.kind, r.place) = (g.patient_id, g.death_no, g.kind, g.place)
    ORDER BY g.appointment_id),
noted AS (
    UPDATE cancellation c
    SET restored_at = CASE WHEN tried.outcome = 'restored' THEN run.now END,
        handed_over_at = CASE WHEN tried.outcome <> 'restored' THEN run.now END
    FROM tried, run
    WHERE (c.appointment_id, c.patient_id, c.death_no) = (tried.appointment_id, tried.patient_id, tried.death_no)),
listed AS (
    INSERT INTO worklist AS l (reason, detail, appointment_id, patient_id, death_no, raised_at)
    SELECT 'not_restored', outcome, appointment_id, patient_id, death_no, run.now
    FROM tried, run WHERE outcome NOT IN ('restored', 'settled')
    UNION ALL
    SELECT 'rebooked', NULL, rebooked, patient_id, death_no, run.now
    FROM tried, run WHERE outcome = 'booked elsewhere'
    ON CONFLICT (appointment_id, patient_id, death_no, reason) WHERE appointment_id IS NOT NULL
    DO UPDATE SET detail = CASE WHEN excluded.detail = 'asked' THEN l.detail ELSE excluded.detail END,
        raised_at = excluded.raised_at, resolved_at = NULL, resolved_by = NULL
    WHERE l.resolved_by = 'waybill'
    RETURNING reason, patient_id, death_no, appointment_id)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT outcome, patient_id, death_no, 'appointment ' || appointment_id FROM tried WHERE outcome = 'restored'
UNION ALL
SELECT reason, patient_id, death_no, 'appointment ' || appointment_id FROM listed;
END IF;

IF EXISTS (SELECT FROM concerned JOIN worklist USING (patient_id)) THEN
-- Questions about a death itself. An item that a person settled stays settled until the state changes.
UPDATE worklist l SET about = CASE WHEN l.resolved_at IS NULL AND l.death_no = k.death_no THEN it.about END
FROM concerned k CROSS JOIN LATERAL (VALUES ('merge_conflict', k.conflict), ('future_death', k.future)) AS it (reason, about)
WHERE l.patient_id = k.patient_id AND l.reason = it.reason AND (l.resolved_at IS NULL OR l.about IS NOT NULL)
  AND l.about IS DISTINCT FROM CASE WHEN l.death_no = k.death_no THEN it.about END;
END IF;

IF EXISTS (SELECT FROM concerned WHERE num_nonnulls(conflict, future) > 0) THEN
WITH due AS (
    SELECT it.reason, k.death_of, k.death_no, it.about
    FROM concerned k CROSS JOIN LATERAL (VALUES ('merge_conflict', k.conflict), ('future_death', k.future)) AS it (reason, about)
    WHERE it.about IS NOT NULL),
listed AS (
    INSERT INTO worklist AS l (reason, patient_id, death_no, about, raised_at)
    SELECT due.*, run.now FROM due, run
    ORDER BY due.death_of, due.reason
    ON CONFLICT (patient_id, death_no, reason) WHERE appointment_id IS NULL
    DO UPDATE SET raised_at = excluded.raised_at, resolved_at = NULL, resolved_by = NULL, about = excluded.about
    WHERE l.resolved_by = 'waybill' OR l.resolved_at IS NOT NULL AND l.about IS NULL
    RETURNING id, reason, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT reason, patient_id, death_no, 'worklist ' || id FROM listed;
END IF;

PERFORM set_config('waybill.applying', '', true);
END $$;
