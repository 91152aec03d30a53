package importer_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/logtest"
)

// When PostgreSQL ends in the middle of a COPY, nobody may still read what the run then closes:
// the race detector would report it.
func TestACopyThatIsCutOffIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	states := make([]logtest.State, 100_000) // the COPY takes long enough to be seen, and the living need no cases
	for i := range states {
		states[i] = logtest.State{Event: "death_retracted", Patient: uuid.New(), Version: 1, DeathNo: 1, Status: "none"}
	}
	s.Changes(states...)
	for range 4 {
		ended := make(chan error)
		go func() {
			_, err := s.run(importer.Options{})
			ended <- err
		}()
		for cut := false; !cut; {
			err := s.conn.QueryRow(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_progress_copy
				WHERE datname = current_database() AND tuples_processed > 0`).Scan(&cut)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				t.Fatalf("the run ended uncut: %v", err)
			default:
			}
		}
		if err := <-ended; err == nil || fault.ClassOf(err) != fault.Transient {
			t.Errorf("cut off: %v (%s), want a failure that passes", err, fault.ClassOf(err))
		}
	}
	if got := s.load(); len(got.Batches) == 0 || got.Batches[len(got.Batches)-1].Rows != int64(len(states)) {
		t.Errorf("loaded %+v", got.Batches)
	}
}
