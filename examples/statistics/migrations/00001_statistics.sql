-- +goose Up
CREATE TABLE death (
    patient_id uuid PRIMARY KEY,
    month      text NOT NULL      -- 2025-09; a year where no more is known; else unknown
);

CREATE VIEW deaths_per_month AS
SELECT month, count(*) AS deaths FROM death GROUP BY month ORDER BY month;

CREATE FUNCTION month_of(earliest timestamptz, known_to text, zone text) RETURNS text
LANGUAGE sql STABLE
RETURN coalesce(to_char(earliest AT TIME ZONE zone, CASE known_to WHEN 'year' THEN 'YYYY' ELSE 'YYYY-MM' END), 'unknown');

-- +goose Down
DROP FUNCTION month_of;
DROP VIEW deaths_per_month;
DROP TABLE death;
