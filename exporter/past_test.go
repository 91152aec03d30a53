package exporter_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"waybill/exporter/prune"
	"waybill/importer/appointments"
	"waybill/internal/fault"
	"waybill/lab/pg/pgtest"
	"waybill/lab/servers/hosttest"
)

// restored returns a service whose database is a copy of this one as it is now, and that writes to the
// same exchange.
func (s *site) restored(place hosttest.Exchange) *site {
	s.Helper()
	r := siteAt(s.TB, pgtest.Database(s.TB, migrate, "patients"), place)
	copyRows(s, s.conn, r.conn)
	return r
}

// dieUndated reports the patients dead without a date.
func (s *site) dieUndated(patients ...uuid.UUID) {
	s.Helper()
	s.exec(`UPDATE patients.patient SET death_status = 'informal' WHERE id = ANY ($1)`, patients)
}

func (s *site) numbers(patient uuid.UUID) string {
	s.Helper()
	var numbers string
	if err := s.conn.QueryRow(s.Context(), `SELECT string_agg(event || ' ' || death_no, ', ' ORDER BY version) FROM patients.outbox WHERE patient_id = $1`, patient).Scan(&numbers); err != nil {
		s.Fatal(err)
	}
	return numbers
}

// A death without a date has effects, although the log gets it from a generation's snapshot.
func TestWhatWaitedActsInAGeneration(t *testing.T) {
	t.Parallel()
	for name, kinds := range map[string]string{
		"of the database that the log follows": "changes snapshot",
		"of another":                           "snapshot",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			place := hosttest.New(t)
			s := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
			morgue := s.follower()
			told, waiting := s.register(1), s.register(1)
			s.dieUndated(told)
			s.export()
			morgue.equalsSource()
			s.dieUndated(waiting)
			if kinds == "snapshot" {
				s = s.restored(place)
				morgue.source = s
			}
			s.dieUndated(s.register(1))
			summary, err := s.exporter().NewGeneration(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, b := range summary.Batches {
				got = append(got, b.Kind)
			}
			if strings.Join(got, " ") != kinds {
				t.Errorf("published %q, want %s", got, kinds)
			}
			morgue.equalsSource()
			newcomer := s.follower()
			newcomer.load()
			want := map[string]int{"changes snapshot": 0, "snapshot": 2}[kinds]
			if cases := ids(t, newcomer.conn, `SELECT patient_id FROM morgue.case_file`); len(cases) != want {
				t.Errorf("one that begins with the snapshot opens %d cases, want %d: of those whom no batch told of", len(cases), want)
			}
			if summary := s.export(); len(summary.Batches) != 0 {
				t.Errorf("nothing is new, and it published %+v", summary.Batches)
			}
		})
	}
}

// A generation's snapshot finds a death that nobody saw, though an earlier one of that patient waits which was seen; and one that
// was reported, though a correction of it waits.
func TestWhatNobodySawIsFoundInAGeneration(t *testing.T) {
	t.Parallel()
	place := hosttest.New(t)
	old := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	told, unseen := old.register(1), old.register(1)
	old.dieUndated(told)
	old.export()
	old.exec(`UPDATE patients.patient SET family_name = 'Corrected' WHERE id = $1`, told)
	old.dieUndated(unseen)
	old.live(unseen)
	s := old.restored(place)
	s.exec(`ALTER TABLE patients.patient DISABLE TRIGGER USER`)
	s.dieUndated(unseen)
	s.exec(`ALTER TABLE patients.patient ENABLE TRIGGER USER; SELECT patients.arm()`)
	s.exec(`SELECT patients.capture($1, false, as_found => true)`, unseen)
	if got, want := s.numbers(unseen), "registered 0, died 1, death_retracted 1, died 2"; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	seen := s.register(1)
	s.dieUndated(seen)
	s.newGeneration()
	newcomer := s.follower()
	newcomer.load()
	want := ids(t, s.conn, `SELECT '`+seen.String()+`'`)
	if diff := cmp.Diff(want, ids(t, newcomer.conn, `SELECT patient_id FROM morgue.case_file`)); diff != "" {
		t.Errorf("one that begins with the snapshot opens cases (-want +got):\n%s", diff)
	}
}

