-- What `waybill export --new-generation` needs in addition, after the database was restored or replaced.
-- Revoke it afterwards: write REVOKE for GRANT, and FROM for TO.
GRANT UPDATE (tx, death_no) ON patients.outbox TO patients_export;
GRANT SELECT, INSERT, UPDATE ON patients.lost_death TO patients_export;
GRANT EXECUTE ON FUNCTION patients.erase_again(uuid), patients.hold_capture() TO patients_export;
GRANT DELETE ON exporter.plan TO patients_export;
GRANT INSERT ON exporter.floor TO patients_export;
