package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/site"
)

// watch takes samples of everything that must not grow.
type watch struct {
	*site.Site
	interval time.Duration
	began    time.Time
	series   map[string][]float64
	delays   *delays
}

// newWatch samples every minute, or more often where there are few minutes.
func newWatch(s *site.Site, seconds int) *watch {
	interval := min(time.Minute, max(5*time.Second, time.Duration(seconds)*time.Second/12))
	return &watch{Site: s, interval: interval, began: time.Now(), series: map[string][]float64{}, delays: newDelays(seconds)}
}

// The series of this process and of the server; the others are the databases' catalogs.
const (
	heap        = "heap"
	goroutines  = "goroutines"
	files       = "open files"
	connections = "connections"
	spooled     = "spool files"
)

// bloating are the catalogs that temporary tables grow, if anything does.
var bloating = []string{"pg_class", "pg_attribute", "pg_type", "pg_depend"}

// sample measures while no run is under way, and prints a line for this process and one for each
// database.
func (w *watch) sample(ctx context.Context, out io.Writer, batches int64) error {
	for name, count := range map[string]func(context.Context) (float64, error){
		heap: heapAfterCollection, goroutines: countGoroutines, files: openFiles, connections: w.countConnections, spooled: w.spoolFiles,
	} {
		n, err := count(ctx)
		if err != nil {
			return err
		}
		w.series[name] = append(w.series[name], n)
	}
	delays, err := w.delays.collect(ctx, w.Site)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%6s  heap %.1f MiB  goroutines %.0f  open files %.0f  connections %.0f  spool files %.0f  batches %d  visible after %s\n",
		time.Since(w.began).Round(time.Second), w.last(heap)/mib, w.last(goroutines), w.last(files), w.last(connections), w.last(spooled), batches, delays)
	for _, name := range site.Services() {
		text, err := w.catalogs(ctx, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "        %-12s %s\n", name, text)
	}
	return nil
}

const mib = 1 << 20

func (w *watch) last(name string) float64 {
	series := w.series[name]
	return series[len(series)-1]
}

func heapAfterCollection(context.Context) (float64, error) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one's finalizers may have freed more
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), nil
}

func countGoroutines(context.Context) (float64, error) { return float64(runtime.NumGoroutine()), nil }

func openFiles(context.Context) (float64, error) {
	open, err := os.ReadDir("/proc/self/fd")
	return float64(len(open)), err
}

// countConnections counts this process's, and those of anybody else, to the services' databases.
func (w *watch) countConnections(ctx context.Context) (n float64, err error) {
	err = w.ask(ctx, "postgres", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname <> 'postgres' AND backend_type = 'client backend'`).Scan(&n)
	})
	return n, err
}

// ask calls do with a connection of the superuser's.
func (w *watch) ask(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, w.Services[site.Patients].Server.SuperURL(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return do(conn)
}

func (w *watch) spoolFiles(context.Context) (n float64, err error) {
	for _, service := range site.Services() {
		err := filepath.WalkDir(w.Spool(service), func(path string, _ fs.DirEntry, err error) error {
			if path != w.Spool(service) {
				n++
			}
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// catalogs measures a database's system catalogs with their indexes: all of them, and those that
// bloat first.
func (w *watch) catalogs(ctx context.Context, database string) (text string, err error) {
	err = w.ask(ctx, database, func(conn *pgx.Conn) error {
		var all int64
		err := conn.QueryRow(ctx, `SELECT sum(pg_total_relation_size(oid)) FROM pg_class
			WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' AND NOT relisshared`).Scan(&all)
		if err != nil {
			return err
		}
		w.add(database+" catalogs", all)
		text = fmt.Sprintf("catalogs %.1f MiB:", float64(all)/mib)
		for _, catalog := range bloating {
			var rows, dead, bytes int64
			if err := conn.QueryRow(ctx, `SELECT n_live_tup, n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_sys_tables
				WHERE relid = $1::text::regclass`, catalog).Scan(&rows, &dead, &bytes); err != nil {
				return err
			}
			w.add(database+" "+catalog, bytes)
			text += fmt.Sprintf("  %s %d rows, %d dead, %.1f MiB", catalog, rows, dead, float64(bytes)/mib)
		}
		return nil
	})
	return text, err
}

func (w *watch) add(name string, n int64) { w.series[name] = append(w.series[name], float64(n)) }
