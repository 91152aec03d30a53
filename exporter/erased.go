package exporter

import (
	"context"
	"fmt"

	"waybill/internal/fault"
)

// whyNotAgain says why a part does not come out of the outbox as it was published: events of patients
// who were erased since are blank, and that is no damage.
func (s *session) whyNotAgain(ctx context.Context, p *plan, part string) error {
	var erased int64
	err := s.conn.QueryRow(ctx, `SELECT count(*) FROM (`+s.query(p)+`) published JOIN patients.erasure e USING (patient_id)
		WHERE published.version < e.version`).Scan(&erased)
	if err != nil {
		return fault.Database("read", "patients.erasure", err)
	}
	if erased == 0 {
		return notAgain(p.batch, part)
	}
	return fault.New(fault.Poison, "repair", batchName(p.batch), fmt.Errorf("it held %d events of patients who were erased since, and can't be written again as it was", erased), notAgainHint)
}
