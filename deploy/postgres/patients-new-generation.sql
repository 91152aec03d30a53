-- What `waybill export --new-generation` needs besides, after the database was restored or replaced.
-- Take it away again: REVOKE in place of GRANT, FROM in place of TO.
GRANT UPDATE (tx) ON patients.outbox TO patients_export;
GRANT DELETE ON exporter.plan TO patients_export;
