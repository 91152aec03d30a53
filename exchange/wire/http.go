package wire

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
)

// HTTP is what stores have in common that speak HTTP.
type HTTP struct {
	Transport *http.Transport
	closed    atomic.Bool
}

// Close closes idle connections. Later calls fail; running ones continue.
func (h *HTTP) Close() error {
	h.closed.Store(true)
	h.Transport.CloseIdleConnections()
	return nil
}

// Ready returns the reason why a call can't begin.
func (h *HTTP) Ready(ctx context.Context) error {
	if h.closed.Load() {
		return errors.New("the store is closed")
	}
	return ctx.Err()
}

// Body is the body of an HTTP answer, which must have the length that the server announced: a transfer that breaks off is an
// error.
type Body struct {
	io.ReadCloser
	Context context.Context // of the call
	Length  int64           // -1: unknown
	Failed  func(error) error
	read    int64
}

func (b *Body) Read(p []byte) (int, error) {
	if err := b.Context.Err(); err != nil {
		return 0, b.Failed(err)
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	if errors.Is(err, io.EOF) && b.Length >= 0 && b.read != b.Length {
		err = fmt.Errorf("%d of %d bytes came: %w", b.read, b.Length, io.ErrUnexpectedEOF)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // an error that wraps io.EOF is a failure
		err = b.Failed(err)
	}
	return n, err
}

// Roots returns the system's certificates and those of a file in PEM; nil, which means the system's, for "".
func Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // what TLS takes for the system's
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err == nil && !roots.AppendCertsFromPEM(data) {
		err = fmt.Errorf("%s holds no certificates in PEM", file)
	}
	return roots, err
}

// IsLoopback reports whether a host is this machine.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
