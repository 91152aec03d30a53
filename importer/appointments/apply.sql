SELECT pg_temp.settle_appointments();
