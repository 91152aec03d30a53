package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/logtest"
)

func TestResend(t *testing.T) {
	s := newSite(t, csv+`trigger: {name: "{stem}.ctl", content: "{sha256}"}`)
	merged := logtest.State{Event: "merged", Patient: logtest.Patient(2), Version: 2, MergedInto: logtest.Patient(1)}
	s.tell(alive(1, 1), alive(2, 1), merged)
	want := s.deliver()
	s.tell(dead(1, 2))
	s.deliver()
	all := s.files()
	for name := range want {
		if err := os.Remove(filepath.Join(s.folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.delivery().Resend(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, s.files()); diff != "" || len(want) != 2 {
		t.Errorf("%d files were fetched and sent again: %s", len(want), diff)
	}
	s.configure(strings.Replace(csv, "NAME, field", "SURNAME, field", 1))
	if _, err := s.delivery().Resend(t.Context(), 1); fault.ClassOf(err) != fault.Poison {
		t.Errorf("after the settings changed: %v", err)
	}
	if _, err := s.delivery().Resend(t.Context(), 9); fault.ClassOf(err) != fault.Usage {
		t.Errorf("of a file that never was: %v", err)
	}
}

// A merge names the survivor as the file that first had it, also when it is resent after the survivor has changed.
func TestAResentMergeNamesTheSurvivorAsItWas(t *testing.T) {
	s := newSite(t, strings.NewReplacer("{name: INTO, field: merged_into}", "{name: INTO, field: retired}", "  last:", "  merges: survivor\n  last:").Replace(csv))
	s.tell(alive(1, 1), alive(2, 1), logtest.State{Event: "merged", Patient: logtest.Patient(2), Version: 2, MergedInto: logtest.Patient(1)})
	want := s.deliver()
	s.tell(dead(1, 2))
	s.deliver()
	if err := os.Remove(filepath.Join(s.folder, "P01.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.delivery().Resend(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want["P01.csv"], s.files()["P01.csv"]); diff != "" || !strings.Contains(want["P01.csv"], "Family 1") {
		t.Errorf("%s\nof %s", diff, want["P01.csv"])
	}
}

// Delivered rows are pruned after their time, except each patient's last; later events are delivered as before.
func TestPruning(t *testing.T) {
	s := newSite(t, csv)
	s.tell(alive(1, 1), dead(1, 2), alive(2, 1))
	s.deliver()
	s.exec(`UPDATE file SET delivered_at = delivered_at - interval '91 days'`)
	s.deliver()
	s.queued(2)
	s.tell(back(1, 3))
	s.deliver()
	s.queued(3)
	s.exec(`UPDATE file SET delivered_at = delivered_at - interval '91 days'`)
	s.deliver()
	s.queued(2)
	if _, err := s.delivery().Resend(t.Context(), 1); fault.ClassOf(err) != fault.Poison {
		t.Errorf("sent again after its rows are gone: %v", err)
	}
}

func (s *site) queued(want int) {
	s.Helper()
	var n int
	if err := s.conn.QueryRow(s.Context(), `SELECT count(*) FROM delivery_gp.queue`).Scan(&n); err != nil || n != want {
		s.Fatalf("%d rows in the queue (%v), want %d", n, err, want)
	}
}

// A store that fails at each of its calls, and tears files, delays a file and does no other harm.
func TestFailingStore(t *testing.T) {
	for _, torn := range []int64{-1, 0, 1, 60} {
		t.Run(fmt.Sprint(torn), func(t *testing.T) {
			s := newSite(t, csv+`trigger: {name: "{name}.done", content: "{rows}"}`)
			s.tell(alive(1, 1))
			s.follow()
			plain := s.store.(*dir.Store)
			for at := 1; ; at++ {
				calls := 0
				failing := &exchangetest.Faulty{Store: plain}
				if torn < 0 {
					failing.Fail = func(exchangetest.Op, string) error {
						if calls++; calls == at {
							return fault.New(fault.Transient, "do", "it", errors.New("no"), "")
						}
						return nil
					}
				} else {
					failing.Tear = func(op exchangetest.Op, name string) (int64, bool) {
						if op != exchangetest.Publish {
							return 0, false
						}
						calls++
						if strings.HasSuffix(name, ".done") {
							return min(torn, 1), calls == at
						}
						return torn, calls == at
					}
				}
				s.store = deletable{failing, plain}
				_, err := s.delivery().Run(t.Context())
				if err == nil {
					break
				}
				if at > 10 {
					t.Fatal(err)
				}
			}
			s.same(s.files(), map[string]string{"P01.csv": head + "registered;" + id(1) + ";0;;Family 1;\nT;1\n", "P01.csv.done": "1"})
		})
	}
}

// A trigger never exists without the file that it announces.
func TestTheTriggerComesLast(t *testing.T) {
	s := newSite(t, csv+`trigger: {name: "{name}.done"}`)
	s.tell(alive(1, 1))
	s.follow()
	plain := s.store.(*dir.Store)
	s.store = deletable{&exchangetest.Faulty{Store: plain, Fail: func(op exchangetest.Op, name string) error {
		if op == exchangetest.Publish && name == "P01.csv" {
			return fault.New(fault.Transient, "do", "it", errors.New("no"), "")
		}
		return nil
	}}, plain}
	if _, err := s.delivery().Run(t.Context()); fault.ClassOf(err) != fault.Transient {
		t.Error(err)
	}
	s.same(s.files(), map[string]string{})
}

// A run that fails after it wrote a file has used up a number. The number keeps its content, even if more was
// queued since then.
func TestANumberStandsForOneContent(t *testing.T) {
	s := newSite(t, csv)
	s.tell(alive(1, 1))
	s.follow()
	plain := s.store.(*dir.Store)
	ctx, cancel := context.WithCancel(t.Context())
	s.store = deletable{&exchangetest.Faulty{Store: after{plain, cancel}}, plain}
	if _, err := s.delivery().Run(ctx); err == nil {
		t.Error("the run did not fail")
	}
	s.store = plain
	s.tell(alive(2, 1))
	s.same(s.deliver(), map[string]string{
		"P01.csv": head + "registered;" + id(1) + ";0;;Family 1;\nT;1\n", "P02.csv": head + "registered;" + id(2) + ";0;;Family 2;\nT;1\n",
	})
}

// after calls do after a file was published.
type after struct {
	exchange.Store
	do func()
}

func (a after) Publish(ctx context.Context, name string, data []byte) error {
	defer a.do()
	return a.Store.Publish(ctx, name, data)
}

type deletable struct {
	*exchangetest.Faulty
	exchange.Deleter
}

// Of two deliveries at the same time only one runs.
func TestOneAtATime(t *testing.T) {
	s := newSite(t, csv)
	s.tell(alive(1, 1))
	s.follow()
	inside, outside := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := s.delivery().Preview(context.Background(), func(string, []byte) error {
			close(inside)
			<-outside
			return nil
		})
		done <- err
	}()
	<-inside
	summary, err := s.delivery().Run(t.Context())
	close(outside)
	if err != nil || !summary.Running || len(s.files()) != 0 {
		t.Errorf("while another runs: %+v, %v", summary, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A file that begins with our bytes and continues is somebody else's.
func TestALongerFileIsAnothers(t *testing.T) {
	s := newSite(t, csv)
	s.tell(alive(1, 1))
	ours := head + "registered;" + id(1) + ";0;;Family 1;\nT;1\n"
	if err := os.WriteFile(filepath.Join(s.folder, "P01.csv"), []byte(ours+"T;1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.follow()
	if _, err := s.delivery().Run(t.Context()); fault.ClassOf(err) != fault.Poison {
		t.Errorf("onto a longer file: %v", err)
	}
}
