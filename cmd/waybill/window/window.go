// Package window is a page for operators: each party's position, what stops it, and what to type. It is rendered
// here and loads nothing from other servers. Of patients it shows only ids, and it changes nothing.
package window

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fault"
)

// Source reads the data that the pages show.
type Source interface {
	// Look reads the state of all parties. It may take as long as their databases and stores do.
	Look(ctx context.Context) (*View, error)
	// Trace follows a patient. The events are nil if the patients service is not configured.
	Trace(ctx context.Context, patient uuid.UUID) ([]exporter.TracedEvent, []importer.Trace, error)
}

// Window serves the page.
type Window struct {
	source Source
	every  time.Duration
	flags  string
	log    *slog.Logger

	looking singleflight.Group
	mu      sync.Mutex
	begun   time.Time // the last look
	view    *View
	failure error
}

// New returns a window that looks at most once per interval, for all viewers together, and never while nobody watches.
// The commands that it shows have the flags, which name the configuration.
func New(source Source, every time.Duration, flags string, log *slog.Logger) *Window {
	return &Window{source: source, every: every, flags: flags, log: log}
}

// Pages returns the window's pages.
func (w *Window) Pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", w.secured(w.page))
	mux.Handle("GET /trace/{patient}", w.secured(w.trace))
	mux.Handle("GET /trace", w.secured(func(out http.ResponseWriter, r *http.Request) {
		http.Redirect(out, r, "/trace/"+template.URLQueryEscaper(r.FormValue("patient")), http.StatusSeeOther)
	}))
	mux.Handle("GET /live", w.secured(w.live))
	return mux
}

//go:embed page.css
var style string

//go:embed page.js
var script string

// policy lets a page use only its own style and script, and talk only to this server.
var policy = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	digest(style), digest(script))

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func (w *Window) secured(page http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy": policy, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer",
			"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			out.Header().Set(name, value)
		}
		page(out, r)
	})
}

// longest is how long a request waits for a new look if there is an earlier one to show.
const longest = 2 * time.Second

// look returns the last view, not older than the interval if the parties answer in time.
func (w *Window) look(ctx context.Context) (*View, error) {
	w.mu.Lock()
	view, failure, fresh := w.view, w.failure, time.Since(w.begun) < w.every*9/10
	w.mu.Unlock()
	if fresh {
		return view, failure
	}
	found := w.looking.DoChan("", func() (any, error) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute) // other requests wait for it, too
		defer cancel()
		view, err := w.source.Look(ctx)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.begun, w.failure = begun, err
		if err == nil {
			view.At, view.Took = begun, time.Since(begun)
			w.view = view
		}
		return w.view, err
	})
	var patience <-chan time.Time // nil, if there is no earlier view: wait as long as it takes
	if view != nil {
		patience = time.After(longest)
	}
	select {
	case r := <-found:
		v, _ := r.Val.(*View)
		return v, r.Err
	case <-patience:
		return view, failure
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (w *Window) page(out http.ResponseWriter, r *http.Request) {
	view, err := w.look(r.Context())
	p := w.newPage(view, err)
	if n, err := strconv.ParseInt(r.FormValue("batch"), 10, 64); err == nil && n >= 0 {
		p.Asked, p.Batch = true, n
	}
	w.render(out, "page", p)
}

func (w *Window) trace(out http.ResponseWriter, r *http.Request) {
	patient, err := uuid.Parse(r.PathValue("patient"))
	if err != nil {
		out.WriteHeader(http.StatusBadRequest)
		w.render(out, "trace", tracePage{Every: w.every, Failure: "The id is not a UUID; copy it whole."})
		return
	}
	events, consumers, err := w.source.Trace(r.Context(), patient)
	t := tracePage{Every: w.every, Patient: patient.String(), Unknown: events != nil && len(events) == 0, Consumers: consumers, Steps: timeline(events, consumers)}
	if err != nil {
		t.Failure = err.Error()
		if hint := fault.HintOf(err); hint != "" {
			t.Failure += "; next: " + hint
		}
	}
	w.render(out, "trace", t)
}

// live sends a message to a page each time there is a new view, until the reader leaves.
func (w *Window) live(out http.ResponseWriter, r *http.Request) {
	out.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(out)
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for message := "retry: 3000\n\n"; ; message = "data: look\n\n" {
		if _, err := fmt.Fprint(out, message); err != nil || control.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func (w *Window) render(out http.ResponseWriter, name string, page any) {
	out.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pages.ExecuteTemplate(out, name, page); err != nil {
		w.log.Debug("the page was not sent whole", "error", err)
	}
}
