package oracle_test

import (
	"context"
	"errors"
	"io"
	"slices"

	"waybill/exchange"
	"waybill/exporter"
	"waybill/exporter/rerun"
	. "waybill/lab/oracle"
)

func (w *world) exporter() *exporter.Exporter { w.Helper(); return w.exporterOf(exporting{}) }

func (w *world) exporterOf(o exporting) *exporter.Exporter {
	w.Helper()
	config := exporter.Config{
		DatabaseURL: w.urls["patients"], Store: down{w.store, o.Down}, Spool: w.folder, Heartbeat: exporter.MaxHeartbeat,
	}
	if o.Cut {
		config.BatchEvents = 1
	}
	e, err := exporter.New(config)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

func (w *world) export() { w.Helper(); w.exportAs(exporting{}) }

// exporting is how an export is run.
type exporting struct {
	Cut  bool   // a batch for each transaction
	Down string // what the store doesn't take: parts or manifests
}

// down is a store that is down for parts or for manifests.
type down struct {
	exchange.Store
	what string
}

func (s down) Put(ctx context.Context, name string, size int64, body io.Reader) error {
	if s.what == "parts" {
		return errors.New("the store takes no parts")
	}
	return s.Store.Put(ctx, name, size, body)
}

func (s down) Publish(ctx context.Context, name string, data []byte) error {
	if s.what == "manifest" {
		return errors.New("the store takes no manifest")
	}
	return s.Store.Publish(ctx, name, data)
}

func (w *world) exportAs(o exporting) {
	w.Helper()
	w.said("w.exportAs(%#v)", o)
	fails := false
	if o.Down == "" {
		w.log.Export(w.registry, o.Cut)
	} else {
		fails = w.log.Fail(w.registry, o.Cut, o.Down == "parts")
	}
	if _, err := w.exporterOf(o).Run(w.ctx); (err != nil) != fails {
		w.Fatalf("the export ended with %v; a batch waits: %t", err, fails)
	}
}

func (w *world) snapshot() {
	w.Helper()
	w.said("w.snapshot()")
	w.log.Snapshot(w.registry)
	w.witness.snapshot()
	if _, err := w.exporter().Snapshot(w.ctx); err != nil {
		w.Fatal(err)
	}
}

// correct repairs an event in the outbox and has the log corrected.
func (w *world) correct(event int, family string) {
	w.Helper()
	w.commitOpen()
	w.said("w.correct(%d, %q)", event, family)
	w.export()
	e := w.registry.Outbox[event]
	w.exec("patients", `UPDATE patients.outbox SET family_name = $3 WHERE patient_id = $1 AND version = $2`, uuid(e.Patient), e.Version, family)
	w.registry.Repair(event, family)
	last := w.log.Batches[len(w.log.Batches)-1]
	first := slices.IndexFunc(w.log.Batches, func(b Batch) bool { return b.Generation == last.Generation })
	w.log.Correct(w.registry)
	if _, err := w.exporter().Rerun(w.ctx, rerun.Options{Batches: span(first, last.Number), Correct: true, Reason: "a test"}); err != nil {
		w.Fatal(err)
	}
	w.agreeOnTheLog()
}

// backUp keeps a copy of the patients service's database.
func (w *world) backUp() {
	w.Helper()
	w.commitOpen()
	w.said("w.backUp()")
	w.backup, w.backupWitness = w.registry.Clone(), w.witness.clone()
	w.conns["patients"].Close(w.ctx)
	w.backupURL = w.adopt(w.h.copy(w.urls["patients"]))
	w.connect("patients")
}

// restore continues from the backup, in a new generation.
func (w *world) restore() {
	w.Helper()
	w.commitOpen()
	w.said("w.restore()")
	w.registry, w.backup = w.backup, nil
	w.witness = w.witness.restored(w.backupWitness)
	w.conns["patients"].Close(w.ctx)
	w.urls["patients"] = w.backupURL
	w.connect("patients")
	w.newGeneration(true)
}

// newGeneration begins one, also on a database that is as it was.
func (w *world) newGeneration(restored bool) {
	w.Helper()
	w.commitOpen()
	w.said("w.newGeneration(%t)", restored)
	w.log.NewGeneration(w.registry, restored)
	w.witness.look(w.registry, w.now) // it erases the erased again
	w.witness.snapshot()
	if _, err := w.exporter().NewGeneration(w.ctx); err != nil {
		w.Fatal(err)
	}
	w.agreeOnEvents()
}
