. build/demo.env
psql $PATIENTS -qc "INSERT INTO patients.patient (id, family_name) VALUES ('$ASH', 'Ash')"
psql $APPOINTMENTS -qc "INSERT INTO appointments.appointment (patient_id, kind, resource, starts_at, ends_at) VALUES ('$ASH', 'surgery', 'theatre 9', now() + '7 days', now() + '8 days')"
psql $PATIENTS -qAtc "SELECT patients.record_death('$ASH', 'formal', now() - interval '1 hour', now(), 'minute')"
waybill export && waybill import morgue && waybill import appointments
psql $MORGUE -Atc "SELECT 'case', state FROM morgue.case_file WHERE patient_id = '$ASH'"
psql $APPOINTMENTS -Atc "SELECT 'appointment', status FROM appointments.appointment WHERE patient_id = '$ASH'"
psql $PATIENTS -qAtc "SELECT patients.record_death('$ASH', 'void')"
waybill export && waybill import morgue && waybill import appointments
psql $MORGUE -Atc "SELECT 'case', state FROM morgue.case_file WHERE patient_id = '$ASH'"
psql $APPOINTMENTS -Atc "SELECT 'appointment', status FROM appointments.appointment WHERE patient_id = '$ASH'"
waybill trace $ASH
