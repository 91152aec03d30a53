package reconcile

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

func tallyOf(rows []listed) *Tally {
	t := newTally()
	for _, r := range rows {
		t.add(r.patient, r.sum)
	}
	return t
}

func someRows(n int) []listed {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	rows := make([]listed, n)
	for i := range rows {
		patient, err := uuid.NewRandomFromReader(rand.NewChaCha8([32]byte{byte(i), byte(i >> 8)}))
		if err != nil {
			panic(err)
		}
		rows[i] = listed{patient: patient, order: order{1, int64(i), 0}, sum: r.Uint64()}
	}
	return rows
}

func TestTalliesDontDependOnOrderNorOnTheNumberOfBuckets(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 500, 9000} {
		rows := someRows(n)
		a := tallyOf(rows)
		a.fold()
		rand.New(rand.NewPCG(2, 2)).Shuffle(n, func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		b := tallyOf(rows)
		if a.compare(b) != nil || b.compare(a) != nil {
			t.Errorf("%d rows in another order differ", n)
		}
		if len(a.Sums) > max(1, 2*n) {
			t.Errorf("%d rows have %d sums", n, len(a.Sums))
		}
	}
	if (*Tally)(nil).compare(tallyOf(nil)) != nil {
		t.Error("no tally is not one of no rows")
	}
}

func TestEveryChangeIsInADifferingBucket(t *testing.T) {
	rows := someRows(300)
	whole := tallyOf(rows)
	whole.fold()
	for i, changed := range rows {
		less := tallyOf(append(append([]listed{}, rows[:i]...), rows[i+1:]...))
		less.fold()
		more := tallyOf(append([]listed{{changed.patient, changed.order, 77}}, rows...))
		twice := tallyOf(append([]listed{changed}, rows...))
		for _, other := range []*Tally{less, more, twice, nil} {
			if found := whole.compare(other); !found.has(changed.patient) {
				t.Fatalf("row %d: %v does not have patient %s", i, found, changed.patient)
			}
		}
	}
}

func TestTalliesAreWrittenAndReadAgain(t *testing.T) {
	a := tallyOf(someRows(20))
	a.fold()
	a.Listed = someRows(20)
	data, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	b := new(Tally)
	if err := json.Unmarshal(data, b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b, cmp.AllowUnexported(listed{}, order{})); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []string{`{"sums": "00"}`, `{"sums": ""}`, `{"sums": "xx"}`, `{"listed": ["1 2"]}`} {
		if err := json.Unmarshal([]byte(bad), new(Tally)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
