package main_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/lab/await"
	"waybill/lab/mailbox"
	"waybill/notify"
)

// notified are the settings by which a site sends mail and posts JSON.
const notified = `
notify:
  memory: %s
  mail: {server: 'smtp://%s', from: waybill@hospital.example, to: [it@hospital.example]}
  webhook: {url: '%s'}
`

// posted is a web server that keeps what is posted to it.
type posted struct {
	*httptest.Server
	mu       sync.Mutex
	messages []notify.Message
}

func newPosted(t testing.TB) *posted {
	p := &posted{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m notify.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Errorf("not JSON: %v", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.messages = append(p.messages, m)
	}))
	t.Cleanup(p.Close)
	return p
}

// since returns what came since the last call.
func (p *posted) since() []notify.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	messages := p.messages
	p.messages = nil
	return messages
}

func (s *watched) memory() string { return filepath.Join(s.dir, "memory") }

// looks has a machine look for so many intervals, and returns what was posted and mailed: one and the same.
func (s *watched) looks(party string, intervals int) []notify.Message {
	s.Helper()
	for range intervals {
		if out, code := s.as(party, binary(), "status", "--notify"); strings.Contains(out, "notify by") {
			s.Errorf("exit %d\n%s", code, out)
		}
	}
	messages, letters := s.hook.since(), s.inbox.Letters()
	if len(messages) != len(letters) {
		s.Fatalf("%d were posted, and %d mailed: %v", len(messages), len(letters), letters)
	}
	for i, m := range messages {
		if letters[i].Subject != m.Subject() || !strings.Contains(strings.ReplaceAll(letters[i].Body, "\r\n", "\n"), "since ") {
			s.Errorf("posted %+v, mailed %+v", m, letters[i])
		}
	}
	return messages
}

// silent has all sides work and look while all is well: nobody is sent anything.
func (s *watched) silent() {
	s.Helper()
	for range 3 {
		s.works()
		for party := range lines {
			if sent := s.looks(party, 1); len(sent) > 0 {
				s.Errorf("all is well at %s, and it sends %+v", party, sent)
			}
		}
	}
}

// notified checks that the fault is sent once within two intervals: which party, in what state, since when, why, and what to
// type.
func (s *watched) notified(f standstill) {
	s.Helper()
	sent := s.looks(f.party, 2)
	if len(sent) != 1 {
		s.Errorf("%d messages: %+v", len(sent), sent)
		return
	}
	m := sent[0]
	if m.Event != notify.Changed || m.Party != f.about() || m.State == "ok" || m.Since.IsZero() || m.Why == "" || !strings.HasPrefix(m.Next, "waybill ") ||
		!strings.Contains(m.Text(), cmp.Or(f.told, f.says)) {
		s.Errorf("%q is not said in %+v", cmp.Or(f.told, f.says), m)
	}
	if again := s.looks(f.party, 1); len(again) > 0 {
		s.Errorf("it is sent again: %+v", again)
	}
}

// wellAgain checks that the end of it is sent at the first look.
func (s *watched) wellAgain(f standstill) {
	s.Helper()
	if sent := s.looks(f.party, 1); len(sent) != 1 || sent[0].Event != notify.Well || sent[0].Party != f.about() || sent[0].Next != "" {
		s.Errorf("well again: %+v", sent)
	}
}

// Machines that run while people live and die notify nobody; when the store is gone, each service's people hear of it once, and
// once that it is back. Between bursts of changes only heartbeats say that all is well. `make healthy` does it for an hour.
func TestProofRunNotifiesOfFaultsAlone(t *testing.T) {
	t.Parallel()
	seconds, err := strconv.Atoi(os.Getenv("WAYBILL_HEALTHY_SECONDS"))
	if err != nil {
		seconds = 15
	}
	r := newRunning(t, 0)
	hook, memory := newPosted(t), t.TempDir()
	inbox, err := mailbox.Start("127.0.0.1:0", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { inbox.Close() })
	for service, job := range jobOf {
		section := "import: {instance: east, brake: off, grace: 1h}"
		if service == "patients" {
			section = "export: {heartbeat: 15s, grace: 1h}"
		}
		r.configure(service, section+fmt.Sprintf(everySecond+notified, job, memory, inbox.Address, hook.URL))
	}
	r.do("export") // or consumers would rightly say that there is no log
	for service := range jobOf {
		r.start(service)
	}
	r.admitOne(1000)
	r.exported(1)
	r.agreed()
	admitted := r.burst(time.Duration(seconds) * time.Second)
	if sent, mailed := hook.since(), inbox.Letters(); len(sent)+len(mailed) > 0 {
		t.Errorf("%d people were admitted, and all was well: %+v %+v", admitted, sent, mailed)
	}
	published := r.last()
	gone := r.place.Path + ".gone"
	if err := os.Rename(r.place.Path, gone); err != nil {
		t.Fatal(err)
	}
	last := map[string]notify.Message{}
	r.hears(hook, last, notify.Changed)
	if err := os.Rename(gone, r.place.Path); err != nil {
		t.Fatal(err)
	}
	r.agreed()
	r.hears(hook, last, notify.Well) // a run that had half the store may have met something else in between
	if mailed := inbox.Letters(); len(mailed) < 2*len(jobOf) {
		t.Errorf("mailed: %+v", mailed)
	}
	r.stop()
	t.Logf("%d people were admitted in %d seconds, and %d batches published", admitted, seconds, published.Manifest.Batch)
}

// burst admits people for a while, with a quiet minute after each hundred.
func (r *running) burst(d time.Duration) (admitted int) {
	r.Helper()
	ctx, stop := context.WithTimeout(r.Context(), d)
	defer stop()
	for ; admitted < 5 || ctx.Err() == nil; admitted++ {
		if !r.admitted(r.Context(), admitted) {
			r.Fatalf("person %d was not admitted", admitted)
		}
		pause := 300 * time.Millisecond
		if admitted%100 == 99 {
			pause = time.Minute
		}
		wait(ctx, pause)
	}
	return admitted
}

// hears waits until the last that each service sent is the event, and that it sends nothing twice in a row.
func (r *running) hears(hook *posted, last map[string]notify.Message, event string) {
	r.Helper()
	await.True(r, fmt.Sprint("all sent ", event), func() bool {
		for _, m := range hook.since() {
			if before := last[m.Party]; before.Event == m.Event && before.State == m.State && before.Next == m.Next { // another command is another trouble
				r.Errorf("sent again: %+v\nafter: %+v", m, before)
			}
			last[m.Party] = m
		}
		heard := 0
		for _, m := range last {
			if m.Event == event {
				heard++
			}
		}
		return heard == len(jobOf)
	})
}
