package notify

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"waybill/internal/fault"
	"waybill/internal/health"
	"waybill/internal/humanize"
)

// Finding is a judgement on one thing about a service or partner.
type Finding struct {
	Party string // the service or partner
	Topic string // which of several findings about the party; "": its state
	health.Report
}

// severity of a finding that something is wrong: a person must act, or news is late beyond its grace; anything else may pass.
func (f Finding) severity() Severity {
	switch {
	case f.State == health.Late, f.Class == fault.Poison, f.Class == fault.Usage, f.Class == fault.Held:
		return Page
	}
	return Ticket
}

// settled reports whether the finding is certain at first sight, because a run failed or a person decided. Others may
// pass at once.
func (f Finding) settled() bool { return f.severity() == Page && f.State != health.Late }

// trouble names what is wrong; "" if nothing is. A message is sent when it changes. If a person must act, it includes what
// to do, so that another held batch counts as another trouble.
func (f Finding) trouble() string {
	switch {
	case f.Class == 0:
		return ""
	case f.settled():
		return string(f.State) + ": " + f.Next
	}
	return string(f.State)
}

// The events that a message can be about.
const (
	Changed  = "changed"  // something is wrong now, or something else than before
	Reminder = "reminder" // it is still wrong
	Well     = "well"     // it is no longer wrong
)

// Message is sent to people. It has no data of patients, because findings have none.
type Message struct {
	Version  int          `json:"version"` // of this form: 1
	Event    string       `json:"event" jsonschema:"enum=changed,enum=reminder,enum=well"`
	Severity Severity     `json:"severity" jsonschema:"enum=page,enum=ticket"`
	Party    string       `json:"party"`           // the service or partner
	Topic    string       `json:"topic,omitempty"` // what about it: quarantine
	State    health.State `json:"state"`
	Class    fault.Class  `json:"class,omitempty"`
	Since    time.Time    `json:"since"`
	Why      string       `json:"why,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	Next     string       `json:"next,omitempty"` // the command to type
	Machine  string       `json:"machine"`
	At       time.Time    `json:"at"`
}

func (f Finding) message(event string, severity Severity, since, now time.Time) Message {
	if f.Since != nil {
		since = *f.Since
	}
	m := Message{
		Version: 1, Event: event, Severity: severity, Party: f.Party, Topic: f.Topic, State: f.State, Class: f.Class, Since: since.UTC(),
		Hint: f.Hint, Next: f.Next, Machine: machine(), At: now.UTC(),
	}
	m.Why = cmp.Or(f.Detail, f.Error)
	if f.Error != "" && !strings.Contains(m.Why, f.Error) {
		m.Why += ": " + f.Error
	}
	if event == Well {
		m.Hint, m.Next = "", ""
	}
	return m
}

// Subject returns the message in one line.
func (m Message) Subject() string {
	about := strings.TrimSpace(m.Party + " " + m.Topic)
	switch m.Event {
	case Well:
		return fmt.Sprintf("waybill: %s is well again (%s)", about, m.State)
	case Reminder:
		return fmt.Sprintf("waybill: %s is still %s", about, m.State)
	}
	return fmt.Sprintf("waybill: %s is %s", about, m.State)
}

// Text returns the message for people.
func (m Message) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, since %s.\n\n", strings.TrimPrefix(m.Subject(), "waybill: "), humanize.When(m.Since, time.UTC))
	for _, line := range []struct{ name, text string }{{"why:  ", m.Why}, {"do:   ", m.Hint}, {"next: ", m.Next}} {
		if line.text != "" {
			fmt.Fprintf(&b, "%s%s\n", line.name, line.text)
		}
	}
	fmt.Fprintf(&b, "\n%s, from %s at %s.\n", m.Severity, m.Machine, humanize.When(m.At, time.UTC))
	return b.String()
}
