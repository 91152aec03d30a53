package delivery_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/internal/setting"
	"waybill/lab/logtest"
)

// Each bound of a setting is the last value that may be set.
func TestTheBoundsOfSettings(t *testing.T) {
	for text, path := range map[string]string{
		"max_rows: 1":                                 "",
		"max_rows: -1":                                "max_rows",
		"max_rows: 1000000":                           "",
		"max_rows: 1000001":                           "max_rows",
		"max_mib: 256":                                "",
		"max_mib: 257":                                "max_mib",
		"max_mib: -1":                                 "max_mib",
		"brake: 0":                                    "",
		"brake: -1":                                   "brake",
		"keep_days: 1":                                "",
		"keep_days: -1":                               "keep_days",
		"sequence: {first: 1, last: 2}":               "",
		"sequence: {first: 2, last: 2}":               "sequence",
		"sequence: {first: -1, last: 2}":              "sequence",
		"sequence: {last: 999999999999}":              "",
		"sequence: {last: 1000000000000}":             "sequence",
		"sequence: {first: 1, last: 3, start: 3}":     "",
		"sequence: {first: 1, last: 3, start: 4}":     "sequence.start",
		"partial: .part":                              "",
		"partial: ':part'":                            "partial",
		"trigger: {name: '{stem}.ctl', content: 'a'}": "",
		"trigger: {name: 'x{sequence}.hl7'}":          "trigger.name",
		"unwritable: blank":                           "",
		"unwritable: delete":                          "unwritable",
		"start: then":                                 "start",
		"empty_file: weekly":                          "empty_file",
		"send: all":                                   "send",
		"unencodable: drop":                           "unencodable",
	} {
		_, err := parse("format: hl7\nname: 'x{sequence}.hl7'\n" + text)
		wrong, named := errors.AsType[*setting.Error](err)
		if path == "" && err != nil || path != "" && (!named || wrong.Path != path) {
			t.Errorf("%q: %v, want one of %s", text, err, path)
		}
	}
}

// A snapshot tells the partner of each patient whose state is another than the one queued last, no matter in which column, and of no
// other one, though the version has moved.
func TestASnapshotTellsWhatDiffers(t *testing.T) {
	s := newSite(t, csv)
	columns := []string{
		"death_no = 2", "death_status = 'informal'", "death_earliest = '2026-11-19'", "death_latest = '2026-11-23'", "death_precision = 'hour'",
		"merged_into = gen_random_uuid()", `identifiers = '[{"authority": "a", "type": "", "value": "1"}]'`, "family_name = 'Other'", "given_name = 'Other'",
		"birth_date = '1950'", "sex = 'male'", "address_line = 'x'", "address_city = 'x'", "address_postcode = 'x'", "address_country = 'XX'",
	}
	var first, restated []logtest.State
	var want []string
	for n := range len(columns) + 1 {
		first = append(first, dead(n, 1))
		again := dead(n, 2)
		again.Baseline = true
		restated = append(restated, again)
		if n > 0 {
			want = append(want, id(n))
		}
	}
	s.tell(first...)
	s.deliver()
	for n, column := range columns {
		s.exec(`UPDATE queue SET ` + column + ` WHERE patient_id = '` + id(n+1) + `'`)
	}
	s.Snapshot(1, restated...)
	got := s.deliver()["P02.csv"]
	for n, id := range want {
		if !strings.Contains(got, id) {
			t.Errorf("the partner does not get the one whose %s", columns[n])
		}
	}
	if !strings.Contains(got, fmt.Sprintf("T;%d\n", len(want))) {
		t.Errorf("of %d who differ it gets: %s", len(want), got)
	}
}

// The brake counts deaths, retractions and merges that have happened, and no states that a snapshot restates: the first one has all
// who are dead.
func TestWhatTheBrakeCounts(t *testing.T) {
	s := newSite(t, csv)
	merged := func(n int) logtest.State {
		return logtest.State{Event: "merged", Patient: logtest.Patient(n), Version: 2, MergedInto: logtest.Patient(n + 1)}
	}
	found := []logtest.State{dead(1, 1), back(2, 3), merged(3), alive(4, 1)}
	for i := range found {
		found[i].Baseline = true
	}
	s.Snapshot(1, found...)
	for _, want := range []map[string]int64{{"queued": 4}, {"queued": 1, "death": 2, "retraction": 1, "merge": 1}} {
		batches := s.follow().Batches
		if diff := cmp.Diff(want, batches[len(batches)-1].Effects); diff != "" {
			t.Error(diff)
		}
		s.tell(dead(4, 2), dead(5, 1), back(1, 2), merged(6), alive(8, 1))
	}
}

// Waiting are the events that the partner gets and that no file covers yet; the oldest of them says since when.
func TestWhatWaits(t *testing.T) {
	s := newSite(t, csv+"start: now\n")
	found, other := dead(1, 1), logtest.State{Event: "erased", Patient: logtest.Patient(7), Version: 1}
	found.Baseline = true
	s.Snapshot(1, found)
	s.deliver()
	s.tell(alive(2, 1), alive(3, 1), other)
	s.follow()
	s.exec(`UPDATE queue SET queued_at = CASE patient_id WHEN '` + id(2) + `' THEN '2026-01-02'::timestamptz WHEN '` + id(3) + `' THEN '2026-01-03' ELSE '2026-01-01' END`)
	status, err := s.delivery().ReadStatus(t.Context())
	if err != nil || status.Waiting != 2 || status.Oldest == nil || status.Oldest.UTC().Format("01-02") != "01-02" || status.LastFile != "" || status.Unfinished != "" {
		t.Errorf("%+v, %v", status, err)
	}
	s.deliver()
	if status, err = s.delivery().ReadStatus(t.Context()); err != nil || status.Waiting != 0 || status.Oldest != nil || status.LastFile != "P01.csv" || status.LastAt == nil {
		t.Errorf("%+v, %v", status, err)
	}
	s.exec(`UPDATE file SET delivered_at = NULL, content = ''`)
	if status, err = s.delivery().ReadStatus(t.Context()); err != nil || status.Unfinished != "P01.csv" || status.LastFile != "" {
		t.Errorf("%+v, %v", status, err)
	}
}
