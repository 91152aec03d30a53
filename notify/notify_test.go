package notify_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/setting"
	"waybill/notify"
)

// noon is when the tests begin.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// hook is a real web server that is posted to.
type hook struct {
	*httptest.Server
	mu       sync.Mutex
	messages []notify.Message
	refuses  bool
	token    string
}

func newHook(t *testing.T) *hook {
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		var m notify.Message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("not JSON: %v", err)
		}
		h.token = r.Header.Get("Authorization")
		if h.refuses {
			http.Error(w, "closed", http.StatusServiceUnavailable)
			return
		}
		h.messages = append(h.messages, m)
	}))
	t.Cleanup(h.Close)
	return h
}

// came returns the events that came since the last call, as "changed page morgue held".
func (h *hook) came() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for _, m := range h.messages {
		all = append(all, strings.Join(strings.Fields(strings.Join([]string{m.Event, string(m.Severity), m.Party, m.Topic, string(m.State)}, " ")), " "))
	}
	h.messages = nil
	return strings.Join(all, ", ")
}

// told is a service whose findings are compared with what was sent.
type told struct {
	*testing.T
	notify.Settings
	hook *hook
	now  time.Time
}

func newTold(t *testing.T, settings string) *told {
	t.Helper()
	h := newHook(t)
	s := &told{T: t, hook: h, now: noon}
	if err := setting.Load([]byte(settings+"\nmemory: "+t.TempDir()+"\nwebhook: {url: '"+h.URL+"/hook', token: s3cret}"), &s.Settings); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s
}

// look reports the morgue's state after some time, and returns what was sent.
func (s *told) look(after time.Duration, state health.State, class fault.Class, hint string) string {
	s.Helper()
	s.now = s.now.Add(after)
	f := notify.Finding{Party: "morgue", Report: health.Report{State: state, Class: class, Detail: "brake at batch 3", Hint: hint}}
	f.Advise("morgue")
	if err := s.Tell(s.Context(), "morgue", []notify.Finding{f}, s.now); err != nil {
		s.Error(err)
	}
	return s.hook.came()
}

// step is one look and what it sends.
type step struct {
	after time.Duration
	state health.State
	class fault.Class
	hint  string
	sends string
}

func (s *told) plays(steps []step) {
	s.Helper()
	for i, p := range steps {
		if sent := s.look(p.after, p.state, p.class, p.hint); sent != p.sends {
			s.Errorf("look %d, %s: sent %q, want %q", i, p.state, sent, p.sends)
		}
	}
}

const held3, held4 = "`waybill import morgue --approve 3@1be3ccdd`", "`waybill import morgue --approve 4@77aa0011`"

func TestOneMessageForEachChange(t *testing.T) {
	newTold(t, "").plays([]step{
		{0, health.OK, 0, "", ""},
		{time.Minute, health.Behind, 0, "", ""},
		{time.Minute, health.Held, fault.Held, held3, "changed page morgue held"},
		{time.Minute, health.Held, fault.Held, held3, ""},
		{time.Minute, health.Held, fault.Held, held4, "changed page morgue held"}, // the command to type is another
		{time.Minute, health.OK, 0, "", "well page morgue ok"},
		{time.Minute, health.OK, 0, "", ""},
	})
}

func TestABlipIsNotTold(t *testing.T) {
	newTold(t, "").plays([]step{
		{0, health.NoStore, fault.Transient, "", ""},
		{time.Minute, health.OK, 0, "", ""},
		{time.Minute, health.Failing, fault.Transient, "", ""},
		{time.Minute, health.NoStore, fault.Transient, "", "changed ticket morgue no store"}, // twice in a row something was wrong
		{time.Minute, health.Failing, fault.Transient, "", ""},
		{time.Minute, health.NoStore, fault.Transient, "", ""}, // to and fro is one trouble
		{time.Minute, health.Late, fault.NotYet, "", ""},
		{time.Minute, health.Late, fault.NotYet, "", "changed page morgue late"},
		{time.Minute, health.OK, 0, "", "well page morgue ok"},
	})
}

func TestWhatLastsIsToldAgain(t *testing.T) {
	newTold(t, "remind: 2h").plays([]step{
		{0, health.Broken, fault.Poison, "", "changed page morgue broken"},
		{119 * time.Minute, health.Broken, fault.Poison, "", ""},
		{time.Minute, health.Broken, fault.Poison, "", "reminder page morgue broken"},
		{time.Hour, health.Broken, fault.Poison, "", ""},
		{time.Hour, health.Broken, fault.Poison, "", "reminder page morgue broken"},
	})
}

func TestInQuietHoursOnlyPagesAreSent(t *testing.T) {
	s := newTold(t, "quiet: 22:00-07:00")
	s.now = time.Date(2026, 11, 22, 22, 30, 0, 0, time.UTC)
	s.plays([]step{
		{0, health.NoStore, fault.Transient, "", ""},
		{time.Minute, health.NoStore, fault.Transient, "", ""},
		{time.Minute, health.Held, fault.Held, held3, "changed page morgue held"},
		{time.Minute, health.OK, 0, "", "well page morgue ok"},
		{4 * time.Hour, health.Failing, fault.Transient, "", ""},
		{time.Minute, health.Failing, fault.Transient, "", ""},
		{5 * time.Hour, health.Failing, fault.Transient, "", "changed ticket morgue failing"}, // it is 07:33
	})
}

