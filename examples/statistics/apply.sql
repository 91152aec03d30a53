-- Taken out: patients who are not dead any more, was merged into another record, or died in another month.
WITH gone AS (
    DELETE FROM death d
    USING run, changed JOIN patient p USING (patient_id)
    WHERE d.patient_id = p.patient_id
      AND (p.death_status NOT IN ('informal', 'formal') OR p.merged_into IS NOT NULL
           OR d.month <> month_of(p.death_earliest, p.death_precision, run.zone))
    RETURNING d.patient_id)
INSERT INTO effect (kind, patient_id) SELECT 'uncounted', patient_id FROM gone;

WITH new AS (
    INSERT INTO death (patient_id, month)
    SELECT p.patient_id, month_of(p.death_earliest, p.death_precision, run.zone)
    FROM run, changed JOIN patient p USING (patient_id)
    WHERE p.death_status IN ('informal', 'formal') AND p.merged_into IS NULL
    ORDER BY p.patient_id
    ON CONFLICT DO NOTHING
    RETURNING patient_id)
INSERT INTO effect (kind, patient_id) SELECT 'counted', patient_id FROM new;
