package hdfs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

const (
	maxAnswer  = 64 << 20 // a listing of 200,000 files
	maxRefusal = 64 << 10
)

// request is one operation of WebHDFS.
type request struct {
	method, op, at string
	options        url.Values
}

// url returns the address at the NameNode. It can hold a token, so that no error may repeat it.
func (s *Store) url(r request) (*url.URL, error) {
	query := url.Values{"op": {r.op}}
	for name, values := range r.options {
		query[name] = values
	}
	u := &url.URL{Scheme: "http", Host: s.config.Addr, Path: path.Join(s.config.Gateway, "/webhdfs/v1", r.at)}
	if s.config.TLS {
		u.Scheme = "https"
	}
	if s.config.Gateway == "" && s.kerberos == nil {
		if err := s.identify(query); err != nil {
			return nil, err
		}
	}
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20")
	return u, nil
}

func (s *Store) identify(query url.Values) error {
	token, err := s.secret()
	if token != "" {
		query.Set("delegation", token)
	} else if s.config.User != "" {
		query.Set("user.name", s.config.User)
	}
	return err
}

func (s *Store) secret() (string, error) {
	if s.config.Token == nil {
		return "", nil
	}
	return s.config.Token()
}

// logIn says in a request's header who asks, where that is not in its URL.
func (s *Store) logIn(r *http.Request) error {
	if s.kerberos != nil {
		return s.kerberos.identify(r)
	}
	if s.config.Gateway == "" {
		return nil
	}
	password, err := s.secret()
	r.SetBasicAuth(s.config.User, password)
	return err
}

// send sends a request with the body, which may be nil, and returns the answer if it is not a refusal.
func (s *Store) send(ctx context.Context, method string, u *url.URL, size int64, body io.Reader) (*http.Response, error) {
	if body != nil && size == 0 { // to the HTTP client that is a body of unknown length
		if _, err := io.Copy(io.Discard, body); err != nil {
			return nil, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/octet-stream")
		r.ContentLength = size
	}
	if size > 0 {
		r.Header.Set("Expect", "100-continue")
	} else {
		r.Body = nil
	}
	if u.Host == s.config.Addr {
		if err := s.logIn(r); err != nil {
			return nil, err
		}
	}
	answer, err := s.client.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok { // it repeats the URL
			err = e.Err
		}
		return nil, err
	}
	if answer.StatusCode >= http.StatusBadRequest {
		defer answer.Body.Close()
		return nil, refusalOf(answer)
	}
	return answer, nil
}

// call asks the NameNode, and decodes its answer into to; nil: it does not matter.
func (s *Store) call(ctx context.Context, r request, to any) error {
	u, err := s.url(r)
	if err != nil {
		return err
	}
	answer, err := s.send(ctx, r.method, u, 0, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return unexpected(answer)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case len(data) > maxAnswer:
		return fmt.Errorf("the server's answer has more than %d bytes", maxAnswer)
	case to == nil, len(data) == 0:
		return nil
	}
	err = json.Unmarshal(data, to)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok && e.Offset == int64(len(data)) {
		return fmt.Errorf("its answer breaks off: %w", io.ErrUnexpectedEOF)
	}
	if err != nil {
		return &foreignError{"its answer is not WebHDFS's"}
	}
	return nil
}

// locate asks the NameNode where a transfer goes. A gateway may answer it at once.
func (s *Store) locate(ctx context.Context, r request) (*url.URL, *http.Response, error) {
	u, err := s.url(r)
	if err != nil {
		return nil, nil, err
	}
	answer, err := s.send(ctx, r.method, u, 0, nil)
	if err != nil || answer.StatusCode == http.StatusOK {
		return nil, answer, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusTemporaryRedirect {
		return nil, nil, unexpected(answer)
	}
	to, err := answer.Location()
	if err != nil {
		return nil, nil, &foreignError{"it redirects to nowhere"}
	}
	return to, nil, s.mayAsk(to)
}

// mayAsk refuses to send files, and the right to read them, to a host that the configuration does not name.
func (s *Store) mayAsk(u *url.URL) error {
	own, _, _ := net.SplitHostPort(s.config.Addr)
	host := u.Hostname()
	allowed := strings.EqualFold(host, own) || slices.ContainsFunc(s.config.DataNodes, func(pattern string) bool {
		domain, any := strings.CutPrefix(pattern, "*")
		return strings.EqualFold(host, pattern) || any && strings.HasPrefix(domain, ".") && len(host) > len(domain) && strings.EqualFold(host[len(host)-len(domain):], domain)
	})
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || s.config.TLS && u.Scheme != "https":
		return &redirectError{host, "without TLS"}
	case !allowed:
		return &redirectError{host, "which the store's URL does not name"}
	}
	return nil
}
