package main

import (
	"slices"
	"testing"
	"time"
)

func TestASeedPlansTheSameMishaps(t *testing.T) {
	first, again, other := schedule(7, 10*time.Minute), schedule(7, 10*time.Minute), schedule(8, 10*time.Minute)
	if !slices.Equal(first, again) || fingerprint(first) != fingerprint(again) {
		t.Error("the same seed plans something else")
	}
	if slices.Equal(first, other) || fingerprint(first) == fingerprint(other) {
		t.Error("another seed plans the same")
	}
}

func TestEverythingGoesWrong(t *testing.T) {
	mishaps := schedule(1, 10*time.Minute)
	if len(mishaps) < 300 {
		t.Errorf("%d mishaps in ten minutes, want hundreds", len(mishaps))
	}
	if !slices.IsSortedFunc(mishaps, func(a, b mishap) int { return int(a.at - b.at) }) {
		t.Error("they are not in the order in which they are to happen")
	}
	seen, endlessly := map[kind]bool{}, map[int]bool{}
	for _, m := range mishaps {
		seen[m.kind] = true
		if m.lasts == endless {
			endlessly[m.machine] = true
		}
		if m.kind == frozen && m.lasts <= lease {
			t.Errorf("%s: no longer than a lease", m)
		}
	}
	for _, w := range weights {
		if !seen[w.kind] {
			t.Errorf("no %s in ten minutes", w.kind)
		}
	}
	if len(endlessly) != len(crew) {
		t.Errorf("%d machines of %d lose their store or themselves for longer than every time-out", len(endlessly), len(crew))
	}
}
