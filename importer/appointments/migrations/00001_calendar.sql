-- +goose Up
-- A death is (patient_id, death_no) throughout; an appointment's own patient_id is the record it
-- was booked for. Unqualified: the search_path is the consumer's schema.

CREATE TABLE kind (
    code        text PRIMARY KEY,
    description text NOT NULL,
    post_mortem boolean -- takes place after a death by its nature, so it stays. NULL: nobody has decided, so it does not stay
);
INSERT INTO kind (code, description, post_mortem) VALUES
    ('consultation', 'Consultation', false),
    ('followup', 'Follow-up', false),
    ('imaging', 'Imaging', false),
    ('laboratory', 'Laboratory test', false),
    ('surgery', 'Surgery', false),
    ('therapy', 'Therapy', false),
    ('vaccination', 'Vaccination', false),
    ('death_certification', 'Certification of a death', true),
    ('bereavement', 'Talk with the bereaved', true),
    ('autopsy', 'Autopsy', true);

CREATE TABLE appointment (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    patient_id          uuid NOT NULL,
    kind                text NOT NULL REFERENCES kind (code),
    resource            text NOT NULL,
    starts_at           timestamptz NOT NULL,
    ends_at             timestamptz NOT NULL CHECK (ends_at >= starts_at),
    status              text NOT NULL DEFAULT 'booked' CHECK (status IN ('booked', 'arrived', 'fulfilled', 'noshow', 'cancelled')),
    cancellation_reason text,
    booked_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    touched_at          timestamptz,                -- when a person last wrote it
    touched_by          text,
    revision            integer NOT NULL DEFAULT 0  -- grows with every update, also the importer's
);
-- No two live appointments of a resource overlap. One without a length occupies its instant. The
-- resource is a range of one number, so that PostgreSQL needs no extension to compare it. If two people
-- book the same start, the index makes one wait; with the constraint both might wait for each other.
CREATE UNIQUE INDEX appointment_slot ON appointment (resource, starts_at) WHERE status IN ('booked', 'arrived');
ALTER TABLE appointment ADD CONSTRAINT appointment_slot_overlap EXCLUDE USING gist (
    int8range(hashtextextended(resource, 0) / 2, hashtextextended(resource, 0) / 2, '[]') WITH &&,
    tstzrange(starts_at, ends_at, CASE WHEN ends_at > starts_at THEN '[)' ELSE '[]' END) WITH &&)
    WHERE (status IN ('booked', 'arrived'));
CREATE INDEX appointment_patient ON appointment (patient_id);

-- Marks a person's writes with the name that the statement gives, or else with the login.
-- +goose StatementBegin
CREATE FUNCTION mark_touched() RETURNS trigger
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.revision := OLD.revision + 1;
    IF NOT applying() THEN
        NEW.touched_by := signed(CASE WHEN NEW.touched_at IS NULL THEN NEW.touched_by END);
        NEW.touched_at := clock_timestamp();
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER appointment_named BEFORE UPDATE OF touched_by ON appointment
FOR EACH ROW WHEN (NOT applying()) EXECUTE FUNCTION name_toucher();
CREATE TRIGGER appointment_touched BEFORE UPDATE ON appointment FOR EACH ROW EXECUTE FUNCTION mark_touched();

-- +goose Down
DROP TABLE appointment, kind;
DROP FUNCTION mark_touched;
