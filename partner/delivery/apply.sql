-- An erased patient leaves nothing in the queue but the erasure, which names the id only.
DELETE FROM queue q USING changed JOIN patient p USING (patient_id)
WHERE q.patient_id = p.patient_id AND p.event = 'erased' AND q.event <> 'erased';

-- Queues the batch's events that are newer than what was queued of their patient, so that a batch
-- loaded twice, a snapshot or a correction of old news adds nothing, and no patient goes back to an
-- older state. Patients are in the order of what was recorded, and each one's events in their own. In a
-- snapshot merges come last: whom they name is known by then.
WITH told AS (
    INSERT INTO queue (batch, queued_at, event, baseline, patient_id, generation, version, revision, recorded_at,
        death_no, death_status, death_earliest, death_latest, death_precision, merged_into, identifiers,
        family_name, given_name, birth_date, sex, address_line, address_city, address_postcode, address_country)
    SELECT run.batch, run.now, s.event, s.baseline, s.patient_id, s.generation, s.version, s.revision, s.recorded_at,
        s.death_no, s.death_status, s.death_earliest, s.death_latest, s.death_precision, s.merged_into, s.identifiers,
        s.family_name, s.given_name, s.birth_date, s.sex, s.address_line, s.address_city, s.address_postcode, s.address_country
    FROM run, (SELECT *, max(recorded_at) OVER (PARTITION BY patient_id ORDER BY generation, version, revision) AS turn FROM staging) s
    LEFT JOIN LATERAL (
        SELECT * FROM queue q WHERE q.patient_id = s.patient_id
        ORDER BY q.generation DESC, q.version DESC, q.revision DESC LIMIT 1) last ON true
    WHERE (s.event = 'erased' OR NOT EXISTS (SELECT FROM patient p WHERE p.patient_id = s.patient_id AND p.event = 'erased'))
      AND (last.patient_id IS NULL
       OR (s.generation, s.version, s.revision) > (last.generation, last.version, last.revision)
          -- A snapshot restates what is known: types that are not subscribed to move the version alone.
          AND NOT (s.baseline
              AND (s.death_no, s.death_status, s.death_earliest, s.death_latest, s.death_precision, s.merged_into, s.identifiers,
                   s.family_name, s.given_name, s.birth_date, s.sex, s.address_line, s.address_city, s.address_postcode, s.address_country)
              IS NOT DISTINCT FROM
                  (last.death_no, last.death_status, last.death_earliest, last.death_latest, last.death_precision, last.merged_into, last.identifiers,
                   last.family_name, last.given_name, last.birth_date, last.sex, last.address_line, last.address_city, last.address_postcode, last.address_country)))
    ORDER BY run.kind = 'snapshot' AND s.event = 'merged', s.turn, s.patient_id, s.generation, s.version, s.revision
    ON CONFLICT DO NOTHING
    RETURNING event, baseline, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject)
SELECT CASE WHEN baseline THEN 'queued' WHEN event = 'died' THEN 'death' WHEN event = 'death_retracted' THEN 'retraction'
            WHEN event = 'merged' THEN 'merge' ELSE 'queued' END,
       patient_id, death_no, event
FROM told;

-- Retract the deaths that were queued for the partner of patients whom a new generation of the source no longer knows.
WITH told AS (
    INSERT INTO queue (batch, queued_at, event, baseline, patient_id, generation, version, revision, recorded_at,
        death_no, death_status, merged_into, identifiers,
        family_name, given_name, birth_date, sex, address_line, address_city, address_postcode, address_country)
    SELECT run.batch, run.now, p.event, p.baseline, p.patient_id, p.generation, p.version, p.revision, run.now,
        p.death_no, p.death_status, p.merged_into, p.identifiers,
        p.family_name, p.given_name, p.birth_date, p.sex, p.address_line, p.address_city, p.address_postcode, p.address_country
    FROM run, changed JOIN patient p USING (patient_id)
    WHERE p.version = 0 AND p.event = 'death_retracted'
      AND (SELECT q.death_status IN ('informal', 'formal') FROM queue q WHERE q.patient_id = p.patient_id
           ORDER BY q.generation DESC, q.version DESC, q.revision DESC LIMIT 1)
    ORDER BY p.patient_id
    ON CONFLICT DO NOTHING
    RETURNING event, patient_id, death_no)
INSERT INTO effect (kind, patient_id, death_no, subject) SELECT 'retraction', patient_id, death_no, event FROM told;
