package delivery_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/partner/delivery"
)

// The partner gets every change in order, each once, in files with consecutive numbers, and no file if there is no
// news.
func TestChangesInOrder(t *testing.T) {
	s := newSite(t, csv)
	s.same(s.deliver(), map[string]string{})
	s.tell(alive(1, 1), alive(2, 1), dead(1, 2))
	first := head +
		"registered;" + id(1) + ";0;;Family 1;\n" +
		"registered;" + id(2) + ";0;;Family 2;\n" +
		"died;" + id(1) + ";1;20.11.2026;Family 1;\nT;3\n"
	s.same(s.deliver(), map[string]string{"P01.csv": first})
	s.same(s.deliver(), map[string]string{"P01.csv": first})
	s.tell(back(1, 3))
	second := head + "death_retracted;" + id(1) + ";0;;Family 1;\nT;1\n"
	s.same(s.deliver(), map[string]string{"P01.csv": first, "P02.csv": second})
	// A snapshot says nothing new.
	last := back(1, 3)
	last.Baseline = true
	known := alive(2, 1)
	known.Baseline = true
	s.Snapshot(1, last, known)
	s.same(s.deliver(), map[string]string{"P01.csv": first, "P02.csv": second})
}

// A correction must not take a patient back to an older state.
func TestOldNewsIsNoNews(t *testing.T) {
	s := newSite(t, csv)
	s.tell(dead(1, 2))
	s.deliver()
	s.Correction(1, 1, alive(1, 1))
	if files := s.deliver(); len(files) != 1 {
		t.Errorf("files: %v", files)
	}
	corrected := dead(1, 2)
	corrected.Revision, corrected.Family = 1, "Corrected"
	s.Correction(1, 1, corrected)
	if got := s.deliver()["P02.csv"]; !strings.Contains(got, "Corrected") {
		t.Errorf("the correction is %q", got)
	}
}

// A patient whom a new generation of the source does not know is not dead. The partner must hear of that.
func TestVanishedPatientsAreToldAlive(t *testing.T) {
	s := newSite(t, csv)
	s.tell(dead(1, 2), dead(2, 1), alive(3, 1))
	s.deliver()
	known := dead(2, 1)
	known.Generation, known.Baseline = 2, true
	s.Snapshot(2, known)
	s.same(s.deliver(), map[string]string{"P01.csv": s.files()["P01.csv"], "P02.csv": head + "death_retracted;" + id(1) + ";0;;Family 1;\nT;1\n"})
}

// An erased patient leaves nothing in the queue. Nothing more is delivered about the patient, except the erasure
// itself to partners who subscribe to it.
func TestTheErasedAreForgotten(t *testing.T) {
	for text, want := range map[string]int{csv: 1, csv + "events: [registered, died, death_retracted, erased]\n": 2} {
		s := newSite(t, text)
		s.tell(alive(1, 1), dead(1, 2))
		s.deliver()
		s.tell(back(1, 3), logtest.State{Event: "erased", Patient: logtest.Patient(1), Version: 4})
		files := s.deliver()
		if len(files) != want || strings.Contains(files["P02.csv"], "retracted") {
			t.Errorf("%d files, want %d: %q", len(files), want, files["P02.csv"])
		}
		if want == 2 && !strings.Contains(files["P02.csv"], "erased;"+id(1)+";;;;\n") {
			t.Errorf("the erasure is delivered as %q", files["P02.csv"])
		}
		s.queued(1)
		later := back(1, 5)
		later.Baseline = true
		s.Snapshot(1, later)
		if files := s.deliver(); len(files) != want {
			t.Errorf("after the erasure: %v", files)
		}
	}
}

func TestStatesOnly(t *testing.T) {
	s := newSite(t, csv+"send: states\n")
	merged := logtest.State{Event: "merged", Patient: logtest.Patient(2), Version: 2, MergedInto: logtest.Patient(1)}
	later := logtest.State{Event: "updated", Patient: logtest.Patient(2), Version: 3, MergedInto: logtest.Patient(1), Family: "Later"}
	s.tell(alive(1, 1), dead(1, 2), back(1, 3), alive(2, 1), merged, later)
	s.same(s.deliver(), map[string]string{"P01.csv": head +
		"death_retracted;" + id(1) + ";0;;Family 1;\n" +
		"merged;" + id(2) + ";0;;;" + id(1) + "\n" +
		"updated;" + id(2) + ";0;;Later;" + id(1) + "\nT;3\n"})
}

func TestStartNow(t *testing.T) {
	s := newSite(t, csv+"start: now\n")
	found := dead(1, 1)
	found.Baseline = true
	s.Snapshot(1, found)
	s.same(s.deliver(), map[string]string{})
	later := dead(2, 1)
	later.Baseline = true
	s.Snapshot(1, found, later)
	s.same(s.deliver(), map[string]string{"P01.csv": head + "died;" + id(2) + ";1;20.11.2026;Family 2;\nT;1\n"})
}

