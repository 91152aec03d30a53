-- +goose Up
CREATE TABLE event (
    event            text NOT NULL,
    baseline         boolean NOT NULL,
    patient_id       uuid NOT NULL,
    generation       integer NOT NULL,
    version          bigint NOT NULL,
    revision         integer NOT NULL,
    recorded_at      timestamptz NOT NULL,
    death_no         integer NOT NULL,
    death_status     text NOT NULL,
    death_earliest   timestamptz,
    death_latest     timestamptz,
    death_precision  text,
    merged_into      uuid,
    identifiers      jsonb NOT NULL,
    family_name      text,
    given_name       text,
    birth_date       text,
    sex              text,
    address_line     text,
    address_city     text,
    address_postcode text,
    address_country  text,
    PRIMARY KEY (patient_id, generation, version, revision)
);

-- +goose Down
DROP TABLE event;
