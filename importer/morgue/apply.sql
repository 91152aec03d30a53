SELECT pg_temp.raise_alerts();
SAVEPOINT effects;
SELECT pg_temp.settle_cases();
