-- The patients without the case that apply.sql would have left. People's changes are never a finding: a case
-- that a person voided counts as a case. Neither are effects that were only observed.
WITH RECURSIVE
-- Persons who are dead by their own record. A person is a record that was not merged into one known here.
dead AS (
    SELECT p.patient_id, p.death_no, p.death_earliest, n.noticed_at FROM patient p
    LEFT JOIN notice n ON (n.patient_id, n.death_no) = (p.patient_id, p.death_no)
    WHERE p.death_status IN ('informal', 'formal') AND NOT coalesce(n.historic, false)
      AND NOT EXISTS (SELECT FROM patient s WHERE s.patient_id = p.merged_into)
),
retired (person, patient_id) AS (
    SELECT d.patient_id, p.patient_id FROM dead d JOIN patient p ON p.merged_into = d.patient_id
    UNION
    SELECT r.person, p.patient_id FROM retired r JOIN patient p ON p.merged_into = r.patient_id
),
-- One person, one body: it may be, or have been, in custody under a retired record.
awaited AS (
    SELECT patient_id, death_no FROM dead d
    WHERE NOT EXISTS (SELECT FROM retired r JOIN case_file c USING (patient_id)
                      WHERE r.person = d.patient_id AND c.state IN ('received', 'released')
                        AND NOT coalesce(c.received_at <= least(d.death_earliest, d.noticed_at) AND d.death_earliest IS NOT NULL, false))
),
found (kind, patient_id) AS (
    SELECT 'no_case', d.patient_id FROM awaited d
    WHERE NOT EXISTS (SELECT FROM case_file c WHERE (c.patient_id, c.death_no) = (d.patient_id, d.death_no))
    UNION ALL
    SELECT 'void_case', d.patient_id FROM awaited d JOIN case_file c USING (patient_id, death_no)
    WHERE c.state = 'void' AND c.voided_by = 'waybill' AND c.void_reason = 'retracted'
      AND EXISTS (SELECT FROM patient p WHERE p.patient_id = d.patient_id AND p.merged_into IS NULL)
    UNION ALL
    SELECT 'case_of_life', c.patient_id FROM case_file c JOIN patient p USING (patient_id)
    WHERE c.state = 'expected' AND c.voided_at IS NULL AND c.opened_by = 'waybill'
      AND (p.death_status NOT IN ('informal', 'formal') AND p.merged_into IS NULL OR c.death_no <> p.death_no)
    UNION ALL
    -- A death that a later snapshot reports, and no batch before it, was passed over or lost.
    SELECT 'undated_death', p.patient_id FROM notice n JOIN patient p USING (patient_id, death_no)
    WHERE n.historic AND p.death_status IN ('informal', 'formal') AND p.death_latest IS NULL
      AND NOT EXISTS (SELECT FROM patient s WHERE s.patient_id = p.merged_into)
      AND NOT EXISTS (SELECT FROM case_file c WHERE (c.patient_id, c.death_no) = (p.patient_id, p.death_no))
      AND EXISTS (SELECT FROM effect_log e JOIN ledger l USING (batch)
                  WHERE NOT EXISTS (SELECT FROM checkpoint c WHERE c.stream <> e.stream) AND (e.patient_id, e.death_no, e.kind) = (p.patient_id, p.death_no, 'historic')
                    AND l.kind = 'snapshot' AND l.batch > (SELECT min(batch) FROM ledger))
    UNION ALL
    SELECT 'unasked_body', c.patient_id FROM case_file c JOIN patient p USING (patient_id)
    WHERE c.state = 'received' AND p.death_status NOT IN ('informal', 'formal') AND p.event <> 'erased'
      AND NOT EXISTS (SELECT FROM alert a WHERE (a.patient_id, a.death_no) = (c.patient_id, c.death_no)
                      AND (a.resolved_at IS NULL OR a.about IS NOT NULL))
    UNION ALL
    SELECT 'released_in_doubt', c.patient_id FROM case_file c JOIN alert a ON a.case_id = c.id
    WHERE c.state = 'released' AND a.raised_at < c.released_at AND coalesce(a.resolved_at > c.released_at, true)
)
SELECT kind, patient_id FROM found f
WHERE NOT EXISTS (SELECT FROM observed o WHERE o.patient_id = f.patient_id)
ORDER BY kind, patient_id;
