package observe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"waybill/internal/fault"
)

// Server serves pages for as long as a command runs.
type Server struct {
	Address string // host and port

	http *http.Server
	done chan struct{}
}

// Mux returns a multiplexer that has /metrics and /healthz; more may be added while it is served.
func (m *Metrics) Mux() *http.ServeMux {
	m.WithRuntime()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return m.gatherers().Gather() }), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	return mux
}

// Serve begins to serve at address, "host:port"; without a host, on this machine alone; with TLS if secure is not nil. An
// invalid address is of class [fault.Usage]. An address in use is [fault.Transient]: most likely another run uses it.
func Serve(address string, handler http.Handler, secure *tls.Config, log *slog.Logger) (*Server, error) {
	if strings.HasPrefix(address, ":") {
		address = "localhost" + address
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fault.New(fault.Transient, "serve at", address, errors.New("the address is in use"), "give each command that may run at the same time its own")
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "serve at", address, err, "write HOST:PORT, or :PORT for this machine alone")
	}
	log.Info("serving", "address", listener.Addr().String())
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	s := &Server{
		Address: listener.Addr().String(),
		http:    &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)},
		done:    make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // until Close
	}()
	return s, nil
}

// Local reports whether only this machine reaches address.
func Local(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "" || host == "localhost" || ip != nil && ip.IsLoopback())
}

// Close ends serving. A nil server does nothing.
func (s *Server) Close() {
	if s == nil {
		return
	}
	_ = s.http.Close()
	<-s.done
}
