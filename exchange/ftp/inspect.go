package ftp

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"regexp"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/internal/fact"
)

// Inspect logs in, lists the top and reports what the server said.
func (s *Store) Inspect(ctx context.Context) ([]fact.Fact, error) {
	said := &transcript{}
	facts, err := s.inspect(ctx, said)
	return facts, s.failed(ctx, "inspect", "", err)
}

func (s *Store) inspect(ctx context.Context, said *transcript) ([]fact.Fact, error) {
	c, err := s.connect(ctx, said)
	if err != nil {
		return nil, err
	}
	defer c.quit()
	defer c.watch(ctx)()
	if err := c.ChangeDir(c.root); err != nil && !isRefusal(err) {
		return nil, err
	}
	// This listing only tries a data connection; its content does not matter.
	c.limit = maxListing
	_, err = c.List("")
	if err = c.whole(err); err != nil && code(err) != busy {
		return nil, err
	}
	features := said.features()
	return []fact.Fact{
		{Name: "server", Value: said.greeting()},
		s.encryption(c),
		passive(said),
		{Name: "create-if-absent", Value: "emulated: looks, uploads, looks again, renames", Advice: "let one exporter alone write here; its database's lock is what keeps two from publishing at once"},
		listings(features, said.greeting()),
		has(features, "SIZE", "sizes", "SIZE", "by downloading", "have SIZE allowed: each upload and each look at a file costs a download without it"),
		{Name: "features", Value: strings.Join(features, ", ")},
	}, nil
}

func (s *Store) encryption(c *conn) fact.Fact {
	if c.data.tls == nil {
		return fact.Fact{
			Name: "encryption", Value: "none, because: " + s.config.AllowPlaintext,
			Advice: "everybody on the way can read the password and the patients' data: use ftps://",
		}
	}
	state := c.data.tls.ConnectionState()
	fact := fact.Fact{Name: "encryption", Value: fmt.Sprintf("%s TLS, %s", s.config.TLS, tls.VersionName(state.Version))}
	if c.data.resumed() {
		fact.Value += ", data connections resume the session"
	} else {
		fact.Value += ", data connections do not resume the session"
		fact.Advice = "have the server keep TLS sessions: every transfer costs a full handshake without"
	}
	return fact
}

func passive(said *transcript) fact.Fact {
	if said.has("229") {
		return fact.Fact{Name: "data connections", Value: "EPSV"}
	}
	return fact.Fact{Name: "data connections", Value: "PASV"}
}

// listings also finds a server that limits how many names it lists, and reports this only at the end of the reply.
func listings(features []string, greeting string) fact.Fact {
	fact := has(features, "MLST", "listings", "MLSD", "LIST and NLST", "")
	if strings.Contains(strings.ToLower(greeting), "pure-ftpd") {
		fact.Advice = "this server lists 10,000 names of a folder at most, which is an error here: have it started with a higher -L"
	}
	return fact
}

func has(features []string, feature, name, value, otherwise, advice string) fact.Fact {
	for _, f := range features {
		if f == feature || strings.HasPrefix(f, feature+" ") {
			return fact.Fact{Name: name, Value: value}
		}
	}
	return fact.Fact{Name: name, Value: otherwise, Advice: advice}
}

// transcript keeps a dialogue. Only the server's lines are ever read from it.
type transcript struct{ bytes.Buffer }

var (
	greeting = regexp.MustCompile(`(?m)^220[ -](.*)$`)
	features = regexp.MustCompile(`(?ms)^211-[^\n]*\n(.*?)^211 `)
)

func (t *transcript) greeting() string {
	if match := greeting.FindSubmatch(t.Bytes()); match != nil {
		return oneLine(string(bytes.TrimSpace(match[1])))
	}
	return "it did not say"
}

func (t *transcript) features() []string {
	match := features.FindSubmatch(t.Bytes())
	if match == nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(match[1])) {
		found = append(found, oneLine(strings.TrimSpace(line)))
	}
	return found
}

func (t *transcript) has(code string) bool {
	return regexp.MustCompile(`(?m)^` + code + ` `).Match(t.Bytes())
}

// Written returns what the server answers to MDTM, to the second; servers without it say so.
func (s *Store) Written(ctx context.Context, name string) (at time.Time, err error) {
	if err := exchange.CheckName(name); err != nil {
		return at, err
	}
	err = s.use(ctx, "inspect", name, func(c *conn) error {
		file, err := s.path(c, name)
		if err == nil {
			at, err = c.GetTime(file)
		}
		return err
	})
	return at, err
}
