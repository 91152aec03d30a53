package importer_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/lab/pg"
	"waybill/lab/pg/pgtest"
	"waybill/schemas"
)

func erased(n int, version int64) logtest.State {
	return logtest.State{Event: schemas.Erased, Patient: logtest.Patient(n), Version: version}
}

// left returns where a database still has a patient's name; it must be "".
func (s *site) left(n int) string {
	s.Helper()
	var all []string
	for _, line := range s.contents() {
		if strings.Contains(line, fmt.Sprintf("Family%d", n)) {
			table, _, _ := strings.Cut(line, " ")
			all = append(all, table)
		}
	}
	return strings.Join(slices.Compact(all), " ")
}

func TestTheErasedAreForgottenAndStaySo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2)) // 1
	s.load()
	s.Changes(erased(1, 3), erased(7, 2)) // 2: nobody knows 7 here
	if got := s.load().Batches[0]; fmt.Sprint(got.Effects) != "map[erased:2 forgotten:1]" || got.Changed != 2 {
		t.Errorf("changed %d, effects %v", got.Changed, got.Effects)
	}
	unchanged := func(after string) {
		t.Helper()
		if got := s.left(1) + s.left(7); got != "" {
			t.Errorf("after %s they are in %s", after, got)
		}
		if got := s.value(`SELECT string_agg(event || ' ' || death_status, ', ' ORDER BY event) FROM morgue.patient WHERE event = 'erased'`); got != "erased none, erased none" {
			t.Errorf("after %s: %s", after, got)
		}
		if got := s.cases() + ", " + s.value(`SELECT void_reason FROM morgue.case_file WHERE state = 'void'`); got != "expected 1, void 1, erased" {
			t.Errorf("after %s: %s", after, got)
		}
	}
	unchanged("the erasure")
	s.rerun(importer.RerunOptions{Batches: span(1, 2), Reason: "a test"})
	unchanged("a re-run")
	s.rerun(importer.RerunOptions{Batches: span(1, 2), Reason: "a test", Reapply: true})
	unchanged("a re-run with --reapply")
	again, known := died(1), died(7)
	again.Revision, known.Version = 5, 9
	s.Correction(1, 1, again)
	s.Changes(known)
	s.load()
	unchanged("a correction and what a producer should not have said")
	lost := died(1)
	lost.Version = 2
	s.Snapshot(2, lost, found(2, start)) // of a database restored from before the erasure; it does not know 7
	s.load()
	unchanged("a new generation")
	for batch := range int64(6) {
		s.rerun(importer.RerunOptions{Batches: span(batch, batch), Reason: "a test", Reapply: true})
	}
	unchanged("all of it again")
	s.Changes(erased(2, 9))
	s.load()
	if got := s.cases(); got != "void 2" || s.left(2) != "" {
		t.Errorf("%s; left in %s", got, s.left(2))
	}
}

// A producer's mistake: the event carries what it should have removed.
func TestNothingIsTakenFromAnErasureButTheID(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1))
	s.load()
	full := died(1)
	full.Event, full.Version = schemas.Erased, 3
	s.Changes(full)
	s.load()
	if got := s.left(1); got != "" || s.cases() != "void 1" {
		t.Errorf("left in %q; cases %s", got, s.cases())
	}
}

// An apply.sql that reads the batch's events finds no data in them either.
func TestAnErasureIsBlankToAConsumer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.follows(fstest.MapFS{
		"consumer.yaml":              {Data: []byte("name: copy\ndescription: x\nevents: [died]\n")},
		"migrations/00001_first.sql": {Data: []byte("-- +goose Up\nCREATE TABLE copied (patient_id uuid, event text, family_name text);")},
		"apply.sql":                  {Data: []byte("INSERT INTO copied SELECT patient_id, event, family_name FROM staging;")},
	})
	full := died(1)
	full.Event, full.Version = schemas.Erased, 3
	s.Changes(died(2), full)
	s.load()
	if got := s.value(`SELECT string_agg(concat_ws(' ', event, family_name), ', ' ORDER BY event) FROM copy.copied`); got != "died Family2, erased" {
		t.Errorf("it copied %s", got)
	}
}

