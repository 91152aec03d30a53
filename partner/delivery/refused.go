package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner/format/record"
)

// refusal is an event that can't be written, and the reason, which repeats no value.
type refusal struct {
	event  *record.Event
	reason error
}

// refusals are the events that keep a file from being written.
type refusals []refusal

// shownRefusals limits the refused events that an error names.
const shownRefusals = 5

// Error names the events by their ids, without values.
func (r refusals) Error() string {
	var list []string
	for _, one := range r[:min(len(r), shownRefusals)] {
		list = append(list, fmt.Sprintf("event %d, patient %s version %d: %s", one.event.Position, one.event.Patient, one.event.Version, one.reason))
	}
	if more := len(r) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("held: %s can't be written (%s)", humanize.Plural(int64(len(r)), "event", "events"), strings.Join(list, "; "))
}

func (d *Delivery) held(r refusals) error {
	return fault.New(fault.Held, "write", "file for "+d.config.Partner, r, fmt.Sprintf(
		"correct the source and export; or declare in the partner's file how to write such values (unwritable: blank, unencodable, map, too_long); "+
			"or leave the event out: `waybill deliver %s --skip %d --reason TEXT`", d.config.Partner, r[0].event.Position))
}

// newest returns each refused patient's newest event up to a position.
func (s *session) newest(ctx context.Context, refused refusals, known int64) (map[uuid.UUID]*record.Event, error) {
	var patients []uuid.UUID
	for _, r := range refused {
		patients = append(patients, r.event.Patient)
	}
	rows, _ := s.conn.Query(ctx, `
		SELECT DISTINCT ON (q.patient_id) q.position, q.patient_id, `+person("q")+` FROM queue q
		WHERE q.patient_id = ANY ($1) AND q.position <= $2 AND q.event <> 'erased'
		ORDER BY q.patient_id, q.generation DESC, q.version DESC, q.revision DESC`, patients, known)
	found := map[uuid.UUID]*record.Event{}
	_, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		e, identifiers := new(record.Event), []byte(nil)
		into := []any{&e.Position, &e.Patient, &identifiers}
		for _, text := range e.Texts() {
			into = append(into, text)
		}
		err := row.Scan(into...)
		if err == nil {
			e.Identifiers, err = record.ParseIdentifiers(identifiers)
		}
		found[e.Patient] = e
		return struct{}{}, err
	})
	return found, fault.Database("read", "queue", err)
}

// skipped returns the positions in a span that a person left out.
func (s *session) skipped(ctx context.Context, of span) (map[int64]bool, error) {
	rows, _ := s.conn.Query(ctx, `SELECT position FROM skipped WHERE position > $1 AND position <= $2`, of.after, of.to)
	positions, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	all := map[int64]bool{}
	for _, p := range positions {
		all[p] = true
	}
	return all, fault.Database("read", "skipped events", err)
}

// skip records a person's decision to leave events out. It accepts only events that keep the next file from being
// written, so that nobody leaves out an event that can be written.
func (s *session) skip(ctx context.Context, positions []int64, reason, person string) error {
	if err := s.resume(ctx); err != nil {
		return err
	}
	_, err := s.plan(ctx)
	held, refused := errors.AsType[refusals](err)
	if err != nil && !refused {
		return err
	}
	err = pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		for _, position := range positions {
			event := fmt.Sprintf("event %d", position)
			if !slices.ContainsFunc(held, func(r refusal) bool { return r.event.Position == position }) {
				return fault.New(fault.Usage, "skip", event, errors.New("it does not keep the next file from being written"),
					fmt.Sprintf("`waybill deliver %s --dry-run` names the events that do", s.config.Partner))
			}
			if err := decision.Note(ctx, tx, Schema(s.config.Partner), decision.Decision{Kind: "skip", Subject: event, Reason: reason, Person: person}); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO skipped (position) VALUES ($1)`, position); err != nil {
				return err
			}
		}
		return nil
	})
	return fault.Database("skip", "events", err)
}
