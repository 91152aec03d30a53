package chronicle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/exchange"
	"waybill/schemas"
)

// Watcher keeps the files that it sees on a store.
type Watcher struct {
	Sightings []Sighting
	seen      map[string]bool
}

// Look keeps new files. The last look reads every file again, to notice changes.
func (w *Watcher) Look(ctx context.Context, store exchange.ReadStore, last bool) error {
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	for _, top := range []string{"log", "receipts"} {
		if err := w.look(ctx, store, top, last); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watcher) look(ctx context.Context, store exchange.ReadStore, folder string, again bool) error {
	var names []string
	for name, err := range store.List(ctx, folder) {
		if err != nil {
			return err
		}
		names = append(names, path.Join(folder, name)+strings.Repeat("/", strings.Count(name, "/")))
	}
	slices.Sort(names)
	for _, name := range names {
		if below, isFolder := strings.CutSuffix(name, "/"); isFolder {
			if err := w.look(ctx, store, below, again); err != nil {
				return err
			}
			continue
		}
		if w.seen[name] && !again {
			continue
		}
		if err := w.read(ctx, store, name); err != nil && !errors.Is(err, exchange.ErrNotFound) { // a receipt is deleted when the next has come
			return err
		}
	}
	return nil
}

// read keeps a file if it is whole: one that is torn is not published yet.
func (w *Watcher) read(ctx context.Context, store exchange.Getter, name string) error {
	file, err := store.Get(ctx, name)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	s := Sighting{At: time.Now(), Name: name, SHA256: schemas.Hash(data)}
	if m, err := schemas.ParseManifest(data); err == nil {
		s.Manifest = m
	} else if s.Receipt, err = schemas.ParseReceipt(data); err != nil {
		return nil
	}
	w.seen[name] = true
	w.Sightings = append(w.Sightings, s)
	return nil
}

// ReadLedger reads a consumer's ledger. The schema has the consumer's name.
func ReadLedger(ctx context.Context, conn *pgx.Conn, consumer string, events []string) (l Ledger, err error) {
	l = Ledger{Consumer: consumer, Events: events}
	if err := conn.QueryRow(ctx, fmt.Sprintf(`SELECT batch, hash FROM %s.checkpoint`, consumer)).Scan(&l.Checkpoint, &l.Hash); err != nil {
		return l, err
	}
	rows, err := conn.Query(ctx, fmt.Sprintf(`SELECT batch, rerun, hash, kind, generation, rows, quarantined, effects, passed, started_at, applied_at
		FROM %s.ledger ORDER BY batch, rerun`, consumer))
	if err != nil {
		return l, err
	}
	if l.Rows, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Row]); err != nil {
		return l, err
	}
	if rows, err = conn.Query(ctx, fmt.Sprintf(`SELECT kind, seen, at FROM %s.decision ORDER BY id`, consumer)); err != nil {
		return l, err
	}
	l.Decisions, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Decision])
	return l, err
}
