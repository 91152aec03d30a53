package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"waybill/internal/fault"
)

// memory is what was seen and sent, by party and topic.
type memory map[string]*subject

// subject is one thing about a party.
type subject struct {
	Trouble string                `json:"trouble"` // that was seen last; "": none
	Since   time.Time             `json:"since"`   // when that was first seen
	Seen    int                   `json:"seen"`    // how often in a row
	Bad     int                   `json:"bad"`     // how often in a row there was any
	Sent    map[string]*sentState `json:"sent,omitempty"`
}

// sentState is the trouble that a channel was sent last and that is not known to be over.
type sentState struct {
	Trouble  string    `json:"trouble"`
	Severity Severity  `json:"severity"`
	At       time.Time `json:"at"`
}

// Tell compares the findings on a service and its partners with what was sent before, and sends what is new. Now is in the
// service's zone. What can't be sent is tried again by the next call, by that channel alone.
func (s *Settings) Tell(ctx context.Context, service string, findings []Finding, now time.Time) error {
	path := filepath.Join(s.Memory, "notify-"+service+".json")
	m, err := read(path)
	if err != nil {
		return err
	}
	var failures []error
	for _, f := range findings {
		key := f.Party
		if f.Topic != "" {
			key += " " + f.Topic
		}
		if m[key] == nil {
			m[key] = &subject{}
		}
		m[key].see(f, now)
		for _, c := range s.channels() {
			failures = append(failures, s.tell(ctx, c, m[key], f, now))
		}
	}
	return errors.Join(append(failures, m.write(path))...)
}

func (u *subject) see(f Finding, now time.Time) {
	trouble := f.trouble()
	if trouble != u.Trouble || u.Since.IsZero() {
		u.Trouble, u.Since, u.Seen = trouble, now, 0
	}
	u.Seen++
	u.Bad++
	if trouble == "" {
		u.Bad = 0
	}
}

func (s *Settings) tell(ctx context.Context, c channel, u *subject, f Finding, now time.Time) error {
	event, severity := s.due(c, u, f, now)
	if event == "" || severity != Page && s.Quiet.at(now) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.send(ctx, f.message(event, severity, u.Since, now)); err != nil {
		return err
	}
	if event == Well {
		delete(u.Sent, c.name)
		return nil
	}
	if u.Sent == nil {
		u.Sent = map[string]*sentState{}
	}
	u.Sent[c.name] = &sentState{u.Trouble, severity, now}
	return nil
}

// due returns what a channel is to be sent now: an event and its severity, or "".
func (s *Settings) due(c channel, u *subject, f Finding, now time.Time) (event string, severity Severity) {
	sent, remind := u.Sent[c.name], time.Duration(s.Remind)
	if remind == 0 {
		remind = defaultRemind
	}
	severity = f.severity()
	const certain = 2 // looks
	switch wanted := u.Trouble != "" && c.severity.wants(severity); {
	case !wanted && sent == nil:
		return "", ""
	case !wanted:
		return Well, sent.Severity
	case sent == nil && !f.settled() && u.Bad < certain, sent != nil && sent.Trouble != u.Trouble && !f.settled() && u.Seen < certain:
		return "", "" // it may be a blip
	case sent == nil || sent.Trouble != u.Trouble:
		return Changed, severity
	case now.Sub(sent.At) >= remind:
		return Reminder, severity
	}
	return "", ""
}

// read returns what was remembered. A file that can't be understood is begun anew: it is better to send something twice.
func read(path string) (memory, error) {
	m := memory{}
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fault.New(fault.Usage, "read", path, fault.Bare(err), "see `notify.memory`")
	case json.Unmarshal(data, &m) != nil || m == nil:
		m = memory{}
	}
	return m, nil
}

// write replaces the file as a whole.
func (m memory) write(path string) (err error) {
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = replace(path, data)
	}
	if err != nil {
		return fault.New(fault.Usage, "write", path, fault.Bare(err), "make the folder that `notify.memory` names, and let this user write there")
	}
	return nil
}

func replace(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".notify-*")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}
