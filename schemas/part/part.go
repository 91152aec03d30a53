// Package part is the codec of data files: rows in PostgreSQL's binary COPY format to Parquet
// and back. Every value is checked against the contract when it is written and again when it is
// read. Nothing is allocated per row, and memory is bounded, no matter what a file claims.
package part

import (
	"fmt"
	"math"

	"waybill/schemas"
)

// BadRow is a row that breaks the contract: the error of a writer or a strict stream, and the
// record of a row that a lenient one has set aside. It holds no values but the patient's id.
type BadRow struct {
	Part      string // the part's name; "" when writing
	Row       int64  // from 1
	Column    string
	Reason    string
	PatientID string // "" when it can't be read
}

// Error implements error.
func (b *BadRow) Error() string {
	where := fmt.Sprintf("row %d: column %q: %s", b.Row, b.Column, b.Reason)
	if b.Part != "" {
		return b.Part + ": " + where
	}
	return where
}

// Stats is what a part's manifest entry says about its rows.
type Stats struct {
	Rows         int64
	Events       map[string]int64 // rows per event type, none of them 0
	RecordedFrom schemas.Time     // smallest recorded_at; zero when there are no rows
	RecordedTo   schemas.Time
}

// tally counts rows by position of their event type in the contract's list.
type tally struct {
	rows     int64
	events   []int64
	earliest int64 // µs since 1970
	latest   int64
}

func newTally(c *schemas.Contract) tally {
	return tally{events: make([]int64, len(c.Events())), earliest: math.MaxInt64, latest: math.MinInt64}
}

func (t *tally) reset() {
	clear(t.events)
	t.rows, t.earliest, t.latest = 0, math.MaxInt64, math.MinInt64
}

func (t *tally) add(event int, recordedAt *datum) {
	t.rows++
	t.events[event]++
	if !recordedAt.null {
		t.earliest, t.latest = min(t.earliest, recordedAt.n), max(t.latest, recordedAt.n)
	}
}

func (t *tally) stats(c *schemas.Contract) Stats {
	s := Stats{Rows: t.rows, Events: map[string]int64{}}
	for i, name := range c.Events() {
		if t.events[i] > 0 {
			s.Events[name] = t.events[i]
		}
	}
	if t.rows > 0 {
		s.RecordedFrom, s.RecordedTo = schemas.AtMicro(t.earliest), schemas.AtMicro(t.latest)
	}
	return s
}
