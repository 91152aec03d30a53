package hdfs

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/internal/fact"
)

// Inspect reports how the server is reached, and what its renames mean for writing.
func (s *Store) Inspect(ctx context.Context) ([]fact.Fact, error) {
	err := s.Ready(ctx)
	var facts []fact.Fact
	if err == nil {
		facts, err = s.inspect(ctx)
	}
	if err != nil {
		return nil, s.failed(ctx, "inspect", s.config.Root, err)
	}
	return facts, nil
}

func (s *Store) inspect(ctx context.Context) ([]fact.Fact, error) {
	u, err := s.url(request{op: "GETFILESTATUS", at: "/"})
	if err != nil {
		return nil, err
	}
	answer, err := s.send(ctx, http.MethodGet, u, 0, nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	server := fact.Fact{Name: "server", Value: "WebHDFS at " + u.Host + s.config.Gateway}
	if says := answer.Header.Get("Server"); says != "" {
		server.Value += ", " + says
	}
	publish, err := s.createIfAbsent(ctx)
	if err != nil {
		return nil, err
	}
	return []fact.Fact{server, {Name: "folder", Value: s.config.Root}, s.encryption(answer.TLS), s.login(), s.dataNodes(), publish}, nil
}

func (s *Store) encryption(state *tls.ConnectionState) fact.Fact {
	if state == nil {
		return fact.Fact{Name: "TLS", Value: "none", Advice: "write hdfss://: patients' data cross the network as they are"}
	}
	return fact.Fact{Name: "TLS", Value: tls.VersionName(state.Version)}
}

func (s *Store) login() fact.Fact {
	token, _ := s.secret() // it could be read a moment ago
	switch {
	case s.kerberos != nil:
		return fact.Fact{Name: "login", Value: "by Kerberos, as " + s.config.User}
	case s.config.Gateway != "":
		return fact.Fact{Name: "login", Value: "by password, as " + s.config.User}
	case token != "":
		return fact.Fact{Name: "login", Value: "by delegation token"}
	}
	return fact.Fact{
		Name: "login", Value: "by name alone, as " + s.config.User,
		Advice: "anyone who reaches the server can give this name: have the network admit nobody else, or the cluster secured",
	}
}

func (s *Store) dataNodes() fact.Fact {
	own, _, _ := net.SplitHostPort(s.config.Addr)
	return fact.Fact{Name: "redirects", Value: "to " + strings.Join(append([]string{own}, s.config.DataNodes...), ", ")}
}

func (s *Store) createIfAbsent(ctx context.Context) (fact.Fact, error) {
	found := fact.Fact{Name: "create-if-absent", Value: "native, by RENAME with renameoptions=NONE"}
	heeds, err := s.heeds(ctx, s.config.Root)
	switch {
	case errors.Is(err, fs.ErrPermission):
		found.Value = "not known: this user may not write"
	case err != nil:
		return found, err
	case !heeds:
		found.Value = "by CREATE with overwrite=false: the server ignores renameoptions"
		found.Advice = "a manifest whose upload breaks off stays torn, and its batch is published under its next name: use the NameNode's own WebHDFS if that can be reached"
	}
	return found, nil
}

// Written returns the file's time of modification.
func (s *Store) Written(ctx context.Context, name string) (at time.Time, err error) {
	if err := exchange.CheckName(name); err != nil {
		return at, err
	}
	found, err := s.status(ctx, s.at(name))
	if err != nil {
		return at, s.failed(ctx, "inspect", s.at(name), err)
	}
	return time.UnixMilli(found.ModificationTime), nil
}
