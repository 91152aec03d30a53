package oracle_test

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	. "waybill/lab/oracle"
)

// opened is a transaction that is not committed yet.
type opened struct {
	conn   *pgx.Conn
	change change
	number int
	holds  []Patient // whose records it has locked
}

// leaveOpen begins a transaction that makes a change, on a connection of its own.
func (w *world) leaveOpen(p Patient, c change) {
	w.Helper()
	w.said("w.leaveOpen(%d, %s)", p, c.said)
	conn, err := pgx.ConnectConfig(w.ctx, w.conns["patients"].Config().Copy())
	if err != nil {
		w.Fatal(err)
	}
	w.open = &opened{conn: conn, change: c, number: w.registry.Begin()}
	for _, q := range w.registry.Patients() {
		if w.registry.Survivor(q) == w.registry.Survivor(p) {
			w.open.holds = append(w.open.holds, q)
		}
	}
	w.inOpen(`BEGIN`)
	c.sql(w.inOpen)
}

func (w *world) inOpen(sql string, args ...any) {
	w.Helper()
	if _, err := w.open.conn.Exec(w.ctx, sql, args...); err != nil {
		w.Fatalf("%s: %v", sql, err)
	}
}

// locked reports whether an open transaction keeps others from changing a patient.
func (w *world) locked(p Patient) bool { return w.open != nil && slices.Contains(w.open.holds, p) }

// commitOpen ends the open transaction, if there is one.
func (w *world) commitOpen() {
	w.Helper()
	if w.open == nil {
		return
	}
	w.said("w.commitOpen()")
	if strings.HasPrefix(w.open.change.said, "erase") {
		w.erasing(w.open.holds[0])
	}
	w.inOpen(`COMMIT`)
	w.open.conn.Close(w.ctx)
	w.registry.Resume(w.open.number)
	w.open.change.model(w.registry)
	w.registry.Commit()
	w.open = nil
	w.witness.look(w.registry, w.now)
	w.agreeOnEvents()
}
