package ftp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path"
	"regexp"
	"strings"
	"syscall"
	"unicode"

	"waybill/exchange"
	"waybill/internal/fault"
)

// advice is an error with a known next step.
type advice struct {
	error
	class fault.Class
	hint  string
}

func (a advice) Unwrap() error { return a.error }

func refused(err error, hint string) error { return advice{err, fault.Usage, hint} }

func unreadable(err error) error {
	return refused(err, "let the account read the store's files and enter its folders")
}

func unwritable(err error) error {
	return refused(err, "let the account upload there, also under names that begin with a dot")
}

func unseen(err error) error {
	return refused(fmt.Errorf("the size of what was uploaded: %w", err), "let the account see what it has uploaded")
}

func unrenamable(err error) error {
	return refused(fmt.Errorf("rename: %w", err), "let the account rename files, or add ?direct to the store's URL")
}

func unmakable(folder string, err error) error {
	return refused(fmt.Errorf("make folder %s: %w", folder, err),
		"let the account make folders, or make this one, or add ?flat to the store's URL")
}

func noHomeFolder(folder string) error {
	return refused(fmt.Errorf("there is no folder %s", folder), "have it made on the server, or correct the store's URL")
}

func undeletable(err error) error { return refused(err, "let the account delete files") }

const (
	caHint    = "name a file with the certificate of the authority that issued the server's"
	loginHint = "check the user and the password, and that the account may log in with this kind of TLS"
	fullHint  = "wait, or lower the store's connections, or have the server admit more connections"
	roomHint  = "make room on the server, or raise the account's quota"
	dataHint  = "have firewalls let the server's passive ports through"
	kindHint  = "choose the kind of TLS that the server speaks: explicit (AUTH TLS, usually port 21) or implicit (usually port 990)"
)

// replyOf returns the server's answer, if there is one.
func replyOf(err error) (*textproto.Error, bool) { return errors.AsType[*textproto.Error](err) }

func code(err error) int {
	if reply, ok := replyOf(err); ok {
		return reply.Code
	}
	return 0
}

// isRefusal reports that the server refuses this file or folder: missing, not allowed, or both. 551 is meant for pages; some
// answer it to RETR.
func isRefusal(err error) bool { return code(err) == 550 || code(err) == 551 || code(err) == 553 }

// isUnknown reports a command that the server does not have.
func isUnknown(err error) bool {
	return code(err) == 500 || code(err) == 502 || code(err) == 504
}

var full = regexp.MustCompile(`(?i)too many|maximum`)

// isFull reports that the server accepts no more connections for now. Some answer 530, as for a
// wrong password.
func isFull(err error) bool {
	reply, ok := replyOf(err)
	return ok && (reply.Code == 421 || reply.Code == 530 && full.MatchString(reply.Msg))
}

// completed accepts the 250 with which some servers end a transfer: it is allowed, but the library
// knows only 226.
func completed(err error) error {
	if reply, ok := replyOf(err); ok && reply.Code == 250 && err.Error() == reply.Error() {
		return nil
	}
	return err
}

// welcomeFault explains why the server refused the connection.
func welcomeFault(err error) error {
	if code(err) >= 500 && !isFull(err) {
		return refused(err, kindHint)
	}
	return err
}

// loginFault explains a failed login. The library drops the code of some refusals, so an error that
// is not of the connection counts as one. A server may repeat the password.
func loginFault(err error, password string) error {
	if code(err) == 0 && isOfConnection(err) {
		return err
	}
	const noSuchUser = 430 // permanent, although codes of 400 are temporary
	failure := advice{err, fault.Usage, loginHint}
	switch {
	case isFull(err), code(err) == 0 && full.MatchString(err.Error()):
		failure.class, failure.hint = fault.Transient, fullHint
	case code(err)/100 == 4 && code(err) != noSuchUser:
		failure.class, failure.hint = fault.Transient, ""
	}
	if password != "" && strings.Contains(err.Error(), password) {
		failure.error = errors.New(strings.ReplaceAll(err.Error(), password, "***"))
	}
	return failure
}

// isOfConnection reports an error that the network or TLS made.
func isOfConnection(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || tlsHint(err) != ""
}

// failed names the operation and the file, and classes the error.
func (s *Store) failed(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	class, hint := judge(err)
	return fault.New(class, op, s.place(name), printable{err}, hint)
}

func (s *Store) place(name string) string {
	scheme := "ftps"
	if s.config.TLS == None {
		scheme = "ftp"
	}
	return scheme + "://" + s.config.Addr + path.Join("/", s.config.Root, name)
}

func judge(err error) (fault.Class, string) {
	if errors.Is(err, exchange.ErrNotFound) || errors.Is(err, exchange.ErrExists) {
		return fault.Transient, ""
	}
	if a, ok := errors.AsType[advice](err); ok {
		return a.class, a.hint
	}
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Class, f.Hint
	}
	if isCut(err) {
		return fault.Transient, ""
	}
	if hint := tlsHint(err); hint != "" {
		return fault.Usage, hint
	}
	switch code(err) {
	case 421:
		return fault.Transient, fullHint
	case 425:
		return fault.Transient, dataHint
	case 452, 552:
		return fault.Transient, roomHint
	case 530:
		if isFull(err) {
			return fault.Transient, fullHint
		}
		return fault.Usage, loginHint
	case 521, 522, 533, 534, 535, 536, 537:
		return fault.Usage, "see what the server demands of TLS"
	case 500, 501, 502, 503, 504, 550, 551, 553:
		return fault.Usage, "let the account do this, on a server that can"
	}
	return fault.Transient, ""
}

// isCut reports a connection that broke. TLS's error about the unfinished record is then meaningless.
func isCut(err error) bool {
	for _, cut := range []error{syscall.ECONNRESET, syscall.EPIPE, os.ErrDeadlineExceeded, net.ErrClosed} {
		if errors.Is(err, cut) {
			return true
		}
	}
	return false
}

// tlsHint returns what to do about a failed handshake, "" for other errors.
func tlsHint(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		if _, ok := errors.AsType[x509.HostnameError](err); ok {
			return "connect to a host name that the server's certificate holds, or have one issued for this name"
		}
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
			return caHint
		}
		return "have the server's certificate renewed"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return kindHint
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return "have the server offer TLS 1.2 and ask for no client certificate"
	}
	return ""
}

// printable shows an error whose text came from a server as one short line.
type printable struct{ error }

func (p printable) Unwrap() error { return p.error }

func (p printable) Error() string { return oneLine(p.error.Error()) }

// oneLine makes a server's text safe for a terminal.
func oneLine(text string) string {
	const most = 300
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		default:
			return r
		}
	}, text)
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
