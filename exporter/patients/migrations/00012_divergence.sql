-- +goose Up
-- divergence is a second opinion: the patients whose rows and last events do not say the same. It
-- trusts no trigger, and shares nothing with them but the view of the state.
--
-- unseen: a row without an event. gone: events without a row. changed: they differ. unmerged: the
-- event says merged, and the tables say not, or into another record. refilled: an erased record that
-- is not blank.
CREATE VIEW patients.divergence AS
SELECT s.patient_id,
       CASE WHEN o.version IS NULL THEN 'unseen'
            WHEN o.event = 'erased' THEN 'refilled'
            WHEN o.merged_into IS NOT NULL AND o.merged_into IS DISTINCT FROM s.merged_into THEN 'unmerged'
            ELSE 'changed' END AS kind
FROM patients.state s
LEFT JOIN LATERAL (SELECT * FROM patients.outbox o WHERE o.patient_id = s.patient_id ORDER BY o.version DESC LIMIT 1) o ON true
WHERE (s.death_status, s.death_earliest, s.death_latest, s.death_precision, s.identifiers,
       s.family_name, s.given_name, s.birth_date, s.sex, s.address_line, s.address_city, s.address_postcode, s.address_country)
      IS DISTINCT FROM
      (o.death_status, o.death_earliest, o.death_latest, o.death_precision, o.identifiers,
       o.family_name, o.given_name, o.birth_date, o.sex, o.address_line, o.address_city, o.address_postcode, o.address_country)
   OR s.merged_into IS DISTINCT FROM o.merged_into AND o.event <> 'erased'
UNION ALL
SELECT DISTINCT o.patient_id, 'gone'
FROM patients.outbox o
WHERE NOT EXISTS (SELECT FROM patients.patient p WHERE p.id = o.patient_id)
  AND NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = o.patient_id);
