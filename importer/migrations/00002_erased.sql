-- +goose Up
-- Who was erased, where events are appended: theirs stay blank, also when an old batch is loaded
-- again. Where states are kept, the patient's own row says it.
CREATE TABLE erased (
    patient_id uuid PRIMARY KEY,
    erased_at  timestamptz NOT NULL
);

-- +goose Down
DROP TABLE erased;
