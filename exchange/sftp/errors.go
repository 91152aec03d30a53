package sftp

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"waybill/exchange"
	"waybill/internal/fault"
)

var errNoRoot = errors.New("the folder that the exchange's root lies in is not there")

var errNoRename = errors.New("the account may not rename files")

// failed names the place, so that the operator can check it, and adds the next step.
func (s *Store) failed(op, name string, err error) error {
	class, hint := fault.Transient, ""
	switch {
	case errors.Is(err, exchange.ErrNotFound), errors.Is(err, exchange.ErrExists):
	case isClassified(err):
		class = fault.ClassOf(err)
	case errors.Is(err, os.ErrPermission):
		class = fault.Usage
		hint = fmt.Sprintf("have the server's operator let %s read (the producer: write) %s", s.cfg.User, s.place(""))
	case errors.Is(err, errNoRename):
		class = fault.Usage
		hint = "have the server's operator let " + s.cfg.User + " rename files in " + s.place("")
	case errors.Is(err, errNoRoot):
		class = fault.Usage
		hint = "have the server's operator make " + path.Dir(s.place("")) + ", or correct the store's URL"
	case isFailure(err) && op != "get" && op != "list":
		hint = "the server gives no reason; a full disk or quota is the usual one"
	}
	return fault.New(class, op, s.place(name), err, hint)
}

func isClassified(err error) bool {
	_, ok := errors.AsType[*fault.Error](err)
	return ok
}

// isFailure reports the general code that servers send if no other fits.
func isFailure(err error) bool {
	status, ok := errors.AsType[*sftp.StatusError](err)
	return ok && status.FxCode() == sftp.ErrSSHFxFailure
}

// isLost says that a connection broke, or can no longer be relied on: every other error is a
// server's answer.
func isLost(err error) bool {
	return errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.Is(err, sftp.ErrInternalInconsistency) || errors.Is(err, errTooLong) || isNetwork(err)
}

func isNetwork(err error) bool {
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// refused explains why a login failed. If the server's key was accepted, only the login can have
// failed.
func (s *Store) refused(err error, guard *hostKeyGuard, login *login) error {
	if own, ok := errors.AsType[*fault.Error](err); ok {
		return own
	}
	if odd, ok := errors.AsType[*ssh.AlgorithmNegotiationError](err); ok {
		if odd.What == "host key" && guard.algorithms() != nil {
			return guard.changed(odd)
		}
		return fault.New(fault.Usage, "connect to", s.cfg.Addr, err, "have the server's operator allow an algorithm that is not outdated")
	}
	if guard.accepted == nil || isNetwork(err) {
		return fault.New(fault.Transient, "connect to", s.cfg.Addr, err, "")
	}
	tried := cmp.Or(strings.Join(login.offered, ", "), "nothing, since the server takes nothing that is configured")
	return fault.New(fault.Usage, "log in to", s.cfg.Addr, err,
		fmt.Sprintf("tried as user %s: %s; check user and secrets, and have the server's operator check the account", s.cfg.User, tried))
}
