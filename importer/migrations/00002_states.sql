-- +goose Up
-- What a consumer knows of patients besides their states. The states themselves (table patient) follow from
-- the contract; the importer makes that table after these.

-- When this consumer first learned of a death. Stored once and reused, so that a re-run has the
-- same cut-off. Historic deaths, older than act_within when they were found, have no effects.
CREATE TABLE notice (
    patient_id uuid NOT NULL,
    death_no   integer NOT NULL,
    noticed_at timestamptz NOT NULL,
    historic   boolean NOT NULL,
    PRIMARY KEY (patient_id, death_no)
);

-- The patients whose effects mode observe only recorded. The first run that acts applies them.
CREATE TABLE observed (
    patient_id uuid PRIMARY KEY
);

-- The erased patients, for a consumer that appends events: their events stay blank, also when an
-- old batch is loaded again. For a consumer that keeps states, the patient's row says it.
CREATE TABLE erased (
    patient_id uuid PRIMARY KEY,
    erased_at  timestamptz NOT NULL
);

-- Of the persons whom these records belong to, every record, and the record whose death counts as its own (NULL:
-- alive). A person is the record at the end of a chain of merges, known here or not; the records before it are
-- retired. The death of a record is that of the last dead one in its chain; a historic death, which has no
-- effects, does not stand for one that has. Records in a circle of merges count as separate persons; the patients
-- service refuses such merges. Its plan follows indexes, for any number of records: PostgreSQL overestimates
-- chains of merges, and would read every patient.
-- +goose StatementBegin
CREATE FUNCTION members_of(records uuid[]) RETURNS TABLE (patient_id uuid, person uuid, death_of uuid)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE
    seed AS (
        SELECT p.patient_id, p.merged_into FROM unnest(records) AS r (patient_id) JOIN patient p USING (patient_id)
    ),
    climb (patient_id, above) AS (
        SELECT patient_id, merged_into FROM seed WHERE merged_into IS NOT NULL
        UNION
        SELECT c.patient_id, p.merged_into FROM climb c JOIN patient p ON p.patient_id = c.above
        WHERE p.merged_into IS NOT NULL
    ),
    ended AS (
        SELECT c.patient_id, c.above FROM climb c LEFT JOIN patient p ON p.patient_id = c.above WHERE p.merged_into IS NULL
    ),
    circle AS (
        SELECT DISTINCT above AS patient_id FROM climb c
        WHERE NOT EXISTS (SELECT FROM ended e WHERE e.patient_id = c.patient_id)
    ),
    person AS (
        SELECT patient_id FROM seed WHERE merged_into IS NULL
        UNION
        SELECT above FROM ended
        UNION
        SELECT patient_id FROM circle
    ),
    dead AS NOT MATERIALIZED (
        SELECT p.patient_id, NOT coalesce(n.historic, false) AS acts
        FROM patient p LEFT JOIN notice n USING (patient_id, death_no)
        WHERE p.death_status IN ('informal', 'formal')
    ),
    family (patient_id, person, acting, historic) AS (
        SELECT e.patient_id, e.patient_id, CASE WHEN d.acts THEN e.patient_id END, CASE WHEN NOT d.acts THEN e.patient_id END
        FROM person e LEFT JOIN dead d USING (patient_id)
        UNION ALL
        SELECT p.patient_id, f.person,
               coalesce(f.acting, CASE WHEN d.acts THEN p.patient_id END), coalesce(f.historic, CASE WHEN NOT d.acts THEN p.patient_id END)
        FROM family f JOIN patient p ON p.merged_into = f.patient_id LEFT JOIN dead d ON d.patient_id = p.patient_id
        WHERE NOT EXISTS (SELECT FROM circle c WHERE c.patient_id = p.patient_id)
    )
    SELECT patient_id, person, coalesce(acting, historic) FROM family;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION members_of;
DROP TABLE erased, observed, notice;
