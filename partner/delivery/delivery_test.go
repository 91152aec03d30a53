package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v4"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/logtest"
	"waybill/lab/pg/pgtest"
	"waybill/partner/delivery"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var start = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

// site is a party that follows a log and delivers it to a partner.
type site struct {
	*logtest.Producer
	folder   string // the partner's
	store    delivery.Store
	url      string
	conn     *pgx.Conn
	settings *delivery.Settings
	spool    string
	recorded time.Time // of the last event
}

const csv = `
format: csv
allow: [family_name, given_name, birth_date]
name: "P{sequence:2}.csv"
csv:
  delimiter: ";"
  last: "T;{rows}"
  line_end: lf
  columns:
    - {name: EVENT, field: event}
    - {name: ID, field: patient_id}
    - {name: DEAD, field: dead, map: {"yes": "1", "no": "0"}}
    - {name: DIED, field: death_date, date: dd.mm.yyyy}
    - {name: NAME, field: family_name}
    - {name: INTO, field: merged_into}
`

func newSite(t *testing.T, text string) *site {
	t.Helper()
	log, err := dir.Open(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Producer: logtest.NewProducer(t, log, start), folder: t.TempDir(), spool: t.TempDir(), recorded: start}
	if s.store, err = dir.Open(s.folder); err != nil {
		t.Fatal(err)
	}
	s.configure(text)
	s.url = pgtest.Database(t, func(ctx context.Context, url string) error { return importer.Migrate(ctx, url, s.consumer()) }, "delivery")
	if s.conn, err = pgx.Connect(t.Context(), s.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.conn.Close(context.Background()) })
	return s
}

func parse(text string) (*delivery.Settings, error) {
	var s delivery.Settings
	if err := yaml.Load([]byte(text), &s, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	return &s, s.Check()
}

func (s *site) configure(text string) {
	s.Helper()
	var err error
	if s.settings, err = parse(text); err != nil {
		s.Fatal(err)
	}
}

func (s *site) consumer() *importer.Consumer {
	s.Helper()
	c, err := importer.LoadConsumer(delivery.Files())
	if err != nil {
		s.Fatal(err)
	}
	c.Name, c.Events = delivery.Schema("gp"), append(slices.Clone(s.settings.Events), "erased")
	return c
}

// tell publishes events that were recorded one after the other.
func (s *site) tell(states ...logtest.State) {
	s.Helper()
	for i := range states {
		s.recorded = s.recorded.Add(time.Second)
		states[i].Recorded = s.recorded
	}
	s.Changes(states...)
}

// follow loads what is new in the log into the queue.
func (s *site) follow() {
	s.Helper()
	i, err := importer.New(importer.Config{
		DatabaseURL: s.url, Store: s.Store, Consumer: s.consumer(), Instance: "east", Spool: s.spool, Now: func() time.Time { return start },
	})
	if err != nil {
		s.Fatal(err)
	}
	if _, err := i.Run(s.Context(), importer.Options{}); err != nil {
		s.Fatal(err)
	}
}

func (s *site) delivery() *delivery.Delivery {
	s.Helper()
	d, err := delivery.New(delivery.Config{Partner: "gp", DatabaseURL: s.url, Store: s.store, Settings: s.settings, Zone: time.UTC})
	if err != nil {
		s.Fatal(err)
	}
	return d
}

// deliver follows the log and delivers, and returns the files there are then: name and text.
func (s *site) deliver() map[string]string {
	s.Helper()
	s.follow()
	if _, err := s.delivery().Run(s.Context()); err != nil {
		s.Fatal(err)
	}
	return s.files()
}

func (s *site) files() map[string]string {
	s.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(s.folder)
	if err != nil {
		s.Fatal(err)
	}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(s.folder, e.Name()))
		if err != nil {
			s.Fatal(err)
		}
		found[e.Name()] = string(data)
	}
	return found
}

func (s *site) same(got, want map[string]string) {
	s.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		s.Fatal(diff)
	}
}

func (s *site) exec(sql string) {
	s.Helper()
	if _, err := s.conn.Exec(s.Context(), `SET search_path TO delivery_gp; `+sql); err != nil {
		s.Fatal(err)
	}
}

func id(n int) string { return logtest.Patient(n).String() }

func dead(n int, version int64) logtest.State {
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	return logtest.State{
		Event: "died", Patient: logtest.Patient(n), Version: version, DeathNo: 1, Status: "formal",
		Earliest: day, Latest: day.AddDate(0, 0, 1), Precision: "day", Family: fmt.Sprintf("Family %d", n),
	}
}

func alive(n int, version int64) logtest.State {
	return logtest.State{Event: "registered", Patient: logtest.Patient(n), Version: version, Family: fmt.Sprintf("Family %d", n)}
}

func back(n int, version int64) logtest.State {
	return logtest.State{Event: "death_retracted", Patient: logtest.Patient(n), Version: version, DeathNo: 1, Status: "void", Family: fmt.Sprintf("Family %d", n)}
}

const head = "EVENT;ID;DEAD;DIED;NAME;INTO\n"

// Every change in its order, each once, in files that follow each other, and nothing where there is
// no news.
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

// No correction takes a patient back to an older state.
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

// Whom a new generation of the source does not know is not dead, and the partner hears of it.
func TestVanishedPatientsAreToldAlive(t *testing.T) {
	s := newSite(t, csv)
	s.tell(dead(1, 2), dead(2, 1), alive(3, 1))
	s.deliver()
	known := dead(2, 1)
	known.Generation, known.Baseline = 2, true
	s.Snapshot(2, known)
	s.same(s.deliver(), map[string]string{"P01.csv": s.files()["P01.csv"], "P02.csv": head + "death_retracted;" + id(1) + ";0;;Family 1;\nT;1\n"})
}

// An erased patient leaves nothing in the queue, and nothing more is delivered about them, except
// the erasure itself to partners who subscribe to it.
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

// Sizes are bounds, and numbers wrap.
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
	// The partner hasn't fetched the last 03: it must not be lost under another.
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

// What can't be written is held until a person has decided, and then nothing is missing.
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

// A dry run shows what the run then does, and does nothing.
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

func TestResend(t *testing.T) {
	s := newSite(t, csv)
	merged := logtest.State{Event: "merged", Patient: logtest.Patient(2), Version: 2, MergedInto: logtest.Patient(1)}
	s.tell(alive(1, 1), alive(2, 1), merged)
	want := s.deliver()
	s.tell(dead(1, 2))
	s.deliver()
	remove := func() {
		if err := os.Remove(filepath.Join(s.folder, "P01.csv")); err != nil {
			t.Fatal(err)
		}
	}
	remove()
	if _, err := s.delivery().Resend(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want["P01.csv"], s.files()["P01.csv"]); diff != "" {
		t.Error(diff)
	}
	s.configure(strings.Replace(csv, "NAME, field", "SURNAME, field", 1))
	if _, err := s.delivery().Resend(t.Context(), 1); fault.ClassOf(err) != fault.Poison {
		t.Errorf("after the settings changed: %v", err)
	}
	if _, err := s.delivery().Resend(t.Context(), 9); fault.ClassOf(err) != fault.Usage {
		t.Errorf("of a file that never was: %v", err)
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

// A store that fails at each of its calls, and what it tears, delays a file and does no more.
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

// A trigger never lies there without the file that it speaks of.
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

// A run that fails after it wrote a file has used up a number. The number keeps its content, also
// when more has been queued since.
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

// after calls do once a file was published.
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

// Of two deliveries at once only one runs.
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

// A file that begins with ours and goes beyond it is another's.
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

// A clock that was set back makes no file older than the one before it.
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
