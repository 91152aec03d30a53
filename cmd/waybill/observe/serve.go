package observe

import (
	"context"
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

// Server serves /metrics and /healthz for as long as a command runs.
type Server struct {
	http *http.Server
	done chan struct{}
}

// Serve begins to serve at address, "host:port"; without a host, on this machine alone. An address that can't be one is of
// class [fault.Usage]; one that is taken, [fault.Transient]: by another run, most likely.
func (m *Metrics) Serve(address string, log *slog.Logger) (*Server, error) {
	if strings.HasPrefix(address, ":") {
		address = "localhost" + address
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fault.New(fault.Transient, "serve metrics at", address, errors.New("the address is in use"), "give each command that may run at the same time its own")
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "serve metrics at", address, err, "write --metrics HOST:PORT, or :PORT for this machine alone")
	}
	m.WithRuntime()
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return m.gatherers().Gather() }), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	s := &Server{http: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		_ = s.http.Serve(listener) // until Close
	}()
	log.Info("serving metrics", "address", listener.Addr().String())
	return s, nil
}

// Close ends serving. A nil server does nothing.
func (s *Server) Close() {
	if s == nil {
		return
	}
	_ = s.http.Close()
	<-s.done
}
