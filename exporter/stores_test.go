package exporter_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/lab/logtest"
	"waybill/lab/servers/hosttest"
)

var errStore = errors.New("the store is away")

// failing returns a store that writes nothing under the prefix.
func failing(place exchange.Store, prefix string) exchange.Store {
	return &exchangetest.Faulty{Store: place, Fail: func(op exchangetest.Op, name string) error {
		if op != exchangetest.Get && strings.HasPrefix(name, prefix) {
			return errStore
		}
		return nil
	}}
}

// meeting blocks until two have come; then it lets everybody pass.
type meeting struct {
	mu    sync.Mutex
	seen  int
	begun chan struct{}
}

func (m *meeting) join() {
	m.mu.Lock()
	m.seen++
	if m.seen == 2 {
		close(m.begun)
	}
	m.mu.Unlock()
	<-m.begun
}

// at returns the store, whose writers of manifests meet before they write.
func (m *meeting) at(place exchange.Store) exchange.Store {
	return &exchangetest.Faulty{Store: place, Fail: func(op exchangetest.Op, name string) error {
		if (op == exchangetest.Put || op == exchangetest.Publish) && strings.HasPrefix(name, "log/") {
			m.join()
		}
		return nil
	}}
}

// Two copies of one database, both live, as after a failed fail-over: the same cluster by every
// mark that it bears. The store is all that can tell them apart.
func TestTwoExportersOfTwoCopiesOfOneDatabase(t *testing.T) {
	t.Parallel()
	stores := map[string]func(exchange.Store) exchange.Store{
		"create_if_absent":    exchangetest.WithoutOverwrite,
		"no_create_if_absent": exchangetest.WithoutNativePublish,
		"neither": func(s exchange.Store) exchange.Store {
			return exchangetest.WithoutNativePublish(exchangetest.WithoutOverwrite(s))
		},
	}
	original := startCluster(t, serverDir(t))
	places := map[string]hosttest.Exchange{}
	for name := range stores {
		places[name] = hosttest.New(t)
		s := original.service(name, places[name])
		s.register(3)
		s.export()
	}
	copied := serverDir(t)
	original.copyTo(copied)
	twin := startCluster(t, copied)
	for name, restricted := range stores {
		t.Run(name, func(t *testing.T) {
			both := []*site{original.service(name, places[name]), twin.service(name, places[name])}
			morgue := both[0].follower()
			winner := both[race(t, both, restricted)]
			if err := exactlyOnce(winner.outbox(), winner.events()); err != nil {
				t.Error(err)
			}
			morgue.source = winner
			morgue.equalsSource()
		})
	}
}

// race makes both publish their next batch at the same moment, and returns the winner.
func race(t *testing.T, both []*site, restricted func(exchange.Store) exchange.Store) int {
	t.Helper()
	door := &meeting{begun: make(chan struct{})}
	failures := make([]error, len(both))
	var group sync.WaitGroup
	for i, s := range both {
		s.die(s.register(1))
		s.config.Store = restricted(door.at(s.store))
		group.Go(func() { _, failures[i] = s.exporter().Run(t.Context()) })
	}
	group.Wait()
	// Where both got the answer that they had published, the loser finds out on its next run.
	for i, s := range both {
		if failures[i] == nil {
			_, failures[i] = s.exporter().Run(t.Context())
		}
	}
	if err := onlyOne(failures); err != nil {
		t.Fatal(err)
	}
	return slices.Index(failures, nil)
}

// onlyOne returns an error unless exactly one failed, and as it should.
func onlyOne(failures []error) error {
	var failed []error
	for _, err := range failures {
		if err != nil {
			failed = append(failed, err)
		}
	}
	if len(failed) != 1 {
		return fmt.Errorf("%d of %d were refused: %w", len(failed), len(failures), errors.Join(failed...))
	}
	if fault.ClassOf(failed[0]) != fault.Poison || !strings.Contains(fault.HintOf(failed[0]), "--new-generation") {
		return fmt.Errorf("refused for another reason: %w", failed[0])
	}
	return nil
}

// Somebody polls at the worst moments: before each call of the exporter to the store.
func TestNoManifestIsThereBeforeItsParts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config.PartRows = 2
	polls := 0
	s.config.Store = &exchangetest.Faulty{Store: s.store, Fail: func(op exchangetest.Op, name string) error {
		polls++
		if _, err := logtest.Events(t.Context(), s.store); err != nil {
			t.Errorf("before %s of %s: %v", op, name, err)
		}
		return nil
	}}
	for range 2 {
		s.register(5)
		s.export()
	}
	if got := s.last().Manifest; len(got.Parts) != 3 || polls == 0 {
		t.Errorf("%d parts and %d polls, want 3 parts", len(got.Parts), polls)
	}
}
