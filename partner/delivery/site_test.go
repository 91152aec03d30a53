package delivery_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v4"

	"waybill/exchange/dir"
	"waybill/importer"
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
	zone     *time.Location
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
	s := &site{Producer: logtest.NewProducer(t, log, start), folder: t.TempDir(), spool: t.TempDir(), recorded: start, zone: time.UTC}
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
func (s *site) follow() importer.Summary {
	s.Helper()
	i, err := importer.New(importer.Config{
		DatabaseURL: s.url, Store: s.Store, Consumer: s.consumer(), Instance: "east", Spool: s.spool, Now: func() time.Time { return start },
	})
	if err != nil {
		s.Fatal(err)
	}
	summary, err := i.Run(s.Context(), importer.Options{})
	if err != nil {
		s.Fatal(err)
	}
	return summary
}

func (s *site) delivery() *delivery.Delivery {
	s.Helper()
	d, err := delivery.New(delivery.Config{Partner: "gp", DatabaseURL: s.url, Store: s.store, Settings: s.settings, Zone: s.zone})
	if err != nil {
		s.Fatal(err)
	}
	return d
}

// deliver follows the log and delivers. It returns the files that then exist: name and text.
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