// As long as a body is in custody its case keeps what identifies it, and an alert names the case.
// Once the body is released, that is erased, too.
func TestABodyInCustodyKeepsItsName(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.load()
	s.exec(`SET search_path = morgue`)
	first, second := s.value(`SELECT id FROM case_file WHERE family_name = 'Family1'`), s.value(`SELECT id FROM case_file WHERE family_name = 'Family2'`)
	s.exec(`CALL receive(` + first + `, 'T1', 'ann')`)
	s.exec(`CALL receive(` + second + `, 'T2', 'ann')`)
	s.exec(`CALL release(` + second + `, 'ann')`)
	s.Changes(erased(1, 3), erased(2, 3))
	if got := s.load().Batches[0].Effects; fmt.Sprint(got) != "map[erased:2 erased_in_custody:1 forgotten:1]" {
		t.Errorf("effects %v", got)
	}
	s.rerun(importer.RerunOptions{Batches: span(2, 2), Reason: "a test", Reapply: true})
	if got := s.value(`SELECT string_agg(concat_ws(' ', kind, urgent), ', ') FROM alert`); got != "erased_in_custody t" {
		t.Errorf("alerts: %s", got)
	}
	if s.left(1) != "case_file" || s.left(2) != "" {
		t.Errorf("left: %q and %q", s.left(1), s.left(2))
	}
	s.exec(`CALL resolve(` + s.value(`SELECT id FROM alert`) + `, 'ann')`)
	s.exec(`CALL release(` + first + `, 'ann')`)
	if got := s.value(`SELECT string_agg(concat_ws(' ', state, tag, touched_by), ', ' ORDER BY tag) FROM case_file`); s.left(1) != "" || got != "released T1, released T2" {
		t.Errorf("left %q; %s", s.left(1), got)
	}
	s.rerun(importer.RerunOptions{Batches: span(1, 2), Reason: "a test", Reapply: true})
	if got := s.value(`SELECT count(*) FROM alert`); got != "1" || s.left(1) != "" {
		t.Errorf("%s alerts; left %q", got, s.left(1))
	}
}

func TestTheBrakeBoundsErasures(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2))
	s.load()
	s.config.Brake = 1
	s.Changes(erased(1, 3), erased(2, 3))
	s.refusedAs(fault.Held, importer.Options{})
	if s.left(1) == "" {
		t.Error("it was applied")
	}
}

// One who is wrongly erased is passed over when they die, so a mass of erasures is held also where none of
// them has a case.
func TestTheBrakeBoundsErasuresOfStrangers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.load()
	s.config.Brake = 1
	s.Changes(erased(1, 3), erased(2, 3))
	s.refused(fault.Held, nil)
	s.approve(1)
	if got := s.value(`SELECT count(*) FROM morgue.patient WHERE event = 'erased'`); got != "2" {
		t.Errorf("approved, and %s are erased", got)
	}
}

// A generation that has lost all patients is held, even if nobody has a case.
func TestTheBrakeBoundsWhoVanishes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(retracted(1), retracted(2))
	s.load()
	s.config.Brake = 1
	s.Snapshot(2)
	s.refused(fault.Held, nil)
}

func TestTheBrakeBoundsNewIdentities(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1), died(2), died(3), died(4))
	s.load()
	s.exec(`SET search_path = morgue`)
	for _, n := range []string{"3", "4"} {
		s.exec(`CALL receive(` + s.value(`SELECT id FROM case_file WHERE family_name = 'Family`+n+`'`) + `, 'T` + n + `', 'ann')`)
	}
	s.config.Brake = 1
	for _, pair := range [][2]int{{1, 2}, {3, 4}} { // expected, and in custody
		renamed := []logtest.State{died(pair[0]), died(pair[1])}
		for i := range renamed {
			renamed[i].Event, renamed[i].Version, renamed[i].Family = schemas.DeathCorrected, 3, "Other"
		}
		batch := s.Changes(renamed...).Batch
		s.refused(fault.Held, nil)
		s.approve(batch)
	}
}

