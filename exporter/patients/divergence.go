package patients

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/internal/migrate"
)

// CaptureHint is the command that switches capture on again and makes the events it missed.
const CaptureHint = "run `waybill capture --repair` as the owner of the tables"

// Disarmed returns the triggers that are missing, or not on for every writer.
func Disarmed(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, _ := conn.Query(ctx, `SELECT tab || '.' || name FROM patients.disarmed ORDER BY 1`)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, fault.Database("read", "triggers", err)
}

// CheckArmed fails if a trigger is missing or off, so that tables can change without events.
func CheckArmed(ctx context.Context, conn *pgx.Conn) error {
	names, err := Disarmed(ctx, conn)
	if err != nil || len(names) == 0 {
		return err
	}
	return fault.New(fault.Poison, "check", "capture", fmt.Errorf("of the triggers that capture changes %s", OffText(names)), CaptureHint)
}

// OffText says how many triggers are off, and names a few.
func OffText(names []string) string {
	const most = 4
	text := fmt.Sprintf("%d are off, or not on for every writer: %s", len(names), strings.Join(names[:min(most, len(names))], ", "))
	if len(names) > most {
		text += ", …"
	}
	return text
}

// Divergence is a patient whose row and last event differ.
type Divergence struct {
	Patient uuid.UUID `json:"patient"`
	Kind    string    `json:"kind"` // as named by view patients.divergence
}

// repairable are the kinds that an event repairs. The others must not happen: a person decides.
var repairable = map[string]bool{"unseen": true, "changed": true}

// Window is a range of patients' ids, both ends included, to be compared at once.
type Window struct{ From, To uuid.UUID }

// NextWindow returns the window that begins at an id, of the patients of about so many events. PostgreSQL sees the number, so
// that it reads the index that far, and does not sort an outbox of which it has no statistics.
func NextWindow(ctx context.Context, conn *pgx.Conn, from uuid.UUID, events int) (Window, error) {
	w := Window{from, uuid.Max}
	err := conn.QueryRow(ctx, fmt.Sprintf(`SELECT coalesce((
		SELECT patient_id FROM patients.outbox WHERE patient_id > $1 ORDER BY patient_id OFFSET %d LIMIT 1), $2)`, events), from, uuid.Max).Scan(&w.To)
	return w, fault.Database("read", "outbox", err)
}

// Last reports whether no patient comes behind the window.
func (w Window) Last() bool { return w.To == uuid.Max }

// Divergent compares the window's patients with their last events.
func (w Window) Divergent(ctx context.Context, conn *pgx.Conn) ([]Divergence, error) {
	rows, _ := conn.Query(ctx, `SELECT patient_id, kind FROM patients.divergence WHERE patient_id BETWEEN $1 AND $2 ORDER BY 1`, w.From, w.To)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Divergence])
	return found, fault.Database("compare", "patients", err)
}

// compared is of how many events the patients are compared in one statement, so that no statement holds a snapshot for long.
const compared = 10_000

// EachDivergence compares all patients with their last events. It also finds data of erased patients in other tables.
func EachDivergence(ctx context.Context, conn *pgx.Conn, each func(Divergence) error) error {
	for from, last := uuid.Nil, false; !last; {
		w, err := NextWindow(ctx, conn, from, compared)
		if err != nil {
			return err
		}
		found, err := w.Divergent(ctx, conn)
		if err != nil {
			return err
		}
		for _, d := range found {
			if d.Patient == w.To && !w.Last() {
				continue // the next window begins with it
			}
			if err := each(d); err != nil {
				return err
			}
		}
		from, last = w.To, w.Last()
	}
	rows, _ := conn.Query(ctx, `SELECT r, 'refilled' FROM patients.remembered_erased() r
		WHERE NOT EXISTS (SELECT FROM patients.divergence d WHERE d.patient_id = r)`)
	left, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Divergence])
	if err != nil {
		return fault.Database("compare", "erased patients", err)
	}
	for _, d := range left {
		if err := each(d); err != nil {
			return err
		}
	}
	return nil
}

// CaptureSummary is what [Capture] found, and what it did about it.
type CaptureSummary struct {
	Disarmed []string         `json:"disarmed,omitempty"` // triggers, as they were found
	Found    map[string]int64 `json:"found"`              // patients, by kind of divergence
	Left     map[string]int64 `json:"left"`               // those of them that were not repaired
	Patients []Divergence     `json:"patients,omitempty"` // those left, at most maxNamed
}

const maxNamed = 100_000

// Capture finds the triggers that are off, and every patient whose row and last event differ. A repair first
// switches the triggers on, so that it misses no change. Then it captures each such patient in a separate
// transaction, so it may be interrupted and run again. It makes the events that the triggers would have made:
// each patient had an event when they were installed, so every difference has arisen since.
func Capture(ctx context.Context, databaseURL string, repair bool) (*CaptureSummary, error) {
	conn, err := migrate.Connect(ctx, databaseURL, "patients database", map[string]string{
		"application_name":   "waybill capture",
		"statement_timeout":  "0",
		"synchronous_commit": "off", // the next run finds again what a crash loses
	}, CheckTables)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	s := &CaptureSummary{Found: map[string]int64{}, Left: map[string]int64{}}
	if s.Disarmed, err = Disarmed(ctx, conn); err != nil {
		return nil, err
	}
	if repair {
		if err := Arm(ctx, databaseURL); err != nil {
			return s, err
		}
	}
	return s, EachDivergence(ctx, conn, func(d Divergence) error {
		s.Found[d.Kind]++
		return s.see(ctx, conn, d, repair)
	})
}

func (s *CaptureSummary) see(ctx context.Context, conn *pgx.Conn, d Divergence, repair bool) error {
	if repair && repairable[d.Kind] {
		var events int
		err := conn.QueryRow(ctx, `SELECT patients.capture($1, held => false)`, d.Patient).Scan(&events)
		if err != nil {
			return fault.Database("capture", "patient "+d.Patient.String(), err)
		}
		if events > 0 {
			return nil
		}
	}
	s.Left[d.Kind]++
	if len(s.Patients) < maxNamed {
		s.Patients = append(s.Patients, d)
	}
	return nil
}
