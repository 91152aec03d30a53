package oracle_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"waybill/lab/logtest"
	. "waybill/lab/oracle"
)

// agree compares a consumer's database with the model, row by row.
func (w *world) agree(consumer string) {
	w.Helper()
	if w.blind {
		return
	}
	want := modelOf(w.model[consumer])
	got := w.rows(consumer, common...)
	if consumer == "morgue" {
		got = append(got, w.rows(consumer, states+facts+`FROM patient`)...)
		want, got = append(want, casesOf(w.morgue())...), append(got, w.rows(consumer, bodies...)...)
	} else {
		got = append(got, w.rows(consumer, states+` NULL, NULL, NULL, NULL, NULL,`+fate+`FROM patient`)...)
		want, got = append(want, calendarOf(w.clinic())...), append(got, w.rows(consumer, calendar...)...)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("%s (-model +database):\n%s", consumer, diff)
	}
}

// reconciled demands that the consumer's reconcile.sql finds nobody after an import.
func (w *world) reconciled(consumer string) {
	w.Helper()
	if w.blind {
		return
	}
	query, err := fs.ReadFile(w.files[consumer], "reconcile.sql")
	if err != nil {
		w.Fatal(err)
	}
	now := fmt.Sprintf("timestamptz '%s'", at(w.now).Format(time.RFC3339))
	rows, err := w.conns[consumer].Query(w.ctx, strings.ReplaceAll(string(query), "now()", now), pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		w.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Kind, Patient string }])
	// Alerts are raised by the history's clock, and bodies released by the database's. An undated death of
	// a snapshot is a person's to look at.
	found = slices.DeleteFunc(found, func(f struct{ Kind, Patient string }) bool {
		return f.Kind == "released_in_doubt" || f.Kind == "undated_death"
	})
	if err != nil || len(found) > 0 {
		w.Fatalf("reconcile %s: %v %v", consumer, found, err)
	}
}

// agreeOnEvents compares the patients service's outbox with the model.
func (w *world) agreeOnEvents() {
	w.Helper()
	if w.blind {
		return
	}
	var want []string
	for _, e := range w.registry.Outbox {
		want = append(want, line(e.Patient, e.Version, e.Kind, e.Baseline, e.DeathNo, some(int(e.Into)), stated(e.Identity, e.Fate)))
	}
	got := w.rows("patients", `SELECT #patient_id, version, event, baseline::text, death_no, #merged_into,`+facts+`FROM outbox`)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("events (-model +database):\n%s", diff)
	}
}

// agreeOnTheLog compares the files on the store with the model.
func (w *world) agreeOnTheLog() {
	w.Helper()
	if w.blind {
		return
	}
	var want, got []string
	for _, b := range w.log.Batches {
		for _, e := range b.Events {
			want = append(want, line(b.Number, e.Kind, e.Baseline, uuid(e.Patient), e.Generation, e.Version, e.Revision, e.DeathNo))
		}
	}
	events, err := logtest.Events(w.ctx, w.store)
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range events {
		got = append(got, line(e.Batch, e.Event, e.Baseline, e.Patient, e.Generation, e.Version, e.Revision, e.DeathNo))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		w.Fatalf("the log (-model +store):\n%s", diff)
	}
}

// rows returns the queries' rows as text; NULL is "-".
func (w *world) rows(consumer string, queries ...string) (all []string) {
	w.Helper()
	for _, query := range queries {
		rows, err := w.conns[consumer].Query(w.ctx, expand(query), pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			w.Fatalf("%s: %v", query, err)
		}
		found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
			values := make([]any, len(row.RawValues()))
			for i, raw := range row.RawValues() {
				values[i] = w.numbered(string(raw))
			}
			return line(values...), nil
		})
		if err != nil {
			w.Fatalf("%s: %v", query, err)
		}
		all = append(all, found...)
	}
	return all
}

// numbered returns a stranger's number for their id, and any other text unchanged.
func (w *world) numbered(text string) string {
	if n := slices.Index(w.strangers, text); n >= 0 {
		return fmt.Sprint(stranger + n)
	}
	return text
}

// line is a row as text; what is empty is "-".
func line(values ...any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		if texts[i] = fmt.Sprint(v); texts[i] == "" {
			texts[i] = "-"
		}
	}
	return strings.Join(texts, " ")
}

// expand writes out #column, a number in an id, and @column, a time as minutes of the history.
func expand(query string) string {
	words := strings.Fields(query)
	for i, word := range words {
		name, comma := strings.TrimSuffix(word, ","), ""
		if name != word {
			comma = ","
		}
		switch name[0] {
		case '#':
			words[i] = fmt.Sprintf("CASE WHEN %s::text LIKE '00000000-%%' THEN ltrim(right(%[1]s::text, 12), '0') ELSE %[1]s::text END%s", name[1:], comma)
		case '@':
			words[i] = fmt.Sprintf("(extract(epoch FROM %s - '2026-11-22 00:00Z') / 60)::integer%s", name[1:], comma)
		}
	}
	return strings.Join(words, " ")
}

