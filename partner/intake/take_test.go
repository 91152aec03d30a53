package intake

import (
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/partner/format/record"
)

func mr(value string) record.Identifier {
	return record.Identifier{Authority: "NGH", Type: "MR", Value: value}
}

// says returns a record of the patient with a number, as a partner's HL7 gives it.
func says(number string, what ...func(*record.Record)) record.Record {
	r := record.Record{Key: mr(number), Identifiers: []record.Identifier{mr(number)}}
	for _, w := range what {
		w(&r)
	}
	return r
}

func family(name string) func(*record.Record) {
	return func(r *record.Record) { r.Family = record.Of(name) }
}

func status(s string) func(*record.Record) {
	return func(r *record.Record) { r.Death.Status = s }
}

func died(status, day string) func(*record.Record) {
	return func(r *record.Record) {
		r.Death = record.Death{Status: status, Period: record.Period{Earliest: at(day + "T00:00:00Z"), Latest: at(day+"T00:00:00Z").AddDate(0, 0, 1), Precision: "day"}}
	}
}

func event(at string) func(*record.Record) {
	return func(r *record.Record) {
		t, err := time.Parse(time.DateOnly, at)
		if err != nil {
			panic(err)
		}
		r.Order.Event = t
	}
}

func sequence(n int64) func(*record.Record) {
	return func(r *record.Record) { r.Order.Sequence = n }
}

func merges(retired string) func(*record.Record) {
	return func(r *record.Record) { r.Act, r.Retired = record.Merge, mr(retired) }
}

func rekeys(wrong string) func(*record.Record) {
	return func(r *record.Record) { r.Act, r.Retired = record.Rekey, mr(wrong) }
}

func also(all ...record.Identifier) func(*record.Record) {
	return func(r *record.Record) { r.Identifiers = append(r.Identifiers, all...) }
}

