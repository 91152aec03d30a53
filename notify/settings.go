// Package notify sends messages about what is wrong to people: by mail, to a webhook, or through a command. It sends one
// when something changes, reminders while it lasts, and one when it is well again.
package notify

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"waybill/internal/fault"
	"waybill/internal/setting"
)

// Settings are the section `notify:` of a configuration.
type Settings struct {
	// Memory is a folder on this machine that outlives a restart. A file there remembers what was sent, because the
	// service's database may be the thing that is gone.
	Memory string           `yaml:"memory"`
	Remind setting.Duration `yaml:"remind"` // the time between reminders; 0: 12h
	Quiet  quiet            `yaml:"quiet"`  // "22:00-07:00" in the service's zone: only pages are sent

	Mail    *Mail    `yaml:"mail"`
	Webhook *Webhook `yaml:"webhook"`
	Command *Command `yaml:"command"`
}

// Mail is how mail is sent.
type Mail struct {
	Server         string   `yaml:"server"` // smtp://HOST:PORT, or smtps:// for TLS from the first byte
	User           string   `yaml:"user"`
	Password       string   `yaml:"password"`
	PasswordFile   string   `yaml:"password_file"`
	AllowPlaintext string   `yaml:"allow_plaintext"` // the reason why TLS may be missing; a server on this machine needs none
	From           string   `yaml:"from"`
	To             []string `yaml:"to"`
	Severity       Severity `yaml:"severity"`
}

// Webhook is where messages are posted to as JSON.
type Webhook struct {
	URL       string   `yaml:"url"`
	URLFile   string   `yaml:"url_file"`
	Token     string   `yaml:"token"` // sent as a bearer token
	TokenFile string   `yaml:"token_file"`
	Severity  Severity `yaml:"severity"`
}

// Command is a program that is started for each message. It reads the text from standard input, and the JSON from the
// variable WAYBILL_NOTIFICATION.
type Command struct {
	Run      []string `yaml:"run"`
	Severity Severity `yaml:"severity"`
}

const (
	defaultRemind = 12 * time.Hour
	// patience is how long one message may take to be handed over.
	patience = 30 * time.Second
)

// Check returns the first mistake in the settings. It connects to nothing.
func (s *Settings) Check() error {
	switch {
	case s.Memory == "":
		return setting.Errorf("memory", "name a folder for what was sent, such as /var/lib/waybill")
	case s.Mail == nil && s.Webhook == nil && s.Command == nil:
		return setting.Errorf("mail", "give at least one of mail, webhook and command")
	}
	if s.Mail != nil {
		if err := s.Mail.check(); err != nil {
			return setting.In("mail", err)
		}
	}
	if s.Webhook != nil {
		if err := s.Webhook.check(); err != nil {
			return setting.In("webhook", err)
		}
	}
	if s.Command != nil {
		if len(s.Command.Run) == 0 {
			return setting.Errorf("command.run", "name a program and its arguments, as a list")
		}
		return setting.In("command", s.Command.Severity.check())
	}
	return nil
}

func (m *Mail) check() error {
	server, err := url.Parse(m.Server)
	switch {
	case err != nil || server.Scheme != "smtp" && server.Scheme != "smtps" || server.Hostname() == "" || server.User != nil:
		return setting.Errorf("server", "must be smtp://HOST:PORT or smtps://HOST:PORT, without a password")
	case m.From == "":
		return setting.Errorf("from", "give the sender's address")
	case len(m.To) == 0:
		return setting.Errorf("to", "give at least one address, as a list")
	case m.Password != "" && m.PasswordFile != "":
		return setting.Errorf("password", "give either password or password_file")
	case m.User != "" && m.Password == "" && m.PasswordFile == "":
		return setting.Errorf("password_file", "is missing for user %s", m.User)
	}
	if _, err := m.message(Message{}); err != nil {
		return setting.Errorf("to", "%v", err)
	}
	return m.Severity.check()
}

func (w *Webhook) check() error {
	switch {
	case (w.URL == "") == (w.URLFile == ""):
		return setting.Errorf("url", "give either url or url_file")
	case w.Token != "" && w.TokenFile != "":
		return setting.Errorf("token", "give either token or token_file")
	}
	return w.Severity.check()
}

// Severity is how urgent a message is, or in settings, the least that a channel is for.
type Severity string

// Page is for what a person must act on now; Ticket can wait for the morning.
const (
	Page   Severity = "page"
	Ticket Severity = "ticket"
)

func (s Severity) check() error {
	return setting.OneOf("severity", string(s), "", string(Page), string(Ticket))
}

// wants reports whether a channel of severity s is for messages of the other.
func (s Severity) wants(other Severity) bool { return s != Page || other == Page }

// quiet is the part of each day in which only pages are sent, in minutes after midnight.
type quiet struct{ from, to int }

// UnmarshalText reads "22:00-07:00".
func (q *quiet) UnmarshalText(text []byte) error {
	from, to, _ := strings.Cut(string(text), "-")
	begins, err := time.Parse("15:04", from)
	ends, err2 := time.Parse("15:04", to)
	if errors.Join(err, err2) != nil {
		return fmt.Errorf("%q must be like 22:00-07:00", text)
	}
	q.from, q.to = begins.Hour()*60+begins.Minute(), ends.Hour()*60+ends.Minute()
	return nil
}

func (q quiet) at(t time.Time) bool {
	minute := t.Hour()*60 + t.Minute()
	if q.from <= q.to {
		return q.from <= minute && minute < q.to
	}
	return minute >= q.from || minute < q.to
}

// secret reads a setting that may have a file of its own.
func secret(key, text, file string) (string, error) {
	return setting.Source{Of: "notify", Key: key, Text: text, File: file, Hint: "set it, or use " + key + "_file"}.Read()
}

// local reports whether only this machine is reached there.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// machine is this machine's name; a message without it is sent all the same.
func machine() string {
	name, _ := os.Hostname()
	return name
}

func failed(channel string, err error, hint string) error {
	return fault.New(fault.Transient, "notify by", channel, err, hint)
}