const (
	facts   = ` family_name, given_name, birth_date, regexp_replace(identifiers -> 0 ->> 'value', '[0-9]', '', 'g'), address_city,` + fate
	fate    = ` death_status, @death_earliest, @death_latest, death_precision `
	states  = `SELECT 'patient', #patient_id, event, baseline::text, generation, version, revision, death_no, #merged_into,`
	settled = ` CASE WHEN resolved_at IS NOT NULL THEN resolved_by END `
)

// What is compared, as SQL and as the model has it.
var (
	common = []string{
		`SELECT 'notice', #patient_id, death_no, @noticed_at, historic::text FROM notice`,
		`SELECT 'ledger', batch, rerun, rows, changed, observed::text,
			(SELECT string_agg(key || '=' || value, ',' ORDER BY key) FROM jsonb_each_text(effects)) FROM ledger`,
		`SELECT 'effect', batch, kind, #patient_id, death_no, observed::text FROM effect_log`,
		`SELECT 'checkpoint', batch, held_batch FROM checkpoint`,
	}
	bodies = []string{
		`SELECT 'case', #patient_id, death_no, state, CASE WHEN death_no > 0 THEN @noticed_at END, array_to_string(edited, ','), voided_by, void_reason,` + facts + `FROM case_file`,
		`SELECT 'alert', kind, #patient_id, death_no,` + settled + `FROM alert`,
	}
	calendar = []string{
		`SELECT 'appointment', #id, #patient_id, kind, resource, @starts_at, @ends_at, status, cancellation_reason FROM appointment`,
		`SELECT 'item', reason, #appointment_id, #patient_id, death_no, detail,` + settled + `FROM worklist`,
	}
)

func modelOf(c *Consumer) (lines []string) {
	for p, e := range c.Known {
		lines = append(lines, line("patient", p, e.Kind, e.Baseline, e.Generation, e.Version, e.Revision, e.DeathNo, some(int(e.Into)), stated(e.Identity, e.Fate)))
	}
	for d, n := range c.Notices {
		lines = append(lines, line("notice", d.Patient, d.No, n.At, n.Historic))
	}
	for _, e := range c.Ledger {
		counts := map[string]int{}
		for _, effect := range e.Effects {
			counts[effect.Kind]++
			lines = append(lines, line("effect", e.Batch, effect.Kind, effect.Patient, effect.No, effect.Observed))
		}
		var kinds []string
		for _, kind := range slices.Sorted(maps.Keys(counts)) {
			kinds = append(kinds, fmt.Sprintf("%s=%d", kind, counts[kind]))
		}
		lines = append(lines, line("ledger", e.Batch, e.Rerun, e.Rows, e.Changed, e.Observed, strings.Join(kinds, ",")))
	}
	if c.Started {
		lines = append(lines, line("checkpoint", c.Checkpoint, some(c.Held)))
	}
	return lines
}

// some is empty for nothing.
func some(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func stated(i Identity, f Fate) string {
	p := []any{"", "", ""}
	if f.Period != (Period{}) {
		p = []any{f.Period.From, f.Period.To, f.Period.Precision}
	}
	return line(i.Family, i.Given, i.BirthDate, i.Identifier, i.City, f.Status, line(p...))
}

func casesOf(m *Morgue) (lines []string) {
	for d, c := range m.Cases {
		lines = append(lines, line("case", d.Patient, d.No, c.State, noticed(d, c), strings.Join(slices.Sorted(maps.Keys(c.Edited)), ","), c.VoidedBy, c.VoidReason, stated(c.Identity, c.Fate)))
	}
	for _, a := range m.Alerts {
		lines = append(lines, line("alert", a.Kind, a.Patient, a.No, a.Resolved))
	}
	return lines
}

func calendarOf(c *Clinic) (lines []string) {
	for n, a := range c.Calendar {
		lines = append(lines, line("appointment", n, a.Patient, a.Kind, a.Resource, a.Start, a.End, a.Status, a.Reason))
	}
	for i, o := range c.Worklist {
		lines = append(lines, line("item", i.Reason, some(i.Appointment), i.Patient, i.No, o.Detail, o.Resolved))
	}
	return lines
}

// noticed is empty for a body without a notice: the database's clock says when it came.
func noticed(d Death, c *Case) string {
	if d.No == 0 {
		return ""
	}
	return fmt.Sprint(c.NoticedAt)
}
