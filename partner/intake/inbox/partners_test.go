package inbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/lab/servers/hosttest"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
)

// steps are a partner's days: a number that is missing and comes late, a file that the brake holds, one with a record
// that can't be read, which comes again.
var steps = []func(d *desk) string{
	func(d *desk) string { d.left("p0001.csv", table("1;Adler;")); return d.polls() },
	(*desk).polls,
	func(d *desk) string { d.left("p0003.csv", table("3;Celan;")); return d.polls() },
	(*desk).polls,
	func(d *desk) string { return fmt.Sprint(d.inbox().Pass(d.Context(), 2, clerk)) },
	(*desk).polls,
	func(d *desk) string { d.left("p0002.csv", table("2;Busch;")); return d.polls() },
	(*desk).polls,
	func(d *desk) string {
		d.left("p0004.csv", table("4;Dorn;01.02.2026", "5;Eich;01.02.2026"))
		return d.polls()
	},
	(*desk).polls,
	func(d *desk) string { return fmt.Sprint(d.approve(d.heldName())) },
	(*desk).polls,
	func(d *desk) string { d.left("p0005.csv", table("6;Frei;2026-02-01", "7;Gold;")); return d.polls() },
	(*desk).polls,
	(*desk).releases,
	func(d *desk) string { d.left("p0006.csv", table("6;Frei;2026-02-01", "7;Gold;")); return d.polls() },
	(*desk).polls,
}

// left leaves a file of a time that those of all partners have.
func (d *desk) left(name, content string) {
	d.Helper()
	d.leave(name, content)
	at := time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(d.place.Path, name), at, at); err != nil {
		d.Fatal(err)
	}
}

var clerk = inbox.Decision{Person: "anna", Reason: "lost at the partner"}

// polls runs once, and returns what came of it and where the partner is.
func (d *desk) polls() string {
	d.Helper()
	files, err := d.run()
	s, failed := register.ReadStatus(d.Context(), d.url, d.partner)
	p, unread := register.Read(d.Context(), d.conn, d.partner)
	if failed != nil || unread != nil {
		d.Fatal(failed, unread)
	}
	held := ""
	for _, h := range s.Held {
		held += h.Name + fmt.Sprint(h.Effects)
	}
	return fmt.Sprintf("%s: %v; next %d, missing %v, waiting %d, held %s, records %d, taken %v", files, err, p.Next, p.Missing, s.Waiting, held, s.Records, s.TakenAt != nil)
}

// releases tries every item of the database, of which it may see the partner's alone.
func (d *desk) releases() (outcome string) {
	d.Helper()
	for id := range int64(9) {
		if item, err := d.inbox().Show(d.Context(), id); err == nil {
			outcome += item.FileName + " " + item.Reason + "; "
			_, err := d.inbox().Release(d.Context(), []int64{id}, clerk)
			outcome += fmt.Sprint(err)
		}
	}
	return outcome
}

// Partners have files of the same names and contents, and share the patients database. However far one is, the other comes
// to the same as alone.
func TestPartnersAreKeptApart(t *testing.T) {
	t.Parallel()
	const settings = csv + "ready: {unchanged: 2}\nsequence: {gap: hold}\nbrake: 1\nquarantine_records: 2\n"
	lives := func(d *desk, steps []func(*desk) string) (days []string) {
		for n, step := range steps {
			days = append(days, fmt.Sprintf("%d: %s", n, strings.ReplaceAll(step(d), d.partner, "partner")))
		}
		return days
	}
	want := lives(newDesk(t, settings), steps)
	for stop := 1; stop < len(steps); stop += 2 { // between what has two sides
		t.Run(fmt.Sprint("after ", stop), func(t *testing.T) {
			t.Parallel()
			first := newDesk(t, settings)
			second := openDesk(t, "ward", hosttest.New(t).Exchange, strings.Replace(settings, "GP", "WARD", 1), first.url)
			lives(first, steps[:stop])
			if diff := cmp.Diff(want, lives(second, steps)); diff != "" {
				t.Errorf("the second partner, next to the first (-alone +together):\n%s", diff)
			}
			for n, step := range steps[stop:] {
				if got := fmt.Sprintf("%d: %s", stop+n, strings.ReplaceAll(step(first), first.partner, "partner")); got != want[stop+n] {
					t.Errorf("the first partner, after the second: %s\nwant %s", got, want[stop+n])
				}
			}
		})
	}
}
