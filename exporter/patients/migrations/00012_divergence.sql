-- +goose Up
-- divergence lists the patients whose rows and last events differ. It checks capture independently: it needs no trigger.
--
-- unseen: a row without an event. gone: events without a row. changed: they differ. unmerged: the event
-- says merged, but the tables don't or name another record. refilled: an erased record is not blank.
CREATE VIEW patients.divergence AS
SELECT s.patient_id,
       CASE WHEN (o.event).version IS NULL THEN 'unseen'
            WHEN (o.event).event = 'erased' THEN 'refilled'
            WHEN (o.event).merged_into IS NOT NULL AND (o.event).merged_into IS DISTINCT FROM s.merged_into THEN 'unmerged'
            ELSE 'changed' END AS kind
FROM patients.state s
LEFT JOIN LATERAL (SELECT o AS event FROM patients.outbox o WHERE o.patient_id = s.patient_id ORDER BY o.version DESC LIMIT 1) o ON true
WHERE patients.differ(s, o.event)
   OR s.merged_into IS DISTINCT FROM (o.event).merged_into AND (o.event).event <> 'erased'
UNION ALL
SELECT DISTINCT o.patient_id, 'gone'
FROM patients.outbox o
WHERE NOT EXISTS (SELECT FROM patients.patient p WHERE p.id = o.patient_id)
  AND NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = o.patient_id);
