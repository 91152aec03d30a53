package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"waybill/lab/hospital"
	"waybill/reconcile"
)

// reconciled runs the command, which must end with the code, and returns its report.
func (s *site) reconciled(code int, arguments ...string) *reconcile.Report {
	s.Helper()
	r := s.run(nil, append([]string{"--json", "reconcile"}, arguments...)...)
	if r.code != code {
		s.Fatalf("waybill reconcile %v: exit %d, want %d\n%s%s", arguments, r.code, code, r.stdout, r.stderr)
	}
	report := new(reconcile.Report)
	if err := json.Unmarshal(resultIn(r.stdout), report); err != nil {
		s.Fatal(err)
	}
	return report
}

// finds runs the command, which must find exactly these: "side kind batch patient patient".
func (s *site) finds(want []string, arguments ...string) {
	s.Helper()
	var got []string
	for _, f := range s.reconciled(3, arguments...).Findings {
		batch := "-"
		if f.Batch != nil {
			batch = fmt.Sprint(*f.Batch)
		}
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", f.Side, f.Kind, batch, strings.Join(f.Patients, " "))))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		s.Errorf("waybill reconcile %v found\n%s\nwant\n%s", arguments, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (s *site) twoDays() *site {
	s.Helper()
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.exchangeAll()
	return s
}

func TestProofEverybodyAgreesAfterAHospitalsDays(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	opt := hospital.Options{Seed: 3, Now: time.Now().AddDate(0, 0, -2), Patients: 400}
	if err := hospital.Fill(t.Context(), s.conn["patients"], s.conn["appointments"], opt); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s.exchangeAll()
		if _, err := hospital.Day(t.Context(), s.conn["patients"], opt); err != nil {
			t.Fatal(err)
		}
		s.do("export", "--snapshot")
		if _, err := hospital.Staff(t.Context(), s.conn["appointments"], opt); err != nil {
			t.Fatal(err)
		}
		opt.Now, opt.Seed = opt.Now.AddDate(0, 0, 1), opt.Seed+1
	}
	s.exchangeAll()
	r := s.reconciled(0)
	if r.Source.Rows == 0 || r.Source.Rows != r.Log.Rows || len(r.Consumers) != 2 {
		t.Errorf("compared %+v %+v %+v", r.Source, r.Log, r.Consumers)
	}
	for _, c := range r.Consumers {
		if c.Patients < 10 || c.Dead < 10 || c.Dead != c.LogDead || c.Lag != 0 {
			t.Errorf("compared %+v", c)
		}
	}
	s.reconciled(0, "--batch", "2..3")
	s.reconciled(0, "--since", "yesterday")
	s.says(s.do("reconcile"), "no differences", "live appointments of the dead  ", "= morgue")
}

func TestAnOutboxThatWasAlteredIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.exec("patients", `UPDATE patients.outbox SET family_name = 'Other' WHERE patient_id = $1 AND version = 2`, patient(1))
	s.finds([]string{"source altered 1 " + patient(1).String()})
	s.reconciled(0, "--batch", "2")
	s.exec("patients", `DELETE FROM patients.outbox WHERE patient_id = $1`, patient(5))
	unseen := "source unseen - " + patient(5).String()
	s.finds([]string{"source missing 1 " + patient(5).String(), "source altered 1 " + patient(1).String(), unseen}, "--batch", "1")
	s.finds([]string{unseen}, "--batch", "2")
	s.reconciled(0, "--side", "consumers")
}

func TestAPrunedOutboxIsNotCountable(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.exec("patients", `DELETE FROM patients.outbox WHERE patient_id = $1 AND version = 1`, patient(3))
	r := s.reconciled(0)
	if len(r.Uncounted) != 1 || r.Uncounted[0].Batch != 1 {
		t.Errorf("not counted: %v", r.Uncounted)
	}
	s.says(s.do("reconcile"), "NOT COUNTED", "pruned")
	s.exec("patients", `UPDATE exporter.plan SET system_identifier = 1 WHERE batch = 2`)
	if r := s.reconciled(0); len(r.Uncounted) != 2 {
		t.Errorf("not counted: %v", r.Uncounted)
	}
}

func TestALogWithoutARowIsNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.forgeLast(func(rows [][]byte) [][]byte {
		return rows[:len(rows)-1] // the death of patient 3
	})
	s.finds([]string{
		"log manifest 2", "log missing 2 " + patient(3).String(),
		"appointments manifest 2", "morgue manifest 2",
		"appointments extra - " + patient(3).String(), "morgue extra - " + patient(3).String(),
	})
}

func TestFilesThatAreLostOrDamagedAreNamed(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	s.damagePart(1)
	s.finds([]string{"log unreadable 1"})
	s.do("repair", "1")
	s.reconciled(0)
	s.removeManifest(1)
	if f := s.reconciled(5).Findings; len(f) != 1 || f[0].Kind != reconcile.Unreadable || *f[0].Batch != 1 {
		t.Errorf("found %+v", f)
	}
}