// approve approves the batch that is held.
func (s *site) approve(batch int64) {
	s.Helper()
	if _, err := s.run(importer.Options{Approve: &importer.Decision{Batch: batch, Reason: "a test", Person: "ann"}}); err != nil {
		s.Fatal(err)
	}
}

// Appointments cancelled for an erased patient do not come back, and no other appointment is changed.
func TestAppointmentsOfTheErasedStayAsTheyAre(t *testing.T) {
	t.Parallel()
	c := newClinic(t)
	c.book(1, 1)
	c.book(2, 2)
	c.Changes(died(1))
	c.load()
	c.Changes(erased(1, 3), erased(2, 2))
	if got := c.load().Batches[0].Effects; fmt.Sprint(got) != "map[erased:2 forgotten:1]" {
		t.Errorf("effects %v", got)
	}
	c.rerun(importer.RerunOptions{Batches: span(1, 2), Reason: "a test", Reapply: true})
	if got := fmt.Sprint(c.state()); got != "map[1:cancelled pat-dec 2:booked]" {
		t.Errorf("appointments: %s", got)
	}
	if got := c.value(`SELECT count(*) FROM appointments.vital WHERE dead OR death_of IS NOT NULL OR death_earliest IS NOT NULL`); got != "0" {
		t.Errorf("%s deaths are known of the erased", got)
	}
	c.book(3, 1)
	if got := c.value(`SELECT count(*) FROM appointments.worklist`); got != "0" {
		t.Errorf("%s on the worklist", got)
	}
}

// journal has the site's importer append deaths and retractions to the table journal.event.
func (s *site) journal() {
	s.Helper()
	columns := pg.Columns(schemas.PatientEvents())
	s.follows(fstest.MapFS{
		"consumer.yaml":              {Data: []byte("name: journal\ndescription: x\nevents: [died, death_retracted]\nappend: event\n")},
		"migrations/00001_first.sql": {Data: []byte("-- +goose Up\nCREATE TABLE event (" + columns + ", UNIQUE (patient_id, generation, version, revision));")},
	})
}

// follows makes the site's importer load into another consumer, in a separate database.
func (s *site) follows(folder fs.FS) {
	s.Helper()
	consumer, err := importer.LoadConsumer(folder)
	if err != nil {
		s.Fatal(err)
	}
	url := pgtest.Database(s, nil, "bare")
	if err := importer.Migrate(s.Context(), url, consumer); err != nil {
		s.Fatal(err)
	}
	s.config.DatabaseURL, s.config.Consumer = url, consumer
	s.connect(url)
}

func TestAnAppendingConsumerForgetsTheErased(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.journal()
	s.Changes(died(1), died(2)) // 1
	s.Changes(retracted(1))     // 2
	s.Snapshot(1, found(2, start), retracted(1))
	s.load() // from the snapshot on
	s.Changes(erased(1, 4), erased(2, 3))
	s.config.Brake = 1
	s.refusedAs(fault.Held, importer.Options{})
	s.approve(4)
	check := func() {
		t.Helper()
		if got := s.value(`SELECT count(*) FROM journal.event WHERE family_name IS NOT NULL OR death_status <> 'none' OR death_no <> 0 OR death_latest IS NOT NULL`); got != "0" {
			t.Errorf("of %s rows something is left", got)
		}
	}
	check()
	late := died(1)
	late.Revision = 1
	s.Correction(1, 1, late)
	s.load()
	s.rerun(importer.RerunOptions{Batches: span(3, 5), Reason: "a test"})
	check()
	if got := s.value(`SELECT string_agg(event, ', ' ORDER BY event, version) FROM journal.event`); got != "death_retracted, died, died, erased, erased" {
		t.Errorf("events: %s", got)
	}
}