func file(records []record.Record) iter.Seq2[record.Record, error] {
	return func(yield func(record.Record, error) bool) {
		for _, r := range records {
			if err := r.Finish(&record.Site{Zone: time.UTC}); err != nil {
				panic(err)
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

// take takes in a file with records of a source, and returns the result for each.
func take(t testing.TB, conn *pgx.Conn, source string, records ...record.Record) (became []string) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		_, err := Take(t.Context(), tx, source, Dispute, file(records), func(o Outcome) error {
			if o.Seq != int64(len(became)+1) {
				t.Errorf("outcome %d of record %d", o.Seq, len(became)+1)
			}
			became = append(became, strings.TrimSpace(o.Kind+" "+o.Reason))
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return became
}

// state returns what is known of each patient: numbers, name, death, and the survivor of a merge. If a hospital is
// named, it returns only patients with a number of that hospital.
func state(t testing.TB, conn *pgx.Conn, hospital string) []string {
	t.Helper()
	return column(t, conn, `SELECT concat_ws(' ', coalesce(nullif(n.numbers, ''), '?'), p.family_name, nullif(p.death_status, 'none'), to_char(p.death_earliest AT TIME ZONE 'UTC', 'YYYY-MM-DD'),
			'into ' || (SELECT string_agg(i.value, ',') FROM patients.identifier i WHERE i.patient_id = a.survivor_id))
		FROM patients.patient p LEFT JOIN patients.alias a ON a.retired_id = p.id,
		LATERAL (SELECT string_agg(i.value, ',' ORDER BY i.value) AS numbers FROM patients.identifier i WHERE i.patient_id = p.id) n
		WHERE $1 = '' OR EXISTS (SELECT FROM patients.identifier i WHERE i.patient_id = p.id AND i.authority = $1)
		ORDER BY 1`, hospital)
}

type loads [][]record.Record

// of returns the records of a file as those of another hospital.
func of(hospital string, records []record.Record) []record.Record {
	move := func(i *record.Identifier) {
		if i.Authority != "" {
			i.Authority = hospital + strings.TrimPrefix(i.Authority, "NGH")
		}
	}
	for n := range records {
		move(&records[n].Key)
		move(&records[n].Retired)
		for i := range records[n].Identifiers {
			move(&records[n].Identifiers[i])
		}
	}
	return records
}

func TestTake(t *testing.T) {
	const (
		elsewhere = "disputed reports a patient alive whose death somebody else reported"
		formal    = record.Formal
		informal  = record.Informal
	)
	deleted := func(r *record.Record) { r.Family = record.Deleted }
	undated := func(r *record.Record) { r.Death = record.Death{Status: formal, NoDate: true} }
	other := record.Identifier{Authority: "NGH's health service", Type: "LN", Value: "N"}
	conn := service(t)
	for name, c := range map[string]struct {
		files  loads // of a partner; after a nil, of the other one
		became []string
		state  []string
	}{
		"a value, nothing, another": {
			loads{{says("7", family("Quill"))}, {says("7")}, {says("7", family("Reed"))}},
			[]string{"inserted", "unchanged", "changed"},
			[]string{"7 Reed"},
		},
		"deleted":          {loads{{says("7", family("Quill"))}, {says("7", deleted)}, {says("7", deleted)}}, []string{"inserted", "changed", "unchanged"}, []string{"7"}},
		"deleted at first": {loads{{says("7", deleted)}}, []string{"inserted"}, []string{"7"}},
		// A change reports a death.
		"dead, alive, dead": {
			loads{{says("7", died(informal, "2024-05-06"))}, {says("7", status(record.Alive))}, {says("7", died(informal, "2024-05-06"))}},
			[]string{"inserted", "changed", "changed"},
			[]string{"7 informal 2024-05-06"},
		},
		"an empty status takes nothing back": {loads{{says("7", status(informal))}, {says("7")}}, []string{"inserted", "unchanged"}, []string{"7 informal"}},
		"dead without its date": {
			loads{{says("7", died(informal, "2024-05-06"))}, {says("7", status(formal))}, {says("7", undated)}},
			[]string{"inserted", "changed", "changed"},
			[]string{"7 formal"},
		},
		"formal is not overwritten": {
			loads{{says("7", died(formal, "2024-05-06"))}, {says("7", died(informal, "2024-05-07"))}},
			[]string{"inserted", "unchanged"},
			[]string{"7 formal 2024-05-06"},
		},
		// What a source repeats is no news, so that what another said since stays.
		"a date again, after another": {
			loads{{says("7", died(formal, "2024-05-06"))}, nil, {says("7", died(formal, "2024-05-09"))}, nil, {says("7", died(formal, "2024-05-06"))}},
			[]string{"inserted", "changed", "unchanged"},
			[]string{"7 formal 2024-05-09"},
		},
		"no date again, after one": {
			loads{{says("7", status(formal))}, nil, {says("7", died(formal, "2024-05-09"))}, nil, {says("7", status(formal))}},
			[]string{"inserted", "changed", "unchanged"},
			[]string{"7 formal 2024-05-09"},
		},
		"a wrong date again, after another": {
			loads{{says("7", undated)}, nil, {says("7", died(formal, "2024-05-09"))}, nil, {says("7", undated)}, {says("7", undated)}},
			[]string{"inserted", "changed", "unchanged", "unchanged"},
			[]string{"7 formal 2024-05-09"},
		},
		"a wrong date later, after another": {
			loads{{says("7", status(formal))}, nil, {says("7", died(formal, "2024-05-09"))}, nil, {says("7", undated)}},
			[]string{"inserted", "changed", "changed"},
			[]string{"7 formal"},
		},
		// Another source says something else.
		"alive, of one who never said dead": {
			loads{{says("7", status(formal))}, nil, {says("7", status(record.Alive))}, {says("7", status(record.Alive), family("Quill"))}},
			[]string{"inserted", elsewhere, "changed"},
			[]string{"7 Quill formal"},
		},
		"alive, of one who said dead too": {
			loads{{says("7", status(formal))}, nil, {says("7", status(informal))}, {says("7", status(record.Alive))}, {says("7", status(record.Alive))}},
			[]string{"inserted", "unchanged", elsewhere, "unchanged"},
			[]string{"7 formal"},
		},
		"alive, of both who said dead": {
			loads{{says("7", status(informal))}, nil, {says("7", status(informal))}, {says("7", status(record.Alive))}, nil, {says("7", status(record.Alive))}},
			[]string{"inserted", "unchanged", elsewhere, "changed"},
			[]string{"7"},
		},
		"alive, of one who said dead of a record that was merged": {
			loads{{says("7", merges("8"))}, {says("8", status(informal))}, {says("8", status(record.Alive))}},
			[]string{"merged", "changed", "changed"},
			[]string{"7", "8 into 7"},
		},
		"alive, of one who said dead of a record that was merged, as another said of the survivor": {
			loads{{says("7", merges("8"))}, {says("8", status(informal))}, nil, {says("7", status(informal))}, nil, {says("8", status(record.Alive))}},
			[]string{"merged", "changed", "unchanged", elsewhere},
			[]string{"7 informal", "8 into 7"},
		},
		"alive, of the survivor of a record of which another said dead": {
			loads{{says("7", merges("8"))}, {says("8", status(informal))}, nil, {says("7", status(informal))}, {says("7", status(record.Alive))}},
			[]string{"merged", "changed", "unchanged", elsewhere},
			[]string{"7 informal", "8 into 7"},
		},
		"alive, of the survivor of a dead record": {loads{{says("8", status(informal))}, nil, {says("7", merges("8"), status(informal))}, {says("7", status(record.Alive))}}, []string{"inserted", "merged", "changed"}, []string{"7", "8 informal into 7"}},
		"void, of one who never said dead": {
			loads{{says("7", status(formal))}, nil, {says("7", status(record.Void))}},
			[]string{"inserted", "changed"},
			[]string{"7 void"},
		},
		"repeated after somebody took it back": {
			loads{{says("7", status(informal))}, nil, {says("7", status(record.Void))}, nil, {says("7", status(informal))}},
			[]string{"inserted", "changed", "unchanged"},
			[]string{"7 void"},
		},
		// Order.
		"older than before": {
			loads{{says("7", event("2024-05-06"), family("Quill"))}, {says("7", event("2024-05-05"), family("Reed"))}, {says("7", event("2024-05-06"), family("Marsh"))}},
			[]string{"inserted", "stale", "changed"},
			[]string{"7 Marsh"},
		},
		"older, but the only one that speaks of death": {
			loads{{says("7", event("2024-05-06"), family("Quill"))}, {says("7", event("2024-05-05"), family("Reed"), status(informal))}},
			[]string{"inserted", "changed"},
			[]string{"7 Quill informal"},
		},
		"an older word on death": {
			loads{{says("7", event("2024-05-04"), status(informal)), says("7", event("2024-05-06"), status(record.Alive))}, {says("7", event("2024-05-05"), status(informal))}},
			[]string{"inserted", "changed", "stale"},
			[]string{"7"},
		},
		"within a file": {
			loads{{says("7", event("2024-05-06"), family("Quill"), status(record.Alive)), says("7", event("2024-05-05"), family("Reed"), status(informal))}},
			[]string{"changed", "inserted"},
			[]string{"7 Quill"},
		},
		"by its own numbers": {
			loads{{says("7", sequence(9), event("2024-05-05"), family("Quill"))}, {says("7", sequence(8), event("2024-05-06"), family("Reed"))}},
			[]string{"inserted", "stale"},
			[]string{"7 Quill"},
		},
		"a clock that is ahead": {
			loads{{says("7", event("2999-01-01"), family("Quill"))}, {says("7", event("2024-05-06"), family("Reed"))}},
			[]string{"inserted", "changed"},
			[]string{"7 Reed"},
		},
		// Identifiers.
		"those of another authority stay": {
			loads{{says("7", also(other))}, {says("7", also(record.Identifier{Authority: "NGH's wards", Value: "x"}))}},
			[]string{"inserted", "changed"},
			[]string{"7,N,x"},
		},
		"those of the same are replaced": {
			loads{{says("7", also(mr("8")))}, {says("7", also(mr("9")))}}, []string{"inserted", "changed"}, []string{"7,9"},
		},
		"all that there are": {
			loads{{says("7", also(other))}, {says("7", func(r *record.Record) { r.All = true })}}, []string{"inserted", "changed"}, []string{"7"},
		},
		"a patient known by another number": {
			loads{{says("7", also(other))}, nil, {{Key: other, Identifiers: []record.Identifier{other}, Family: record.Of("Quill")}}},
			[]string{"inserted", "changed"},
			[]string{"7,N Quill"},
		},
		// Merges.
		"a merge":                 {loads{{says("7"), says("8", family("Reed")), says("7", merges("8"), family("Quill"))}}, []string{"inserted", "inserted", "merged"}, []string{"7 Quill", "8 Reed into 7"}},
		"a merge of strangers":    {loads{{says("7", merges("8"))}, {says("7", merges("8"))}}, []string{"merged", "unchanged"}, []string{"7", "8 into 7"}},
		"a death after the merge": {loads{{says("7", merges("8"))}, {says("8", status(informal))}}, []string{"merged", "changed"}, []string{"7 informal", "8 into 7"}},
		"a death around a merge": {
			loads{{says("8", family("Reed")), says("7", merges("8")), says("8", died(informal, "2024-05-06")), says("7", family("Quill"))}},
			[]string{"inserted", "merged", "changed", "changed"},
			[]string{"7 Quill informal 2024-05-06", "8 Reed into 7"},
		},
		"a dead record into a living one": {
			loads{{says("8", status(informal))}, {says("7", merges("8"))}}, []string{"inserted", "merged"}, []string{"7", "8 informal into 7"},
		},
		"a chain":       {loads{{says("7", merges("8")), says("6", merges("7")), says("8", status(formal))}}, []string{"merged", "merged", "changed"}, []string{"6 formal", "7 into 6", "8 into 7"}},
		"a circle":      {loads{{says("7", merges("8"))}, {says("8", merges("7"))}}, []string{"merged", "disputed the record that should survive was merged into the other"}, []string{"7", "8 into 7"}},
		"into another":  {loads{{says("7", merges("8"))}, {says("6", merges("8"))}}, []string{"merged", "disputed the record was merged into another one before"}, []string{"6", "7", "8 into 7"}},
		"into the same": {loads{{says("7", merges("8")), says("6", merges("7"))}, {says("6", merges("8"))}, {says("7", merges("8"))}}, []string{"merged", "merged", "unchanged", "unchanged"}, []string{"6", "7 into 6", "8 into 7"}},
		"in the source's order": {
			loads{{says("6", merges("7"), event("2024-05-06")), says("7", merges("8"), event("2024-05-05"))}},
			[]string{"merged", "merged"},
			[]string{"6", "7 into 6", "8 into 7"},
		},
		// Changes of key.
		"a new number":            {loads{{says("7", family("Quill"))}, {says("8", rekeys("7"))}, {says("8", rekeys("7"))}}, []string{"inserted", "unchanged", "unchanged"}, []string{"8 Quill"}},
		"a new number, then news": {loads{{says("7", family("Quill")), says("8", rekeys("7")), says("8", status(informal))}}, []string{"inserted", "unchanged", "changed"}, []string{"8 Quill informal"}},
		"the wrong number is somebody else's": {
			loads{{says("7", family("Quill"))}, {says("8", rekeys("7"))}, {says("7", family("Reed"))}, {says("7", status(informal)), says("8", family("Marsh"))}},
			[]string{"inserted", "unchanged", "inserted", "changed", "changed"},
			[]string{"7 Reed informal", "8 Marsh"},
		},
		"a new number of a stranger": {loads{{says("8", rekeys("7"), family("Quill"))}}, []string{"inserted"}, []string{"8 Quill"}},
		"the right number is taken": {
			loads{{says("7"), says("8")}, {says("8", rekeys("7"), family("Quill"))}},
			[]string{"inserted", "inserted", "disputed the right number is another patient's"},
			[]string{"7", "8"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var became []string
			source, other := name, name+", another partner"
			for _, records := range c.files {
				if records == nil {
					source, other = other, source
					continue
				}
				became = append(became, take(t, conn, source, of(name, records)...)...)
			}
			expect(t, became, c.became)
			expect(t, state(t, conn, name), c.state)
			expect(t, column(t, conn, "SELECT count(*)::text FROM patients.intake_row"), []string{"0"})
		})
	}
}

// Taking all files again in their order changes nothing.
func TestTakingAgainChangesNothing(t *testing.T) {
	conn := service(t)
	files := loads{
		{says("7", died(record.Informal, "2024-05-06"), event("2024-05-07")), says("8", family("Reed")), says("7", merges("8"), event("2024-05-08"))},
		{says("9", rekeys("7"), event("2024-05-09")), says("9", status(record.Alive), event("2024-05-10"))},
		{says("9", died(record.Formal, "2024-05-07"), event("2024-05-11"))},
	}
	for _, f := range files {
		take(t, conn, "partner", f...)
	}
	want, total := state(t, conn, ""), column(t, conn, "SELECT count(*)::text FROM patients.outbox")
	take(t, conn, "partner", files[2]...)
	expect(t, state(t, conn, ""), want)
	expect(t, column(t, conn, "SELECT count(*)::text FROM patients.outbox"), total)
}

// A partner continues to send records about a patient who was erased here. Nothing may come back, under any of the
// patient's numbers.
func TestErasedPatientsStayErased(t *testing.T) {
	conn := service(t)
	if _, err := conn.Exec(t.Context(), `WITH p AS (INSERT INTO patients.patient (family_name) VALUES ('Reed') RETURNING id)
		INSERT INTO patients.identifier SELECT id, 'NGH', 'MR', '8' FROM p`); err != nil {
		t.Fatal(err)
	}
	file := []record.Record{says("7", family("Quill"), status(record.Informal)), says("8", family("Reed"), status(record.Informal))}
	take(t, conn, "partner", file...)
	if _, err := conn.Exec(t.Context(), "SELECT patients.erase_patient(id) FROM patients.patient"); err != nil {
		t.Fatal(err)
	}
	total := column(t, conn, "SELECT count(*)::text FROM patients.outbox")
	expect(t, take(t, conn, "partner", file...), []string{"unchanged", "unchanged"})
	expect(t, take(t, conn, "partner", says("7", merges("8"))), []string{"disputed one of the two records was erased"})
	expect(t, state(t, conn, ""), []string{"?", "?"})
	expect(t, column(t, conn, "SELECT count(*)::text FROM patients.outbox"), total)
	expect(t, column(t, conn, "SELECT count(death_status)::text FROM patients.intake_told"), []string{"0"})
}

// A dry run is a transaction that is rolled back: it says what would change, and changes nothing.
func TestADryRun(t *testing.T) {
	conn := service(t)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts, err := Take(t.Context(), tx, "partner", Dispute, file([]record.Record{says("7"), says("7", merges("8"))}), nil)
	if err != nil {
		t.Fatal(err)
	}
	expectCounts(t, counts, Counts{Read: 2, Inserted: 1, Merged: 1})
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, len(state(t, conn, "")), 0)
}

// Rows in several turns, after those of one turn.
func TestMergesAmongOthers(t *testing.T) {
	conn := service(t)
	var records []record.Record
	for i := range 100 {
		records = append(records, says(fmt.Sprint("c", i)), says(fmt.Sprint("a", i)), says(fmt.Sprint("b", i), merges(fmt.Sprint("a", i))))
	}
	take(t, conn, "partner", records...)
	expect(t, column(t, conn, "SELECT count(*)::text FROM patients.alias"), []string{"100"})
}
