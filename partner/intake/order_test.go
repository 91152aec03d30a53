package intake

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"waybill/partner/format/record"
)

// places are the ways in which a source may order its records: the nth comes after those before it.
var places = map[string]func(n int) func(*record.Record){
	"sequence": func(n int) func(*record.Record) { return sequence(int64(n + 1)) },
	"event":    func(n int) func(*record.Record) { return event(fmt.Sprintf("2024-05-%02d", n+1)) },
	"sent":     sent,
	"sent, of one event": func(n int) func(*record.Record) {
		return func(r *record.Record) { event("2024-05-06")(r); sent(n)(r) }
	},
}

func sent(n int) func(*record.Record) {
	return func(r *record.Record) { r.Order.Sent = time.Date(2024, 5, n+1, 0, 0, 0, 0, time.UTC) }
}

// Three records of a patient, in any order, in three files or in one, leave what the last of them says, by the source's own order.
func TestTheSourcesOrderCounts(t *testing.T) {
	conn := service(t)
	var files [3][]record.Record
	var want []string
	number := 1000
	for _, place := range places {
		for _, deaths := range []string{"DAD", "ADA", "DDA", "AAD"} {
			for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
				for _, cut := range []bool{true, false} {
					number++
					for i, n := range order {
						status := status(record.Alive)
						if deaths[n] == 'D' {
							status = died(record.Informal, "2024-05-01")
						}
						if !cut {
							i = 0
						}
						files[i] = append(files[i], says(fmt.Sprint(number), place(n), family(fmt.Sprint("Name", n)), status))
					}
					says := fmt.Sprintf("%d Name2", number)
					if deaths[2] == 'D' {
						says += " informal 2024-05-01"
					}
					want = append(want, says)
				}
			}
		}
	}
	for _, file := range files {
		take(t, conn, "partner", file...)
	}
	expect(t, state(t, conn, ""), want)
}

// What a record leaves out of its place in the order is as it was; and a time that is ahead of ours by more than a day counts for
// nothing.
func TestAPartOfThePlaceInTheOrder(t *testing.T) {
	conn := service(t)
	next, number := map[string]string{"sequence": "event", "event": "sent", "sent": "sequence"}, 1000
	for with, without := range next {
		number++
		this := func(place string, n int, name string) string {
			return take(t, conn, "partner", says(fmt.Sprint(number), places[place](n), family(name)))[0]
		}
		for _, c := range []struct {
			place, name, want string
			n                 int
		}{
			{with, "Reed", "inserted", 6}, {without, "Quill", "changed", 6}, {with, "Marsh", "stale", 4}, {with, "Marsh", "changed", 6},
		} {
			if got := this(c.place, c.n, c.name); got != c.want {
				t.Errorf("by %s, then %s: %s at %s %d is %s, want %s", with, without, c.name, c.place, c.n, got, c.want)
			}
		}
	}
	for _, place := range []string{"event", "sent"} {
		number++
		ahead := says(fmt.Sprint(number), family("Reed"))
		if place == "event" {
			ahead.Order.Event = time.Now().Add(25 * time.Hour)
		} else {
			ahead.Order.Sent = time.Now().Add(25 * time.Hour)
		}
		take(t, conn, "partner", ahead)
		if got := take(t, conn, "partner", says(fmt.Sprint(number), places[place](6), family("Quill")))[0]; got != "changed" {
			t.Errorf("after one whose %s is ahead: %s", place, got)
		}
	}
}

// A source whose clock was ahead said that a patient had died; when its clock is right again, the patient is alive. Of one
// file its own order counts, also that of times to come.
func TestAClockThatIsAheadOutdatesNothing(t *testing.T) {
	conn := service(t)
	at := func(place string, ahead time.Duration) func(*record.Record) {
		return func(r *record.Record) {
			if place == "event" {
				r.Order.Event = time.Now().Add(ahead)
			} else {
				r.Order.Sent = time.Now().Add(ahead)
			}
		}
	}
	dead, alive := died(record.Informal, "2024-05-01"), status(record.Alive)
	for number, place := range map[string]string{"1000": "event", "1001": "sent"} {
		take(t, conn, "partner", says(number, dead, at(place, 20*time.Hour)))
		if got := take(t, conn, "partner", says(number, alive, at(place, 0)))[0]; got != "changed" {
			t.Errorf("alive, after a death whose %s is ahead: %s", place, got)
		}
		take(t, conn, "partner", says(number, alive, at(place, 3*time.Hour)), says(number, dead, at(place, 2*time.Hour)))
		if got := strings.Join(state(t, conn, ""), ", "); strings.Contains(got, number+" informal") {
			t.Errorf("alive after dead, by %s: %s", place, got)
		}
	}
}