func TestHalvesAreHandedOver(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	source, morgue := filepath.Join(s.dir, "source.half"), filepath.Join(s.dir, "morgue.half")
	s.reconciled(0, "--side", "source", "--out", source)
	s.reconciled(0, "morgue", "--out", morgue)
	if info, err := os.Stat(source); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the half is %v: %v", info.Mode(), err)
	}
	if r := s.reconciled(0, "morgue", "--against", source); !r.Source.File || r.Source.Rows != r.Log.Rows || r.Source.Rows == 0 {
		t.Errorf("compared %+v with %+v", r.Source, r.Log)
	}
	if r := s.reconciled(0, "patients", "--against", morgue); len(r.Consumers) != 1 || !r.Consumers[0].File || r.Consumers[0].Dead != 3 || r.Consumers[0].Patients != 4 {
		t.Errorf("compared %+v", r.Consumers)
	}
	if left, err := filepath.Glob(filepath.Join(s.dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left next to the halves: %v %v", left, err)
	}
	s.exec("patients", `UPDATE patients.outbox SET given_name = 'Other' WHERE patient_id = $1 AND event = 'died'`, patient(0))
	s.exec("patients", `UPDATE patients.patient SET given_name = 'Other' WHERE id = $1`, patient(0)) // as the event has it
	s.exec("morgue", `UPDATE morgue.patient SET given_name = 'Other' WHERE patient_id = $1`, patient(2))
	for _, ids := range [][]string{nil, {"--ids"}} {
		s.reconciled(0, append([]string{"--side", "source", "--out", source}, ids...)...)
		s.finds([]string{"morgue altered 1 " + patient(2).String()}, append([]string{"morgue", "--out", morgue}, ids...)...)
		for _, side := range []struct {
			who, against, finds string
			patient             int
		}{{"morgue", source, "source", 0}, {"patients", morgue, "morgue", 2}} {
			found := s.reconciled(3, side.who, "--against", side.against).Findings
			about := slices.IndexFunc(found, func(f reconcile.Finding) bool {
				return f.Side == side.finds && f.Suspects == (ids == nil) && slices.Contains(f.Patients, patient(side.patient).String())
			})
			if len(found) != 2 || about < 0 {
				t.Errorf("%s against %s %v: %+v", side.who, side.against, ids, found)
			}
		}
		for _, half := range []string{source, morgue} {
			data, err := os.ReadFile(half)
			if err != nil || len(data) > 10_000 || bytes.Contains(data, []byte("Given")) || bytes.Contains(data, []byte("Other")) {
				t.Errorf("%s has %d bytes: %v\n%s", half, len(data), err, data)
			}
		}
	}
}

func TestWhatCannotBeComparedIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	half := filepath.Join(s.dir, "half")
	for text, says := range map[string]string{
		`{"format": 1, "contract": "x"}`: "another revision of the contract",
		`{"format": 2}`:                  "its format is 2",
		`{"format": 1, "source": [{"events": {"died": {"sums": "00"}}}]}`: "cut off",
	} {
		if err := os.WriteFile(half, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.fails(2, []string{says}, "reconcile", "--against", half)
	}
	s.fails(2, []string{"no file to list them in", "--out"}, "reconcile", "--ids")
	s.fails(2, []string{"no such file", "a folder that this user may write"}, "reconcile", "--out", filepath.Join(half, "..", "missing", "half"))
	s.says(s.do("reconcile", "--batch", "1", "--side", "source"), "compared with nothing")
	s.do("reconcile", "--batch", "1", "--out", half)
	s.fails(2, []string{"batches 1..1"}, "reconcile", "--batch", "2", "--against", half)
	s.fails(2, []string{"not a time"}, "reconcile", "--since", "Martinmas")
	s.fails(2, []string{"none in that time"}, "reconcile", "--since", "2999-01-01")
	s.fails(2, []string{"the log ends at batch 2"}, "reconcile", "--batch", "2..9")
}

func TestWhoIsNamedTwiceTakesPartOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t).twoDays()
	if r := s.reconciled(0, "morgue", "patients", "morgue", "patients"); len(r.Consumers) != 1 || r.Source == nil {
		t.Errorf("compared %+v", r)
	}
}

// An export and an import that run meanwhile are no difference.
func TestProofReconcilingWhileEverybodyWorks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.admit(12)
	s.exchangeAll()
	done := make(chan error, 1)
	go func() {
		for i := range 10 {
			if _, err := s.conn["patients"].Exec(t.Context(), `UPDATE patients.patient SET death_status = 'formal' WHERE id = $1`, patient(i)); err != nil {
				done <- err
				return
			}
			for _, c := range [][]string{{"export"}, {"import", "morgue"}, {"import", "appointments"}} {
				if out, err := s.command(nil, c...).CombinedOutput(); err != nil {
					done <- fmt.Errorf("%v: %w: %s", c, err, out)
					return
				}
			}
		}
		done <- nil
	}()
	for runs := 0; ; runs++ {
		s.reconciled(0)
		select {
		case err := <-done:
			if err != nil || runs < 2 {
				t.Fatal(runs, err)
			}
			s.reconciled(0)
			return
		default:
		}
	}
}
