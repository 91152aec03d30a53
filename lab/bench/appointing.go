package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// deathsAmong is how many batches of deaths appointing measures.
const deathsAmong = 3

// appointing lets people die of whom each has an appointment, and compares the import with statements that write the same rows by
// hand. It does so in the first round alone, since booking a million appointments takes longer than all the rest.
func (s *site) appointing(ctx context.Context, t *table) error {
	if s.conn["appointments"] != nil {
		return nil
	}
	if err := s.consumer(ctx, consumer{name: "appointments"}); err != nil {
		return err
	}
	if err := s.book(ctx); err != nil {
		return err
	}
	if _, err := s.load(ctx, "appointments"); err != nil { // who died before
		return err
	}
	for range deathsAmong {
		if err := s.die(ctx, s.patients/50); err != nil {
			return err
		}
		if _, err := s.export(ctx); err != nil {
			return err
		}
		byHand, err := s.timed(ctx, func(ctx context.Context) error { return s.cancelByHand(ctx, s.patients/50) })
		if err != nil {
			return err
		}
		var done loaded
		took, err := s.timed(ctx, func(ctx context.Context) (err error) { done, err = s.load(ctx, "appointments"); return err })
		if err != nil {
			return err
		}
		t.ratio("appointments, deaths among an appointment for each patient", "the same statements by hand", atLeast(0.8), byHand.Seconds()/took.Seconds())
		t.figure("appointments, deaths among an appointment for each patient", "deaths/s", goal{}, float64(done.rows)/took.Seconds())
	}
	return nil
}

// book makes an appointment for each patient, of a thousand resources. The patients are not held here, since each program that is
// started counts the memory of this one as its own.
func (s *site) book(ctx context.Context) error {
	conn := s.conn["appointments"]
	if _, err := conn.Exec(ctx, `CREATE TEMP TABLE booking (n serial, id uuid)`); err != nil {
		return err
	}
	ids, copied := io.Pipe()
	defer ids.Close()
	go func() {
		_, err := s.conn[patients].PgConn().CopyTo(ctx, copied, `COPY (SELECT id FROM patients.patient) TO STDOUT`)
		_ = copied.CloseWithError(err)
	}()
	if _, err := conn.PgConn().CopyFrom(ctx, ids, `COPY booking (id) FROM STDIN`); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, `INSERT INTO appointments.appointment (patient_id, kind, resource, starts_at, ends_at)
		SELECT id, 'imaging', n % 1000, it.at, it.at + interval '10 min' FROM booking, LATERAL (SELECT $1::timestamptz + interval '10 min' * (n / 1000) AS at) AS it`,
		time.Now().AddDate(0, 1, 0))
	return err
}

// cancelByHand writes the rows that the import of so many deaths writes, each table by a plain statement that looks at nothing
// else: no merges, no histories, no staff's decisions. Then it takes that back, so it does not wait for the disk.
func (s *site) cancelByHand(ctx context.Context, n int) error {
	tx, err := s.conn["appointments"].Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	_, err = tx.Exec(ctx, fmt.Sprintf(`SET LOCAL search_path = appointments;
		SELECT set_config('waybill.applying', 'on', true);
		CREATE TEMP TABLE died ON COMMIT DROP AS SELECT id, patient_id FROM appointment WHERE status = 'booked' LIMIT %d;
		INSERT INTO patient (patient_id, event, baseline, generation, version, revision, recorded_at, death_no, death_status, death_earliest, death_latest, death_precision)
		SELECT patient_id, 'died', false, 1, 2, 0, now(), 1, 'informal', now(), now() + interval '1 min', 'minute' FROM died;
		INSERT INTO notice (patient_id, death_no, noticed_at, historic) SELECT patient_id, 1, now(), false FROM died;
		UPDATE vital v SET dead = true, death_of = v.patient_id, death_no = 1, death_earliest = now(), death_latest = now() + interval '1 min', known_at = now()
		FROM died WHERE v.patient_id = died.patient_id;
		UPDATE appointment a SET status = 'cancelled', cancellation_reason = 'pat-dec' FROM died WHERE a.id = died.id;
		INSERT INTO cancellation (appointment_id, patient_id, death_no, record_id, cancelled_at, revision)
		SELECT id, patient_id, 1, patient_id, now(), 1 FROM died;
		INSERT INTO effect_log (stream, batch, kind, patient_id, death_no, subject, observed, at)
		SELECT 'patients', 1, 'cancelled', patient_id, 1, 'appointment ' || id, false, now() FROM died`, n))
	return err
}
