-- +goose Up
-- Where the next export resumes comparing patients with their last events: one row.
CREATE TABLE exporter.sample (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    next uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000'
);
INSERT INTO exporter.sample DEFAULT VALUES;
