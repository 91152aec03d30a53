package oracle_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"waybill/importer"
)

// inAnyWay has three follow the same history of the patients service: one batch by batch as they come, one
// that slept until the end, and one that begins at the last snapshot. Nothing is done by people, and no time passes, since
// that is what makes a difference between them.
func (h *hospital) inAnyWay(t *rapid.T, followers []*follower) {
	w := h.newWorld(t)
	defer w.end()
	for _, f := range followers {
		f.world = w
		w.emptyAll(f.conn, f.name)
	}
	w.bookEverywhere(t, followers)
	for _, f := range append(ofWay(followers, "one"), ofWay(followers, "other")...) {
		f.load(importer.Options{}, 0) // the genesis: a consumer without a place in the log would begin at its newest snapshot
	}
	w.live(t, func() {
		for _, f := range ofWay(followers, "one") {
			f.load(importer.Options{}, 0)
		}
	})
	w.commitOpen()
	w.snapshot()
	for _, f := range followers {
		f.load(importer.Options{}, 0)
	}
	for _, name := range follow {
		one, other := of(followers, "one", name), of(followers, "other", name)
		w.same(name+", loaded in many runs (-) and in one (+)", one.dump(), other.dump())
		if name != "journal" { // which has the events, and a snapshot restates no event that was superseded
			late := of(followers, "late", name)
			but := late.elsewhere(one)
			w.same(name+", from batch 0 (-) and from the snapshot (+)", one.present(but), late.present(but))
		}
		one.again(t)
	}
}

// live is a history of the patients service; each export is followed.
func (w *world) live(t *rapid.T, exported func()) {
	actions := w.actions()
	maps.DeleteFunc(actions, func(name string, _ func(*rapid.T)) bool {
		return !slices.ContainsFunc([]string{"change", "export", "snapshot", "correct", "erase", "open", "backup"},
			func(kept string) bool { return strings.HasPrefix(name, kept) })
	})
	for i := range 4 {
		actions[fmt.Sprint("follow", i)] = func(t *rapid.T) {
			w.tester = t
			w.export()
			exported()
		}
	}
	t.Repeat(actions)
	w.tester = t
}

// again loads batches again that were loaded before, which changes nothing but the ledger.
func (f *follower) again(t *rapid.T) {
	f.Helper()
	var first, last int
	if err := f.conn.QueryRow(f.ctx, `SELECT min(batch), max(batch) FROM ledger`).Scan(&first, &last); err != nil {
		f.Fatal(err)
	}
	from := rapid.IntRange(first, last).Draw(t, "from")
	batches, reapply := span(from, rapid.IntRange(from, last).Draw(t, "to")), rapid.Bool().Draw(t, "reapply")
	before := f.dump("ledger")
	f.said("%s loads %v again, reapply %t", f.name, batches, reapply)
	if _, err := f.importer(0).Rerun(f.ctx, importer.RerunOptions{Batches: batches, Reapply: reapply, Reason: "a test"}); err != nil {
		f.Fatal(err)
	}
	f.same(fmt.Sprintf("%s, before (-) and after (+) a re-run of %v", f.name, batches), before, f.dump("ledger"))
}

// settled demands that a second re-run of everything changes nothing but the ledger. The first may: time has passed, and staff
// have done things that no batch was loaded after.
func (w *world) settled(consumer string) {
	w.Helper()
	f := &follower{world: w, name: consumer, conn: w.conns[consumer]}
	again := func() []string {
		w.rerun(consumer, w.model[consumer].Ledger[0].Batch, w.model[consumer].Checkpoint, true, how{})
		return f.dump("ledger")
	}
	first := again()
	w.same("a first (-) and a second (+) re-run of all", first, again())
}

// elsewhere returns the people for whom the rules make a difference between a follower who saw what happened and this one: whose
// death is found, longer ago than it acts on or undated (docs/import.md, "Notice and historic deaths"); those who are dead and
// merged into somebody who is not, because a conflict leaves what was done before it as it is (docs/consumers.md); and the
// erased, for whom nothing that was cancelled comes back.
func (f *follower) elsewhere(who *follower) []string {
	f.Helper()
	historic := `SELECT patient_id::text FROM notice n JOIN patient p USING (patient_id, death_no) WHERE p.death_status IN ('informal', 'formal') AND historic`
	seen := who.rows(historic)
	found := slices.DeleteFunc(f.rows(fmt.Sprintf(historic+` AND (death_latest IS NULL OR death_latest < '%s'::timestamptz)`, at(f.now-actWithin).Format(time.RFC3339))),
		func(patient string) bool { return slices.Contains(seen, patient) })
	conflicts := map[string]string{
		"morgue":       `SELECT patient_id::text FROM alert WHERE kind = 'merge_conflict' AND resolved_at IS NULL`,
		"appointments": `SELECT patient_id::text FROM worklist WHERE reason = 'merge_conflict' AND resolved_at IS NULL`,
	}
	found = append(found, f.rows(conflicts[f.name])...)
	return append(f.rows(`SELECT patient_id::text FROM members_of('{`+strings.Join(found, ",")+`}')`), f.rows(`SELECT patient_id::text FROM patient WHERE event = 'erased'`)...)
}

// present returns what people see today, which does not depend on how a consumer came to know it: patients, deaths that stand,
// cases of them, what is asked and not answered, and the calendar; of some patients, only their state.
func (f *follower) present(but []string) (lines []string) {
	f.Helper()
	queries := []string{
		`SELECT 'patient ' || CASE event WHEN 'erased' THEN patient_id::text ELSE (to_jsonb(p) - '{event,baseline,revision}'::text[])::text END FROM patient p WHERE version > 0`,
		`SELECT 'death ' || patient_id || ' ' || death_no || ' ' || historic FROM notice n JOIN patient p USING (patient_id, death_no)
			WHERE p.death_status IN ('informal', 'formal')`,
	}
	if f.name == "morgue" {
		queries = append(queries,
			`SELECT 'case ' || (to_jsonb(c) - `+clocks+`)::text FROM case_file c WHERE state <> 'void'`,
			`SELECT 'alert ' || concat_ws(' ', kind, patient_id, death_no, urgent, about) FROM alert WHERE resolved_at IS NULL`)
	} else {
		queries = append(queries,
			`SELECT 'appointment ' || concat_ws(' ', id, patient_id, status, cancellation_reason) FROM appointment`,
			// What was listed as missed stays so when the death is corrected to a later time (docs/consumers.md).
			`SELECT 'item ' || concat_ws(' ', reason, detail, appointment_id, l.patient_id, death_no, about) FROM worklist l WHERE resolved_at IS NULL
				AND NOT (reason = 'missed' AND EXISTS (SELECT FROM appointment a JOIN vital v USING (patient_id) WHERE a.id = l.appointment_id
					AND a.starts_at < least(CASE a.status WHEN 'booked' THEN v.death_earliest ELSE v.death_latest END, v.known_at)))`)
	}
	for _, query := range queries {
		lines = append(lines, f.rows(query)...)
	}
	return slices.DeleteFunc(lines, func(line string) bool {
		return !strings.HasPrefix(line, "patient ") && slices.ContainsFunc(but, func(patient string) bool { return strings.Contains(line, patient) })
	})
}
