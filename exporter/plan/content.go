package plan

import (
	"fmt"
	"strings"

	"waybill/schemas"
)

// Query returns the SELECT of the batch's events, with the contract's columns in order. Generation
// and revision are the batch's, so the outbox does not hold them.
func (p *Plan) Query(contract *schemas.Contract) string { return p.query(contract, "true") }

// query is [Plan.Query] with one more condition for changes.
func (p *Plan) query(contract *schemas.Contract, within string) string {
	kind, before, after := p.content()
	columns := make([]string, len(contract.Columns))
	for i, c := range contract.Columns {
		if columns[i] = c.Name; c.Outbox != c.Name {
			columns[i] = c.Outbox + " AS " + c.Name
		}
		switch {
		case c.Name == "generation":
			columns[i] = fmt.Sprintf("%d::integer AS generation", p.Generation)
		case c.Name == "revision":
			columns[i] = fmt.Sprintf("%d::integer AS revision", p.Revision)
		case kind == schemas.Snapshot && c.Name == "baseline":
			columns[i] = p.found() + " AS baseline"
		case kind == schemas.Snapshot && c.Name == "event":
			columns[i] = stateEvent + " AS event"
		}
	}
	list := strings.Join(columns, ", ")
	if kind == schemas.Snapshot {
		return fmt.Sprintf(`SELECT %s FROM (SELECT DISTINCT ON (patient_id) * FROM patients.outbox
			WHERE pg_visible_in_snapshot(tx, %s) ORDER BY patient_id, version DESC) o WHERE %s ORDER BY patient_id`,
			list, after.SQL(), p.condition())
	}
	return fmt.Sprintf(`SELECT %s FROM patients.outbox o WHERE %s AND %s AND %s ORDER BY position`, list, within, Between(before, after), p.condition())
}

// content returns what the batch has: changes or states, and between which cursors.
func (p *Plan) content() (kind string, before, after Cursor) {
	if p.Covers == nil {
		return p.Kind, p.Before, p.After
	}
	return *p.covered.kind, *p.covered.before, *p.covered.after
}

// Forgotten reports whether a correction repeats batches whose plans were deleted.
func (p *Plan) Forgotten() bool {
	return p.Covers != nil && (p.covered.kind == nil || p.covered.before == nil || p.covered.after == nil)
}

// found is the SQL condition for the baseline events o of a snapshot: all, except deaths that capture
// saw and no batch reported. A generation's first snapshot may have some between its cursors.
func (p *Plan) found() string {
	_, before, after := p.content()
	if before == after {
		return "true"
	}
	return `NOT (o.death_status IN ('informal', 'formal') AND EXISTS (SELECT FROM patients.outbox d
		WHERE d.patient_id = o.patient_id AND d.event = 'died' AND d.death_no = o.death_no AND NOT d.baseline AND NOT ` +
		fmt.Sprintf("pg_visible_in_snapshot(d.tx, %s)))", before.SQL())
}

// condition is the SQL condition for the events o that the batch holds. A correction repeats no
// events of patients who were erased since.
func (p *Plan) condition() string {
	if p.Covers == nil {
		return "true"
	}
	return "NOT EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = o.patient_id AND o.version < e.version)"
}

// stateEvent types a snapshot's event by the state it reports, so that from a snapshot a consumer
// of deaths alone learns about every patient who was ever dead (schemas/SPEC.md).
const stateEvent = `CASE
	WHEN event = 'erased' THEN event
	WHEN merged_into IS NOT NULL THEN 'merged'
	WHEN death_status IN ('formal', 'informal') THEN 'died'
	WHEN death_no > 0 OR death_status = 'void' THEN 'death_retracted'
	ELSE 'registered' END`
