package patients_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Both hold a share of the patient's row through the foreign key; the second waits for the
// first's event and comes after it.
func TestTwoWritersOfIdentifiersOnly(t *testing.T) {
	url := migrated(t)
	s, other, watch := connect(t, url), connect(t, url), connect(t, url)
	s.do(insert)
	s.do("BEGIN; INSERT INTO patients.identifier VALUES ({a}, 'x', 'MR', '1')")
	other.do("BEGIN; INSERT INTO patients.identifier VALUES ({a}, 'y', 'MR', '2')")
	s.do("SET CONSTRAINTS ALL IMMEDIATE")
	committed := other.background("COMMIT")
	watch.awaitBlocked(other)
	s.do("COMMIT")
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	s.wantEvents("a", "registered v1 d0, updated v2 d0, updated v3 d0")
	if n := one[int](s, "SELECT jsonb_array_length(identifiers) FROM patients.outbox WHERE version = 3"); n != 2 {
		t.Errorf("the last event has %d identifiers, want both", n)
	}
}

func TestUpdateAndIdentifierAtOnce(t *testing.T) {
	url := migrated(t)
	s, other, watch := connect(t, url), connect(t, url), connect(t, url)
	s.do(insert)
	s.do("BEGIN; " + formal)
	other.do("BEGIN; " + number)
	committed := other.background("COMMIT")
	watch.awaitBlocked(other)
	s.do("COMMIT")
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	s.wantEvents("a", "registered v1 d0, died v2 d1, death_corrected v3 d1")
	wantCurrent(s)
}

// A transaction that can't see the last event must not write a second one.
func TestStaleSnapshotFailsToSerialise(t *testing.T) {
	for _, level := range []string{"REPEATABLE READ", "SERIALIZABLE"} {
		for _, change := range []string{number, move, formal, merge} {
			t.Run(level+" "+change, func(t *testing.T) {
				t.Parallel()
				url := migrated(t)
				s, stale := connect(t, url), connect(t, url)
				s.do(insert + insertB)
				stale.do("BEGIN ISOLATION LEVEL " + level)
				one[int](stale, "SELECT count(*) FROM patients.patient")
				s.do("INSERT INTO patients.identifier VALUES ({a}, 'y', 'MR', '2')")
				err := stale.try(change)
				if err == nil {
					err = stale.try("COMMIT")
				}
				wantCode(t, err, serializationFailure)
				s.wantEvents("a", "registered v1 d0, updated v2 d0")
			})
		}
	}
}

func TestMergesThatWouldMakeACircleAtOnce(t *testing.T) {
	for _, level := range []string{"READ COMMITTED", "REPEATABLE READ"} {
		t.Run(level, func(t *testing.T) {
			t.Parallel()
			url := migrated(t)
			s := connect(t, url)
			s.do("INSERT INTO patients.patient (id) VALUES ({a}), ({b}), ({c})")
			first, second, third := connect(t, url), connect(t, url), connect(t, url)
			for _, each := range []session{first, second, third} {
				each.do("BEGIN ISOLATION LEVEL " + level)
				one[int](each, "SELECT 1 FROM patients.patient LIMIT 1")
			}
			first.do("INSERT INTO patients.alias VALUES ({a}, {b})")
			merged := second.background("INSERT INTO patients.alias VALUES ({b}, {c}); COMMIT")
			s.awaitBlocked(second)
			closed := third.background("INSERT INTO patients.alias VALUES ({c}, {a}); COMMIT")
			s.awaitBlocked(third)
			first.do("COMMIT")
			if level == "REPEATABLE READ" {
				wantCode(t, <-merged, serializationFailure)
				wantCode(t, <-closed, serializationFailure)
				return
			}
			// Who of the two comes first is PostgreSQL's choice; the other one closes the circle.
			errs := []error{<-merged, <-closed}
			if errs[0] == nil {
				errs[0], errs[1] = errs[1], errs[0]
			}
			wantCode(t, errs[0], restrictViolation)
			if errs[1] != nil {
				t.Error(errs[1])
			}
			if n := one[int](s, "SELECT count(*) FROM patients.alias"); n != 2 {
				t.Errorf("%d merges, want 2", n)
			}
		})
	}
}

// The death waits for the merge, sees it, and lands on the survivor.
func TestDeathWhileTheRecordIsMerged(t *testing.T) {
	for _, death := range []string{formal, "SELECT patients.record_death({a}, 'formal')"} {
		t.Run(death, func(t *testing.T) {
			t.Parallel()
			url := migrated(t)
			s, other, watch := connect(t, url), connect(t, url), connect(t, url)
			s.do(insert + insertB)
			s.do("BEGIN; " + merge)
			died := other.background(death)
			watch.awaitBlocked(other)
			s.do("COMMIT")
			if err := <-died; err != nil {
				t.Fatal(err)
			}
			s.wantEvents("a", "registered v1 d0, merged v2 d0")
			s.wantEvents("b", "registered v1 d0, died v2 d1")
		})
	}
}

// Many writers do all there is to do, and the outbox must read as one story per patient: dense
// versions, each event named for what lies between it and the one before, the last one current.
func TestManyWriters(t *testing.T) {
	url := migrated(t)
	s := connect(t, url)
	const patients, writers, transactions = 12, 8, 60
	s.do(fmt.Sprintf("INSERT INTO patients.patient (id) SELECT %s FROM generate_series(0, %d) n", patientNumber, patients-1))
	errs := make(chan error, writers)
	for w := range writers {
		writer := connect(t, url)
		go func() { errs <- write(writer, newScript(uint64(w), patients), transactions) }()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	wantStory(s)
	wantCurrent(s)
	if n := one[int](s, "SELECT count(DISTINCT event) FROM patients.outbox"); n != 6 {
		t.Errorf("%d types of event came about, want all 6", n)
	}
	if n := one[int](s, "SELECT count(*) FROM patients.alias") - one[int](s, "SELECT count(*) FROM patients.outbox WHERE event = 'merged'"); n != 0 {
		t.Errorf("%d merges more than events", n)
	}
}

// write runs a script's transactions. Those that the database refuses in the ways it should
// (conflicts, deadlocks, rules) are let go.
func write(s session, script *script, transactions int) error {
	for range transactions {
		err := s.try(script.transaction())
		if err == nil {
			continue
		}
		pg, ok := errors.AsType[*pgconn.PgError](err)
		if !ok {
			return err
		}
		switch pg.Code {
		case serializationFailure, "40P01", restrictViolation, "23505":
			if err := s.try("ROLLBACK"); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}