// File sizes have limits, and sequence numbers wrap.
func TestFilesAreCutAndNumbersWrap(t *testing.T) {
	s := newSite(t, csv+"max_rows: 2\nsequence: {first: 1, last: 3, start: 3}\n")
	s.tell(alive(1, 1), alive(2, 1), alive(3, 1), alive(4, 1), alive(5, 1))
	files := s.deliver()
	var all []string
	for _, name := range []string{"P03.csv", "P01.csv", "P02.csv"} {
		lines := strings.Split(strings.TrimSuffix(files[name], "\n"), "\n")
		all = append(all, lines[1:len(lines)-1]...)
		if want := fmt.Sprintf("T;%d", len(lines)-2); lines[len(lines)-1] != want {
			t.Errorf("%s ends in %s, want %s", name, lines[len(lines)-1], want)
		}
	}
	if len(files) != 3 || len(all) != 5 {
		t.Errorf("%d records in %d files, want 5 in 3", len(all), len(files))
	}
	// the partner hasn't fetched the last 03: a new 03 must not replace it
	s.tell(alive(6, 1))
	s.follow()
	if _, err := s.delivery().Run(t.Context()); fault.ClassOf(err) != fault.Poison {
		t.Errorf("onto a file that lies there: %v", err)
	}
	if err := os.Remove(filepath.Join(s.folder, "P03.csv")); err != nil {
		t.Fatal(err)
	}
	if got := s.deliver()["P03.csv"]; !strings.Contains(got, id(6)) {
		t.Errorf("the next 03 is %q", got)
	}
}

func TestEmptyFileOnADayWithoutNews(t *testing.T) {
	s := newSite(t, csv+"empty_file: daily\n")
	s.same(s.deliver(), map[string]string{"P01.csv": head + "T;0\n"})
	s.same(s.deliver(), map[string]string{"P01.csv": head + "T;0\n"})
	s.exec(`UPDATE file SET planned_at = planned_at - interval '1 day'`)
	s.same(s.deliver(), map[string]string{"P01.csv": head + "T;0\n", "P02.csv": head + "T;0\n"})
}

// Each day is the site's, not UTC's.
func TestADayBeginsAtTheSitesMidnight(t *testing.T) {
	for local, files := range map[time.Duration]int{30 * time.Minute: 2, 12 * time.Hour: 1} {
		s := newSite(t, csv+"empty_file: daily\n")
		s.deliver()
		s.exec(`UPDATE file SET planned_at = planned_at - interval '1 hour'`)
		now := time.Now().UTC()
		s.zone = time.FixedZone("", int((local - now.Sub(now.Truncate(24*time.Hour))).Seconds()))
		if got := len(s.deliver()); got != files {
			t.Errorf("%s after midnight there are %d files, want %d, with the first of an hour before", local, got, files)
		}
	}
}

// A number that the settings no longer allow is followed by their first.
func TestNumbersOfOtherSettings(t *testing.T) {
	for _, c := range []struct {
		sequence delivery.Sequence
		next     string
	}{
		{delivery.Sequence{First: 10, Last: 99, Start: 10}, "P10.csv"},
		{delivery.Sequence{First: 1, Last: 4, Start: 1}, "P01.csv"},
		{delivery.Sequence{First: 1, Last: 99, Start: 1}, "P06.csv"},
	} {
		s := newSite(t, csv+"sequence: {start: 5}\n")
		s.tell(alive(1, 1))
		s.deliver()
		s.settings.Sequence = c.sequence
		s.tell(alive(2, 1))
		if files := s.deliver(); len(files) != 2 || files[c.next] == "" {
			t.Errorf("after 5, in %d to %d, came %v, want %s", c.sequence.First, c.sequence.Last, files, c.next)
		}
	}
}

func TestTriggers(t *testing.T) {
	s := newSite(t, csv+`trigger: {name: "{stem}.ctl", content: "{name} {rows} {bytes} {sha256}"}`+"\nfolder: IN\n")
	s.tell(alive(1, 1))
	s.follow()
	summary, err := s.delivery().Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := summary.Files[0]
	got, err := os.ReadFile(filepath.Join(s.folder, "IN", "P01.ctl"))
	if want := fmt.Sprintf("P01.csv 1 %d %s", f.Bytes, f.SHA256); err != nil || string(got) != want || f.Name != "IN/P01.csv" {
		t.Errorf("the trigger of %s is %q (%v), want %q", f.Name, got, err, want)
	}
}

