package inbox_test

import (
	"fmt"
	"testing"

	"waybill/internal/fault"
)

// A clerk has a patient's record open. The file is taken later, and no process waits for the clerk.
func TestAnOpenTransactionHoldsUpNobodyElse(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hl7)
	d.leave("a.hl7", batch(adt("1", "7", "Abel", "")))
	d.does("a.hl7 taken")
	tx, err := d.conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `UPDATE patients.patient SET given_name = 'by hand'`); err != nil {
		t.Fatal(err)
	}
	d.leave("b.hl7", batch(adt("2", "8", "Baker", ""), adt("3", "7", "Cook", "")))
	d.fails("b.hl7 ready", fault.Transient, fmt.Sprintf("waited 3s for process %d", d.conn.PgConn().PID()))
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.does("b.hl7 taken")
}
