package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange/store"
	"waybill/exporter"
	"waybill/importer"
	"waybill/lab/audit"
	"waybill/lab/site"
)

// world is a site whose exporter and importers run in this process.
type world struct {
	*site.Site
	conn     map[string]*pgx.Conn
	exporter *exporter.Exporter
	importer map[string]*importer.Importer
	before   audit.Memory
	place    *store.Place
}

// openWorld sets the brake high enough for a day's deaths, but too low for a flood.
func openWorld(ctx context.Context, opt options) (_ *world, err error) {
	w := &world{conn: map[string]*pgx.Conn{}, importer: map[string]*importer.Importer{}}
	if w.Site, err = site.Open(ctx, site.Options{Name: "demo", Store: opt.store, Secure: opt.secure, ActWithin: opt.actWithin, Brake: opt.brake()}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	for _, name := range site.Services() {
		if w.conn[name], err = w.Services[name].Connect(ctx); err != nil {
			return nil, err
		}
	}
	if w.place, err = w.Place(); err != nil {
		return nil, err
	}
	if w.exporter, err = w.Exporter(w.place); err != nil {
		return nil, err
	}
	for _, name := range site.Consumers() {
		if w.importer[name], err = w.Importer(name, w.place); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// verify compares the consequences with the source.
func (w *world) verify(ctx context.Context, r *report) (*audit.Findings, error) {
	findings, err := audit.Run(ctx, audit.Databases{Patients: w.conn["patients"], Morgue: w.conn["morgue"], Appointments: w.conn["appointments"]},
		audit.Options{ActWithin: w.ActWithin, Before: w.before, Now: time.Now()})
	if err != nil || !w.Secure {
		return findings, err
	}
	store, err := audit.Secret(ctx, w.conn["patients"], w.StoreFolder())
	r.note("signed and sealed: looked for %d names, dates of birth, addresses and identifiers in %d files of the store, and found %d",
		store.Words, store.Files, len(store.Found))
	findings.Wrong = append(findings.Wrong, store.Found...)
	return findings, err
}

// exchangeAll does what cron does: one export, then one import per consumer.
func (w *world) exchangeAll(ctx context.Context, r *report) error {
	if err := w.export(ctx, r); err != nil {
		return err
	}
	for _, name := range site.Consumers() {
		summary, err := w.importer[name].Run(ctx, importer.Options{})
		if err != nil {
			return err
		}
		r.imported(summary)
	}
	return nil
}

func (w *world) export(ctx context.Context, r *report) error {
	summary, err := w.exporter.Run(ctx)
	if err != nil {
		return err
	}
	r.exported(summary)
	return nil
}

// observeAll is an exchange while the consumers' mode is observe.
func (w *world) observeAll(ctx context.Context, r *report) error {
	if err := w.export(ctx, r); err != nil {
		return err
	}
	for _, name := range site.Consumers() {
		observer, err := w.Observer(name, w.place)
		if err != nil {
			return err
		}
		if _, err := observer.Run(ctx, importer.Options{}); err != nil {
			return err
		}
	}
	return nil
}

// close removes everything that the demonstration made.
func (w *world) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, conn := range w.conn {
		if conn != nil {
			_ = conn.Close(ctx)
		}
	}
	return w.Close()
}

// keep says what to type in another terminal, and waits until the demonstration is interrupted.
func (w *world) keep(ctx context.Context, out io.Writer) error {
	folder, err := os.Getwd()
	if err == nil {
		err = w.GiveAccess(folder)
	}
	if err != nil {
		return err
	}
	defer os.Remove(filepath.Join(folder, site.EnvironmentFile))
	fmt.Fprintf(out, "\nkept running until interrupted. In another terminal, in this folder, a death and its retraction:\n\n%s\n", site.Tutorial)
	fmt.Fprintln(out, "Then look round: waybill status, waybill batches, waybill verify, waybill doctor, waybill help")
	<-ctx.Done()
	return nil
}
