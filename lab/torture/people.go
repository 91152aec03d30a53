package main

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/hospital"
	"waybill/lab/site"
)

// eraseDay erases a person's data every few seconds, also while others write it.
func eraseDay(ctx context.Context, conn *pgx.Conn, opt hospital.Options) error {
	sleep(ctx, 3*time.Second)
	if ctx.Err() != nil {
		return nil
	}
	_, err := conn.Exec(ctx, `SELECT patients.erase_patient(id) FROM patients.patient p
		WHERE NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = p.id)
		ORDER BY hashtextextended(id::text, $1) LIMIT 1`, int64(opt.Seed))
	return err
}

// held are the rows that a clerk is editing: cases and appointments.
var held = map[string]string{
	"morgue":       `UPDATE morgue.case_file SET sex = sex WHERE id IN (SELECT id FROM morgue.case_file ORDER BY random() LIMIT 5)`,
	"appointments": `UPDATE appointments.appointment SET resource = resource WHERE id IN (SELECT id FROM appointments.appointment ORDER BY random() LIMIT 20)`,
}

// forget leaves a clerk's transaction open for a while, and commits it, or rolls it back.
func (w *world) forget(ctx context.Context, m mishap) error {
	service := "morgue"
	if m.store {
		service = "appointments"
	}
	conn, err := w.Services[service].Connect(ctx)
	if err != nil {
		return nil // it is down
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, _ = conn.Exec(ctx, `BEGIN; `+held[service])
	sleep(ctx, 2*m.lasts)
	_, _ = conn.Exec(ctx, `COMMIT`)
	return nil
}

// unwatched switches capture off, as a restore of data with --disable-triggers does, changes people, and
// repairs with the command what was missed. No export runs meanwhile: it would refuse.
func (w *world) unwatched(ctx context.Context) error {
	defer w.hold()()
	return w.alone(site.Patients, func() error {
		conn, err := pgx.Connect(ctx, w.Services[site.Patients].Server.SuperURL(site.Patients))
		if err != nil {
			return nil // it is down
		}
		defer conn.Close(context.WithoutCancel(ctx))
		_, err = conn.Exec(ctx, `
			ALTER TABLE patients.patient DISABLE TRIGGER ALL;
			UPDATE patients.patient SET death_status = 'informal', death_earliest = now() - interval '2 days',
			    death_latest = now() - interval '1 day', death_precision = 'day' WHERE death_status = 'none' AND id IN (
			    SELECT p.id FROM patients.patient p WHERE NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = p.id)
			    AND NOT EXISTS (SELECT FROM patients.alias a WHERE p.id IN (a.retired_id, a.survivor_id)) ORDER BY random() LIMIT 3);
			INSERT INTO patients.patient (family_name) VALUES ('Unwatched');
			ALTER TABLE patients.patient ENABLE TRIGGER ALL`)
		if err != nil && ctx.Err() == nil {
			w.history.say("capture stayed on: %v", err)
		}
		return w.insist(ctx, "capture", "--repair")
	})
}
