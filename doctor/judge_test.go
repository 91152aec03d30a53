package doctor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/internal/fact"
)

// Each judgement at its bound, and with each of the values that it joins.
func TestWhatIsSaidOfAServer(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	const fine, advised, fails = "fine", "advised", "fails"
	for _, c := range []struct {
		name string
		said fact.Fact
		want string
	}{
		{"the oldest release", (&server{VersionNum: 140000}).version(), fine},
		{"an older one", (&server{VersionNum: 130099}).version(), fails},
		{"no policy", (&server{}).rowSecurity(), fine},
		{"a policy", (&server{Hidden: new("patients.patient")}).rowSecurity(), fails},
		{"UTF-8", (&server{Encoding: "UTF8"}).encoding(), fine},
		{"another encoding", (&server{Encoding: "SQL_ASCII"}).encoding(), fails},
		{"durable", (&server{Fsync: true, FullPages: true}).durability(), fine},
		{"a standby", (&server{Fsync: true, FullPages: true, Recovery: true}).durability(), fails},
		{"without fsync", (&server{FullPages: true}).durability(), fails},
		{"without full pages", (&server{Fsync: true}).durability(), fails},
		{"89 of 100 connections", (&server{Used: 89, Max: 100}).connections(), fine},
		{"90 of 100 connections", (&server{Used: 90, Max: 100}).connections(), advised},
		{"a clock 5 s ahead", (&server{Now: now}).clock(now.Add(5 * time.Second)), fine},
		{"a clock 6 s ahead", (&server{Now: now}).clock(now.Add(6 * time.Second)), advised},
		{"a clock 6 s behind", (&server{Now: now}).clock(now.Add(-6 * time.Second)), advised},
		{"no transaction", (&server{}).horizon(), fine},
		{"one that is an hour old", (&server{OldestWhat: "it", Oldest: time.Hour}).horizon(), fine},
		{"an older one", (&server{OldestWhat: "it", Oldest: time.Hour + time.Second}).horizon(), advised},
	} {
		got := fine
		switch {
		case c.said.Fails:
			got = fails
		case c.said.Advice != "":
			got = advised
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s (%+v)", c.name, got, c.want, c.said)
		}
	}
}

// A limit that could cut a long load is named, each of the two.
func TestTimeoutsAreNamed(t *testing.T) {
	t.Parallel()
	var got []string
	for _, s := range []server{{Statement: "0", IdleTx: "0"}, {Statement: "7", IdleTx: "0"}, {Statement: "0", IdleTx: "8"}} {
		got = append(got, s.timeouts().Value)
	}
	const rest = " ms; exports and imports turn them off for themselves"
	if diff := cmp.Diff([]string{
		"none that could cut a long load",
		"statement_timeout 7 ms, idle_in_transaction_session_timeout 0" + rest,
		"statement_timeout 0 ms, idle_in_transaction_session_timeout 8" + rest,
	}, got); diff != "" {
		t.Error(diff)
	}
}
