// Package mailbox is a real mail server on loopback for tests. It keeps the mails that it gets.
package mailbox

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/mail"
	"strings"
	"sync"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// Letter is a received mail.
type Letter struct {
	From, To, Subject, Body string
	Secure                  bool // it came over TLS
	User                    string
}

// Server is the mail server.
type Server struct {
	Address string // 127.0.0.1:PORT
	smtp    *smtp.Server

	mu      sync.Mutex
	letters []Letter
	// Password is required from clients, unless it is "".
	Password string
}

// Start starts a server at the address, such as 127.0.0.1:0; with STARTTLS if secure is not nil.
func Start(address, password string, secure *tls.Config) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{Address: listener.Addr().String(), Password: password}
	s.smtp = smtp.NewServer(s)
	s.smtp.Domain, s.smtp.TLSConfig, s.smtp.AllowInsecureAuth = "localhost", secure, secure == nil
	go func() { _ = s.smtp.Serve(listener) }() // until Close
	return s, nil
}

// Close ends the server.
func (s *Server) Close() error { return s.smtp.Close() }

// Letters returns the mails received since the last call.
func (s *Server) Letters() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	letters := s.letters
	s.letters = nil
	return letters
}

// NewSession implements [smtp.Backend].
func (s *Server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	return &session{server: s, letter: Letter{Secure: secure}}, nil
}

type session struct {
	server *Server
	letter Letter
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != s.server.Password {
			return errors.New("wrong password")
		}
		s.letter.User = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.server.Password != "" && s.letter.User == "" {
		return smtp.ErrAuthRequired
	}
	s.letter.From = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.letter.To = strings.TrimPrefix(s.letter.To+", "+to, ", ")
	return nil
}

func (s *session) Data(r io.Reader) error {
	message, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(message.Body)
	s.letter.Subject, s.letter.Body = message.Header.Get("Subject"), string(body)
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.letters = append(s.server.letters, s.letter)
	return err
}

func (s *session) Reset()        { s.letter = Letter{Secure: s.letter.Secure, User: s.letter.User} }
func (s *session) Logout() error { return nil }