func TestAChannelForPagesGetsNoTickets(t *testing.T) {
	s := newTold(t, "")
	s.Webhook.Severity = notify.Page
	s.plays([]step{
		{0, health.Silent, fault.NotYet, "", ""},
		{time.Hour, health.Silent, fault.NotYet, "", ""},
		{time.Hour, health.Forked, fault.Poison, "", "changed page morgue forked"},
		{time.Hour, health.Silent, fault.NotYet, "", "well page morgue silent"}, // the page is over
		{time.Hour, health.OK, 0, "", ""},
	})
}

// One channel that fails is tried again, and the other's people are not sent the same twice.
func TestAChannelThatFailsIsTriedAgainAlone(t *testing.T) {
	s := newTold(t, "")
	file := filepath.Join(t.TempDir(), "sent")
	s.Command = &notify.Command{Run: []string{"sh", "-c", `cat >> "$0"; echo "$WAYBILL_NOTIFICATION" >> "$0"`, file}}
	s.hook.refuses = true
	tell := func(after time.Duration) error {
		s.now = s.now.Add(after)
		f := notify.Finding{Party: "morgue", Report: health.Report{State: health.Held, Class: fault.Held, Detail: "brake at batch 3: opened 62", Hint: held3, Next: "waybill import morgue"}}
		return s.Tell(t.Context(), "morgue", []notify.Finding{f}, s.now)
	}
	if err := tell(0); fault.ClassOf(err) != fault.Transient || !strings.Contains(err.Error(), "503") || fault.HintOf(err) == "" || strings.Contains(err.Error(), "/hook") {
		t.Errorf("%v", err)
	}
	s.hook.refuses = false
	if err := tell(time.Minute); err != nil {
		t.Error(err)
	}
	if sent := s.hook.came(); sent != "changed page morgue held" || s.hook.token != "Bearer s3cret" {
		t.Errorf("sent %q with %q", sent, s.hook.token)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"waybill: morgue is held\n", "since 2026-11-22 12:00:00Z", "why:  brake at batch 3: opened 62", "next: waybill import morgue\n", `"event":"changed"`} {
		if strings.Count(string(data), want) != 1 {
			t.Errorf("%q is there %d times:\n%s", want, strings.Count(string(data), want), data)
		}
	}
}

// A memory that can't be kept is an error with a hint; one that is damaged is begun anew.
func TestMemory(t *testing.T) {
	s := newTold(t, "")
	file := filepath.Join(s.Memory, "notify-morgue.json")
	for _, content := range []string{"{torn", "null", `{"morgue": null}`, `{"morgue": {"sent": {"webhook": null}}}`} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if sent := s.look(time.Minute, health.Forked, fault.Poison, ""); sent != "changed page morgue forked" {
			t.Errorf("after %s: sent %q", content, sent)
		}
	}
	s.Memory = filepath.Join(s.Memory, "gone")
	f := notify.Finding{Party: "morgue", Report: health.Fine()}
	if err := s.Tell(t.Context(), "morgue", []notify.Finding{f}, noon); fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
		t.Error(err)
	}
}

func TestSettingsThatAreWrongAreNamed(t *testing.T) {
	const mail = "memory: /x\nmail: {server: 'smtp://mail.example:587', from: waybill@hospital.example, to: [it@hospital.example]"
	for _, wrong := range [][2]string{
		{"webhook: {url: x}", "memory"},
		{"memory: /x", "mail"},
		{"memory: /x\nwebhook: {}", "webhook.url"},
		{"memory: /x\nwebhook: {url: x, url_file: y}", "webhook.url"},
		{"memory: /x\nwebhook: {url: x, severity: loud}", "webhook.severity"},
		{"memory: /x\ncommand: {}", "command.run"},
		{mail + ", user: waybill}", "mail.password_file"},
		{mail + ", severity: loud}", "mail.severity"},
		{strings.Replace(mail, "smtp:", "http:", 1) + "}", "mail.server"},
		{strings.Replace(mail, "it@hospital.example", "nobody", 1) + "}", "mail.to"},
		{strings.Replace(mail, "[it@hospital.example]", "[]", 1) + "}", "mail.to"},
	} {
		settings, path := wrong[0], wrong[1]
		var s notify.Settings
		if err := setting.Load([]byte(settings), &s); err != nil {
			t.Errorf("%s: %v", settings, err)
			continue
		}
		if err := s.Check(); err == nil || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v, want one about %s", settings, err, path)
		}
	}
	var s notify.Settings
	for _, quiet := range []string{"22-7", "late", "22:00", "22:00-25:00"} {
		if err := setting.Load([]byte("quiet: '"+quiet+"'"), &s); err == nil || !strings.Contains(err.Error(), "22:00-07:00") {
			t.Errorf("quiet %s: %v", quiet, err)
		}
	}
	if err := setting.Load([]byte(mail+"}"), &s); err != nil || s.Check() != nil {
		t.Errorf("%v %v", err, s.Check())
	}
	if !slices.Equal(s.Mail.To, []string{"it@hospital.example"}) {
		t.Errorf("%+v", s.Mail)
	}
}
