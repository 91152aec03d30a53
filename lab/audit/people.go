package audit

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/importer"
)

// record is a patient's record as the source's tables have it.
type record struct {
	id       uuid.UUID
	survivor *record // nil unless retired
	dead     bool
	historic bool // died long ago, and was already dead when first seen
	erased   bool
}

// person is a record that was not retired, and those that were merged into it.
type person struct {
	*record
	records []*record
}

// conflicted returns the retired records that are dead while the person is not.
func (p *person) conflicted() (dead []*record) {
	for _, r := range p.records {
		if r.id != p.id && r.dead && !p.dead {
			dead = append(dead, r)
		}
	}
	return dead
}

func (a *auditor) readSource(ctx context.Context, conn *pgx.Conn) error {
	records, survivors := map[uuid.UUID]*record{}, map[uuid.UUID]uuid.UUID{}
	rows, err := conn.Query(ctx, `
		SELECT p.id, a.survivor_id, p.death_status IN ('informal', 'formal'), p.death_latest < $1,
		    EXISTS (SELECT FROM patients.erasure e WHERE e.patient_id = p.id)
		FROM patients.patient p LEFT JOIN patients.alias a ON a.retired_id = p.id`, a.Now.Add(-a.ActWithin))
	if err != nil {
		return err
	}
	var id uuid.UUID
	var survivor *uuid.UUID
	var dead, erased bool
	var old *bool // nil: nobody knows
	if _, err := pgx.ForEachRow(rows, []any{&id, &survivor, &dead, &old, &erased}, func() error {
		records[id] = &record{id: id, dead: dead, historic: dead && a.historic(id, old), erased: erased}
		if survivor != nil {
			survivors[id] = *survivor
		}
		return nil
	}); err != nil {
		return err
	}
	for retired, survivor := range survivors {
		records[retired].survivor = records[survivor]
	}
	a.gather(records)
	rows, err = conn.Query(ctx, `SELECT event, count(*) FROM patients.outbox GROUP BY event`)
	if err != nil {
		return err
	}
	var event string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&event, &n}, func() error { a.Events[event] = n; return nil })
	return err
}

func (a *auditor) historic(id uuid.UUID, old *bool) bool {
	unseen, found := a.Before.Found[id]
	if old == nil {
		return unseen && a.ActWithin != importer.Unlimited
	}
	return found && *old && a.ActWithin != importer.Unlimited
}

// gather groups retired records with the one at the end of their chain. Patients who are erased
// according to the log, but are not in the tables, are persons too.
func (a *auditor) gather(records map[uuid.UUID]*record) {
	for _, id := range a.Erased {
		r := records[id]
		switch {
		case r == nil:
			records[id] = &record{id: id, erased: true}
		case !r.erased:
			a.bad("patient %s was erased, and is known again at the source", id)
			r.erased = true
		}
	}
	a.owners = map[uuid.UUID]*person{}
	for _, r := range records {
		end := r
		for end.survivor != nil {
			end = end.survivor
		}
		p := a.owners[end.id]
		if p == nil {
			p = &person{record: end}
			a.owners[end.id] = p
			a.people = append(a.people, p)
		}
		p.records = append(p.records, r)
		a.owners[r.id] = p
	}
}

// owner returns the person of a record. A record that the source doesn't have belongs to a person who isn't dead.
func (a *auditor) owner(of uuid.UUID) *person {
	if p := a.owners[of]; p != nil {
		return p
	}
	r := &record{id: of}
	return &person{r, []*record{r}}
}

// checkErased checks that a consumer has no data of the erased.
func (a *auditor) checkErased(ctx context.Context, consumer string, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT patient_id, event <> 'erased' OR death_status <> 'none' OR coalesce(has ->> 'identifiers', '[]') <> '[]'
		    OR has ?| '{family_name,given_name,birth_date,sex,address_line,address_city,address_postcode,address_country}' -- a slim consumer has none
		FROM `+consumer+`.patient p, jsonb_strip_nulls(to_jsonb(p)) has`)
	if err != nil {
		return err
	}
	var id uuid.UUID
	var known bool
	_, err = pgx.ForEachRow(rows, []any{&id, &known}, func() error {
		if known && a.owner(id).erased {
			a.bad("patient %s was erased, and %s knows them", id, consumer)
		}
		return nil
	})
	return err
}
