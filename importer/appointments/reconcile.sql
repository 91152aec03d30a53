-- The patients whose appointments differ from what apply.sql would have left. An appointment that is on the worklist
-- for a death, or that a person settled there, is never a finding. Neither are effects that were only observed.
WITH RECURSIVE
looked_at AS (
    SELECT a.id, a.patient_id, a.status FROM appointment a JOIN kind k ON k.code = a.kind
    WHERE a.status IN ('booked', 'arrived') AND a.starts_at >= now() AND k.post_mortem IS NOT TRUE
    UNION ALL
    SELECT a.id, c.record_id, a.status FROM cancellation c JOIN appointment a ON a.id = c.appointment_id
    WHERE c.restored_at IS NULL AND a.status = 'cancelled' AND a.cancellation_reason = 'pat-dec' AND a.revision = c.revision
),
-- From an appointment's record up the chain of merges to the person, as far as the records are known here.
climb (id, patient_id, height) AS (
    SELECT a.id, p.patient_id, 0 FROM looked_at a JOIN patient p USING (patient_id)
    UNION
    SELECT c.id, s.patient_id, c.height + 1
    FROM climb c JOIN patient p USING (patient_id) JOIN patient s ON s.patient_id = p.merged_into
    WHERE c.height < 1000
),
person AS (SELECT id, max(height) AS height FROM climb GROUP BY id),
-- The death that counts for an appointment: that of the last dead record of the chain.
death AS (
    SELECT DISTINCT ON (c.id) c.id, c.height
    FROM climb c JOIN patient p USING (patient_id)
    WHERE p.death_status IN ('informal', 'formal')
    ORDER BY c.id, c.height DESC
),
listed AS (
    SELECT l.appointment_id AS id FROM worklist l JOIN patient p USING (patient_id, death_no)
    WHERE p.death_status IN ('informal', 'formal') AND l.resolved_by IS DISTINCT FROM 'waybill'
),
found (kind, patient_id) AS (
    SELECT 'live_appointment', a.patient_id
    FROM looked_at a JOIN person USING (id) JOIN death d USING (id, height)
    WHERE a.status <> 'cancelled' AND NOT EXISTS (SELECT FROM listed l WHERE l.id = a.id)
    UNION ALL
    SELECT 'lost_appointment', a.patient_id
    FROM looked_at a JOIN person USING (id)
    WHERE a.status = 'cancelled' AND NOT EXISTS (SELECT FROM death d WHERE d.id = a.id)
      AND NOT EXISTS (SELECT FROM patient p WHERE p.patient_id = a.patient_id AND p.event = 'erased')
      AND NOT EXISTS (SELECT FROM worklist l WHERE l.appointment_id = a.id AND l.reason = 'not_restored' AND l.resolved_by IS DISTINCT FROM 'waybill')
    UNION ALL
    SELECT 'double_booking', b.patient_id
    FROM (SELECT patient_id, starts_at, ends_at, resource,
                 max(greatest(ends_at, starts_at + interval '1 microsecond')) OVER (
                     PARTITION BY resource ORDER BY starts_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS taken_until
          FROM appointment WHERE status IN ('booked', 'arrived')) b
    WHERE b.starts_at < b.taken_until
)
SELECT kind, patient_id FROM found f
WHERE NOT EXISTS (SELECT FROM observed o WHERE o.patient_id = f.patient_id)
ORDER BY kind, patient_id;
