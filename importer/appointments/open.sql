-- The items of the worklist that a person has to settle.
SELECT reason, bool_or(urgent), count(*), min(raised_at) FROM worklist WHERE resolved_at IS NULL GROUP BY reason ORDER BY 2 DESC, 1;