// A trigger counts a file's lines as the file's own trailer does: with header and trailer.
func TestATriggerCountsLines(t *testing.T) {
	const fixed = "format: fixed\nname: \"P{sequence:2}.txt\"\nfixed: {line_end: lf, columns: [{field: patient_id, width: 40}]"
	for name, settings := range map[string]string{
		"a header and a trailer":            strings.Replace(csv, "{rows}", "{lines}", 1),
		"a header":                          strings.Replace(csv, "  last: \"T;{rows}\"\n", "", 1),
		"a first record, and no header":     strings.Replace(csv, "  last: \"T;{rows}\"\n", "  header: false\n  first: \"{partner}\"\n", 1),
		"fixed width":                       fixed + "}\n",
		"fixed width, header and a trailer": fixed + ", first: \"H\", last: \"T;{lines}\"}\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, settings+"\n"+`trigger: {name: "{stem}.ctl", content: "{lines}"}`+"\n")
			s.tell(alive(1, 1), alive(2, 1))
			for file, text := range s.deliver() {
				lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
				if got := s.files()["P01.ctl"]; file != "P01.ctl" && got != strconv.Itoa(len(lines)) {
					t.Errorf("the trigger says %s of %q", got, text)
				}
				if count, counted := strings.CutPrefix(lines[len(lines)-1], "T;"); counted && strings.TrimSpace(count) != strconv.Itoa(len(lines)) {
					t.Errorf("the trailer is wrong: %q", text)
				}
			}
		})
	}
}

// An event that can't be written holds the file until a person decides. After that nothing is missing.
func TestUnencodable(t *testing.T) {
	s := newSite(t, csv+"charset: windows-1252\n")
	state := alive(1, 1)
	state.Family = "Łukasz ☃"
	s.tell(state, alive(2, 1))
	s.follow()
	_, err := s.delivery().Run(t.Context())
	if fault.ClassOf(err) != fault.Held || !strings.Contains(err.Error(), id(1)) || strings.Contains(err.Error(), "ukasz") {
		t.Fatalf("with characters that it lacks: %v", err)
	}
	s.same(s.files(), map[string]string{})
	if status, err := s.delivery().ReadStatus(t.Context()); err != nil || status.Waiting != 2 || !strings.Contains(status.Held, id(1)) || status.Since == nil {
		t.Errorf("the status is %+v (%v)", status, err)
	}
	s.configure(csv + "charset: windows-1252\nunencodable: transliterate\nreplacement: \"?\"\n")
	summary, err := s.delivery().Run(t.Context())
	if err != nil || summary.Files[0].Replaced != 1 || summary.Files[0].Transliterated != 1 {
		t.Errorf("%+v, %v", summary, err)
	}
	if got := s.files()["P01.csv"]; !strings.Contains(got, ";Lukasz ?;") || !strings.Contains(got, "Family 2") {
		t.Errorf("the file is %q", got)
	}
	if status, err := s.delivery().ReadStatus(t.Context()); err != nil || status.Waiting != 0 || status.Held != "" || status.LastFile != "P01.csv" || status.LastAt == nil {
		t.Errorf("then the status is %+v (%v)", status, err)
	}
}

// A dry run shows what the run would do, and changes nothing.
func TestPreview(t *testing.T) {
	s := newSite(t, csv)
	s.tell(alive(1, 1))
	s.follow()
	shown := map[string]string{}
	for range 2 {
		if _, err := s.delivery().Preview(t.Context(), func(name string, data []byte) error {
			shown[name] = string(data)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	s.same(s.files(), map[string]string{})
	s.same(s.deliver(), shown)
}

// If a clock was set back, no file gets a time before that of the last file.
func TestFilesAreInTheOrderOfTheirTimes(t *testing.T) {
	s := newSite(t, strings.Replace(csv, "P{sequence:2}.csv", "P{sequence:2}-{yyyy}.csv", 1))
	s.tell(alive(1, 1))
	s.deliver()
	s.exec(`UPDATE file SET planned_at = '2126-01-02 00:00Z'`)
	s.tell(alive(2, 1))
	if _, ok := s.deliver()["P02-2126.csv"]; !ok {
		t.Errorf("the second file is named otherwise: %v", s.files())
	}
}

// A merge in a snapshot comes after the record that it names.
func TestASnapshotNamesSurvivorsFirst(t *testing.T) {
	s := newSite(t, csv)
	merged := logtest.State{Event: "merged", Patient: logtest.Patient(2), Version: 2, MergedInto: logtest.Patient(1), Baseline: true, Recorded: start}
	survivor := alive(1, 1)
	survivor.Baseline, survivor.Recorded = true, start.Add(time.Hour)
	s.Snapshot(1, merged, survivor)
	s.same(s.deliver(), map[string]string{"P01.csv": head +
		"registered;" + id(1) + ";0;;Family 1;\nmerged;" + id(2) + ";0;;;" + id(1) + "\nT;2\n"})
}
