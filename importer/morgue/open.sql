-- The alerts that a person has to settle.
SELECT kind, bool_or(urgent), count(*), min(raised_at) FROM alert WHERE resolved_at IS NULL GROUP BY kind ORDER BY 2 DESC, 1;
