package hdfs

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"

	"waybill/exchange"
	"waybill/internal/fault"
)

// refusal is an error that the server answered.
type refusal struct {
	status    int
	exception string // Java's name of it; "": something else than HDFS answered
	message   string
}

func (r *refusal) Error() string {
	if r.exception == "" {
		return fmt.Sprintf("answered by HTTP %d, and not by WebHDFS", r.status)
	}
	return r.exception + ": " + r.message
}

// Is compares with the errors of stores and filesystems. A name below a file is as missing as any.
func (r *refusal) Is(target error) bool {
	switch target {
	case exchange.ErrNotFound:
		return r.exception == "FileNotFoundException" || r.isBelowAFile()
	case exchange.ErrExists:
		return r.exception == "FileAlreadyExistsException"
	case fs.ErrPermission:
		return r.exception == "AccessControlException" && !r.isBelowAFile() || r.exception == "SecurityException" || r.exception == "AuthorizationException"
	}
	return false
}

func (r *refusal) isBelowAFile() bool {
	return r.exception == "ParentNotDirectoryException" || r.exception == "AccessControlException" && strings.HasSuffix(r.message, "(is not a directory)")
}

// isBeingWritten says that another has created the file and not closed it. A gateway says so by the text alone, since it
// creates all files as one client.
func isBeingWritten(err error) bool {
	r, ok := errors.AsType[*refusal](err)
	return ok && (r.exception == "AlreadyBeingCreatedException" || r.exception == "RecoveryInProgressException" || strings.HasPrefix(r.message, "Failed to CREATE_FILE "))
}

// refusalOf reads an answer. Its message is cut before Java's stack.
func refusalOf(answer *http.Response) error {
	const longest = 300
	data, _ := io.ReadAll(io.LimitReader(answer.Body, maxRefusal)) // of half an answer, the status remains
	var said struct {
		RemoteException struct{ Exception, Message string }
	}
	_ = json.Unmarshal(data, &said)
	message, _, _ := strings.Cut(said.RemoteException.Message, "\n")
	message = strings.ToValidUTF8(message[:min(len(message), longest)], "")
	return &refusal{answer.StatusCode, said.RemoteException.Exception, message}
}

func unexpected(answer *http.Response) error {
	return &foreignError{fmt.Sprintf("it answers by HTTP %d", answer.StatusCode)}
}

// foreignError is an answer that no WebHDFS gives.
type foreignError struct{ text string }

func (e *foreignError) Error() string { return e.text }

type redirectError struct{ host, why string }

func (e *redirectError) Error() string {
	return fmt.Sprintf("it redirects to %q, %s", e.host, e.why)
}

// failed turns a failure into a [fault.Error] with the next step.
func (s *Store) failed(ctx context.Context, op, at string, err error) error {
	class, hint := fault.Transient, ""
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, exchange.ErrNotFound):
		err = exchange.ErrNotFound
	case errors.Is(err, exchange.ErrExists):
		err = exchange.ErrExists
	default:
		class, hint = s.judge(err)
	}
	return fault.New(class, op, s.place(at), err, hint)
}

const portHint = "correct the host, the port (the NameNode's HTTP port: 9870, with TLS 9871; HttpFS: 14000) or the gateway, and see whether a proxy stands between"

func (s *Store) judge(err error) (fault.Class, string) {
	if own, ok := errors.AsType[*fault.Error](err); ok {
		return own.Class, own.Hint
	}
	if e, ok := errors.AsType[*redirectError](err); ok {
		return fault.Usage, "add " + e.host + " to datanodes in the store's URL if it belongs to the cluster"
	}
	if _, ok := errors.AsType[*foreignError](err); ok {
		return fault.Usage, portHint
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault.Usage, "set ca_file to the certificate of the authority that signed the server's, and name the host as the certificate does"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "HTTP response to HTTPS client") {
		return fault.Usage, "the port doesn't speak TLS: correct it, or the URL's scheme"
	}
	if r, ok := errors.AsType[*refusal](err); ok {
		return s.judgeRefusal(r)
	}
	return fault.Transient, ""
}

func (s *Store) judgeRefusal(r *refusal) (fault.Class, string) {
	switch r.exception {
	case "AccessControlException", "AuthorizationException":
		return fault.Usage, fmt.Sprintf("have the cluster's operator let this user read (the producer: write) %s", s.place(s.config.Root))
	case "SecurityException", "AuthenticationException", "InvalidToken":
		return fault.Usage, "see that the user or the delegation token is one that the cluster takes, and has not expired"
	case "IllegalArgumentException", "InvalidPathException", "UnsupportedOperationException":
		return fault.Usage, "see docs/hdfs.md for what a server must offer"
	case "StandbyException":
		return fault.Transient, "this NameNode is not the active one: name the active one, or an HttpFS in front of both"
	case "SafeModeException":
		return fault.Transient, "the cluster is in safe mode and takes no writes: it leaves by itself, or its operator ends it"
	case "NSQuotaExceededException", "DSQuotaExceededException", "QuotaExceededException":
		return fault.Transient, "the folder's quota is full: have the cluster's operator raise it, or prune"
	}
	switch {
	case r.status == http.StatusUnauthorized, r.status == http.StatusForbidden, r.status == http.StatusProxyAuthRequired:
		return fault.Usage, "see what refuses, the server (a secured cluster wants a keytab or a delegation token) or a proxy before it"
	case r.status == http.StatusNotFound && r.exception == "":
		return fault.Usage, portHint
	}
	return fault.Transient, ""
}