// What one past used is used, though a later past that was lost too used less.
func TestASecondLostPastGivesNoNumberBack(t *testing.T) {
	t.Parallel()
	place := hosttest.New(t)
	old := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	patient := old.register(1)
	old.die(patient)
	old.export()
	s := old.restored(place)
	old.live(patient)
	old.die(patient)
	old.export()
	s.newGeneration()
	again := s.restored(place)
	s.exec(`UPDATE patients.patient SET family_name = 'Corrected' WHERE id = $1`, patient)
	s.export()
	again.newGeneration()
	for range 2 {
		again.live(patient)
		again.die(patient)
	}
	if got, want := again.numbers(patient), "registered 0, died 1, death_retracted 1, died 3, death_retracted 3, died 4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// A number above all that a lost past used stays as it is, though the log does not report it yet.
	again.export()
	once := again.restored(place)
	again.register(1)
	again.export()
	once.live(patient)
	once.die(patient)
	once.newGeneration()
	if got, want := once.numbers(patient), "registered 0, died 1, death_retracted 1, died 3, death_retracted 3, died 4, death_retracted 4, died 5"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// A death of a lost past is another than the next one of that patient, and the same as one that this
// database knows too.
func TestDeathsOfALostPastKeepTheirNumbers(t *testing.T) {
	t.Parallel()
	place := hosttest.New(t)
	old := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	morgue := old.follower()
	known, waiting, again, sooner, once, afresh := old.register(1), old.register(1), old.register(1), old.register(1), old.register(1), old.register(1)
	old.die(known, afresh)
	old.export()
	old.die(waiting) // which the log tells after the backup
	s := old.restored(place)
	old.die(again, sooner, once)
	old.export()
	for _, patient := range []uuid.UUID{sooner, afresh} {
		old.live(patient)
		old.die(patient)
	}
	stranger := old.register(1)
	old.die(stranger)
	old.export()
	morgue.equalsSource()
	morgue.exec(`UPDATE morgue.case_file SET state = 'void', void_reason = 'a mistake' WHERE state = 'expected'`) // a person's word on each
	s.live(afresh)
	s.die(sooner, once, afresh) // before the export is as it was
	s.newGeneration()
	morgue.load()
	s.die(again)
	s.exec(`INSERT INTO patients.patient (id) VALUES ($1)`, stranger)
	s.die(stranger)
	s.export()
	for patient, want := range map[uuid.UUID]string{
		known: "registered 0, died 1", waiting: "registered 0, died 1", again: "registered 0, died 2", sooner: "registered 0, died 3",
		stranger: "registered 0, died 2", once: "registered 0, died 2", afresh: "registered 0, died 1, death_retracted 1, died 3",
	} {
		if got := s.numbers(patient); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	morgue.load()
	want := ids(t, s.conn, fmt.Sprintf(`SELECT unnest(ARRAY['%s', '%s', '%s', '%s', '%s'])`, again, sooner, stranger, once, afresh))
	if got := ids(t, morgue.conn, `SELECT patient_id FROM morgue.case_file WHERE state = 'expected'`); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("expected are %v, want the new deaths of %v", got, want)
	}
	s.newGeneration() // no number moves again
	if got := s.numbers(sooner); got != "registered 0, died 3" {
		t.Errorf("after another generation: %s", got)
	}
}

// At the clinic, a person's decision about a death of the lost past does not apply to this death.
func TestALostDeathsWorklistSaysNothingOfTheNext(t *testing.T) {
	t.Parallel()
	place := hosttest.New(t)
	old := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	clinic := old.followerOf(appointments.Files())
	patient := old.register(1)
	old.export()
	s := old.restored(place)
	old.die(patient)
	old.export()
	clinic.load()
	clinic.exec(`INSERT INTO appointments.appointment (patient_id, kind, resource, starts_at, ends_at)
		VALUES ($1, 'surgery', 'theatre', now() + interval '5 days', now() + interval '5 days')`, patient)
	clinic.exec(`CALL appointments.resolve(1, 'clerk')`)
	s.newGeneration()
	clinic.load()
	s.die(patient)
	s.export()
	clinic.load()
	var status string
	if err := clinic.conn.QueryRow(t.Context(), `SELECT status FROM appointments.appointment`).Scan(&status); err != nil || status != "cancelled" {
		t.Errorf("the surgery of the dead is %s (%v), want cancelled", status, err)
	}
}

// Patients erased in the lost past are erased again before anything is published, even if they are unknown here.
func TestErasuresOfALostPastAreMadeAgain(t *testing.T) {
	t.Parallel()
	place := hosttest.New(t)
	old := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	morgue := old.follower()
	patient, retired, other := old.register(1), old.register(1), old.register(1)
	old.exec(`UPDATE patients.patient SET family_name = 'Secret' WHERE id = ANY ($1)`, []uuid.UUID{patient, retired})
	old.exec(`INSERT INTO patients.alias (retired_id, survivor_id) VALUES ($1, $2)`, retired, patient)
	old.die(patient, other)
	old.export()
	s := old.restored(place)
	stranger := old.register(1)
	old.die(stranger)
	old.export()
	old.exec(`SELECT patients.erase_patient($1), patients.erase_patient($2)`, patient, stranger)
	old.export()
	morgue.equalsSource()
	last := s.last().Manifest.Batch

	s.newGeneration()
	morgue.source = s
	morgue.equalsSource()
	want := []string{patient.String(), retired.String(), stranger.String()}
	newcomer := s.follower()
	newcomer.equalsSource()
	for _, f := range []*follower{morgue, newcomer} {
		if got := ids(t, f.conn, `SELECT patient_id FROM morgue.patient WHERE event = 'erased' AND family_name IS NULL`); len(got) != len(want) {
			t.Errorf("erased are %v, want %v", got, want)
		}
	}
	if n := s.count(`SELECT count(*) FROM patients.outbox WHERE family_name = 'Secret'`) + s.count(`SELECT count(*) FROM patients.patient WHERE family_name = 'Secret'`); n != 0 {
		t.Errorf("the name is in %d rows", n)
	}
	if got := s.last().Manifest; got.Batch != last+1 {
		t.Errorf("the generation begins with batch %d, want %d", got.Batch, last+1)
	}
	if _, err := s.conn.Exec(t.Context(), `INSERT INTO patients.patient (id, family_name) VALUES ($1, 'Secret')`, stranger); err == nil {
		t.Error("who was erased and is not here was registered again")
	}
	s.newGeneration()
}

// A part of the past that can't be read is no reason to guess; a person may decide to do without.
func TestAPastThatCantBeReadIsNotGuessed(t *testing.T) {
	t.Parallel()
	place := hosttest.New(t)
	old := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	patient := old.register(1)
	old.export()
	s := old.restored(place)
	old.die(patient)
	old.export()
	lost := old.last().Manifest
	s.remove(lost.Parts[0].Name)
	before := s.files()
	_, err := s.exporter().NewGeneration(t.Context())
	if fault.ClassOf(err) != fault.Poison || !strings.Contains(fault.HintOf(err), "waybill repair 2") || !strings.Contains(fault.HintOf(err), "--without 2") {
		t.Fatalf("got %v (%s, next: %s)", err, fault.ClassOf(err), fault.HintOf(err))
	}
	if after := s.files(); len(after) != len(before) {
		t.Errorf("refused, and there are %d files where there were %d", len(after), len(before))
	}
	if _, err := s.exporter().NewGeneration(t.Context(), lost.Batch); err != nil {
		t.Fatal(err)
	}
	if got := s.last().Manifest; got.Generation != 2 || got.Batch != 3 {
		t.Errorf("batch %d of generation %d, want 3 of 2", got.Batch, got.Generation)
	}
}

// A database that takes over a log of which it published nothing learns what was not pruned.
func TestAGenerationBeginsOnAPrunedLog(t *testing.T) {
	t.Parallel()
	place := hosttest.New(t)
	s := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	s.history()
	if got := s.prune(prune.Options{}); got.Floor != 7 {
		t.Fatalf("pruned: %+v", got)
	}
	r := siteAt(t, pgtest.Database(t, migrate, "patients"), place)
	r.register(1)
	r.newGeneration()
	if m := r.last().Manifest; m.Batch != 9 || m.Generation != 2 {
		t.Errorf("batch %d of generation %d, want 9 of 2", m.Batch, m.Generation)
	}
}
