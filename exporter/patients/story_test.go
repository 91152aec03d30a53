package patients_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// patientNumber is SQL for the id of patient number n.
const patientNumber = "('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid"

// script makes up transactions of a service, the same ones for the same seed.
type script struct {
	*rand.Rand
	patients int
	plain    bool // nothing but INSERT, UPDATE and DELETE
}

func newScript(seed uint64, patients int) *script {
	return &script{Rand: rand.New(rand.NewPCG(seed, 7)), patients: patients}
}

func (s *script) transaction() string {
	level := []string{"READ COMMITTED", "READ COMMITTED", "REPEATABLE READ"}[s.IntN(3)]
	text := []string{"BEGIN ISOLATION LEVEL " + level}
	for n := range 1 + s.IntN(4) {
		switch s.IntN(4) {
		case 0:
			text = append(text, fmt.Sprintf("SAVEPOINT s%d", n), s.statement(), fmt.Sprintf("ROLLBACK TO s%d", n))
		case 1:
			text = append(text, fmt.Sprintf("SAVEPOINT s%d", n), s.statement(), fmt.Sprintf("RELEASE s%d", n))
		default:
			text = append(text, s.statement())
		}
		if s.IntN(8) == 0 {
			text = append(text, "SET CONSTRAINTS ALL "+[]string{"IMMEDIATE", "DEFERRED"}[s.IntN(2)])
		}
	}
	end := "COMMIT"
	if s.IntN(8) == 0 {
		end = "ROLLBACK"
	}
	return strings.Join(append(text, end), "; ")
}

func (s *script) patient() string {
	return fmt.Sprintf("'00000000-0000-4000-8000-%012d'", s.IntN(s.patients))
}

func (s *script) statement() string {
	p := s.patient()
	switch s.IntN(9) {
	case 0:
		return fmt.Sprintf("UPDATE patients.patient SET family_name = 'n%d' WHERE id = %s", s.IntN(3), p)
	case 1:
		return fmt.Sprintf("UPDATE patients.patient SET address_city = 'c%d' WHERE id = %s", s.IntN(3), p)
	case 2:
		return fmt.Sprintf("INSERT INTO patients.identifier VALUES (%s, 'x', 'MR', '%d') ON CONFLICT DO NOTHING", p, s.IntN(3*s.patients))
	case 3:
		return fmt.Sprintf("DELETE FROM patients.identifier WHERE patient_id = %s", p)
	case 4:
		return fmt.Sprintf("UPDATE patients.identifier SET patient_id = %s WHERE value = '%d'", p, s.IntN(3*s.patients))
	case 5:
		survivor := s.patient()
		if survivor == p || s.IntN(6) > 0 {
			return "SELECT 1"
		}
		return fmt.Sprintf("INSERT INTO patients.alias VALUES (%s, %s)", p, survivor)
	case 6:
		return "INSERT INTO patients.patient (death_status) VALUES ('none'), ('formal')"
	case 7:
		if s.plain {
			return fmt.Sprintf("UPDATE patients.patient SET sex = 'other' WHERE id = %s", p)
		}
		return fmt.Sprintf("SELECT patients.record_death(%s, '%s')", p, []string{"informal", "formal", "void", "none"}[s.IntN(4)])
	default:
		return fmt.Sprintf("UPDATE patients.patient SET death_status = '%s' WHERE id = %s",
			[]string{"formal", "void", "none"}[s.IntN(3)], p)
	}
}

// event is one row of the outbox, with the state folded into what decides its type.
type event struct {
	Tx, Patient, Event, Status, Merged, Identity, Address string
	Baseline                                              bool
	Version                                               int64
	DeathNo                                               int32
	Recorded                                              time.Time
}

// wantStory checks each patient's events against the rules, which are written here once more.
func wantStory(s session) {
	s.t.Helper()
	rows, err := s.Query(s.t.Context(), `SELECT tx::text AS tx, patient_id::text AS patient, event, death_status AS status,
			coalesce(merged_into::text, '') AS merged,
			concat_ws('|', death_earliest, death_latest, death_precision, identifiers, family_name, given_name, birth_date, sex) AS identity,
			concat_ws('|', address_line, address_city, address_postcode, address_country) AS address,
			baseline, version, death_no, recorded_at AS recorded
		FROM patients.outbox ORDER BY patient_id, version`)
	if err != nil {
		s.t.Fatal(err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByName[event])
	if err != nil {
		s.t.Fatal(err)
	}
	for len(events) > 0 {
		end := slices.IndexFunc(events, func(e event) bool { return e.Patient != events[0].Patient })
		if end < 0 {
			end = len(events)
		}
		wantStoryOf(s, events[:end])
		events = events[end:]
	}
}

func wantStoryOf(s session, events []event) {
	before := event{Status: "none"}
	for len(events) > 0 {
		n := 1
		if len(events) > 1 && twoAtOnce(events[0], events[1]) {
			n = 2
		}
		var got []string
		for i, e := range events[:n] {
			got = append(got, e.Event)
			if e.Version != before.Version+int64(i)+1 || e.Recorded.Before(before.Recorded) {
				s.t.Errorf("patient %s: version %d at %v follows version %d at %v", e.Patient, e.Version, e.Recorded, before.Version, before.Recorded)
			}
		}
		after := events[n-1]
		want, number := between(before, after)
		if before.Version == 0 && after.Baseline && n == 1 {
			want = want[:1] // a patient that was found tells what is first in the table only
		}
		if !slices.Equal(got, want) {
			s.t.Errorf("patient %s version %d: %q, want %q", after.Patient, after.Version, got, want)
		}
		if after.DeathNo != number {
			s.t.Errorf("patient %s version %d: death_no %d, want %d", after.Patient, after.Version, after.DeathNo, number)
		}
		if after.Baseline && before.Version > 0 {
			s.t.Errorf("patient %s version %d is a baseline", after.Patient, after.Version)
		}
		before, events = after, events[n:]
	}
}

func twoAtOnce(first, second event) bool {
	return first.Tx == second.Tx && first.Baseline == second.Baseline &&
		first.Event == "merged" && (second.Event == "died" || second.Event == "death_retracted")
}

func between(before, after event) (types []string, deathNo int32) {
	dead := func(e event) bool { return e.Status == "informal" || e.Status == "formal" }
	void := after.Status == "void" && before.Status != "void"
	deathNo = before.DeathNo
	if after.Merged != "" && before.Merged == "" {
		types = append(types, "merged")
	}
	switch {
	case dead(after) && !dead(before):
		types = append(types, "died")
		deathNo++
	case dead(before) && !dead(after), void:
		types = append(types, "death_retracted")
		if before.Version == 0 {
			deathNo++
		}
	}
	switch {
	case types != nil:
	case before.Version == 0:
		types = []string{"registered"}
	case dead(after) && (before.Identity != after.Identity || before.Status != after.Status):
		types = []string{"death_corrected"}
	case before.Identity != after.Identity || before.Status != after.Status || before.Address != after.Address:
		types = []string{"updated"}
	default:
		types = []string{"nothing"}
	}
	return types, deathNo
}
