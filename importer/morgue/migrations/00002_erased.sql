-- +goose Up
-- Of an erased patient the case keeps what is the morgue's own: custody, tag, times. While a body is
-- in custody it keeps all: by what else would one know whose it is?

-- Fires after case_file_touched: that nothing is left was no person's edit. As its owner: staff
-- need no right to the projection.
-- +goose StatementBegin
CREATE FUNCTION forget_erased() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.state IN ('released', 'void') AND EXISTS (SELECT FROM patient p WHERE p.patient_id = NEW.patient_id AND p.event = 'erased') THEN
        NEW.family_name := NULL;
        NEW.given_name := NULL;
        NEW.birth_date := NULL;
        NEW.sex := NULL;
        NEW.identifiers := '[]';
        NEW.address_line := NULL;
        NEW.address_city := NULL;
        NEW.address_postcode := NULL;
        NEW.address_country := NULL;
        NEW.stated := '{}';
        NEW.death_status := 'none';
        NEW.death_earliest := NULL;
        NEW.death_latest := NULL;
        NEW.death_precision := NULL;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION forget_erased FROM PUBLIC;
CREATE TRIGGER forget_erased BEFORE UPDATE ON case_file FOR EACH ROW EXECUTE FUNCTION forget_erased();

-- +goose Down
DROP TRIGGER forget_erased ON case_file;
DROP FUNCTION forget_erased;
