package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"waybill/lab/hospital"
	"waybill/lab/site"
)

type yearOptions struct {
	batches  int
	patients int
	changes  int
}

func yearFlags(flags *flag.FlagSet) *yearOptions {
	var opt yearOptions
	flags.IntVar(&opt.batches, "batches", 8760, "how many: one an hour makes 8760")
	flags.IntVar(&opt.patients, "patients", 5000, "patients to begin with")
	flags.IntVar(&opt.changes, "changes", 10, "patients that change before each batch; every hundredth of them dies")
	return &opt
}

// year plays a year of batches without the time between them, and prints what has piled up.
func year(ctx context.Context, opt yearOptions) (err error) {
	s, err := site.Open(ctx, site.Options{Name: "year", Store: "directory", Brake: opt.patients, ActWithin: 30 * 24 * time.Hour})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	e := &endurance{Site: s}
	if e.place, err = s.Place(); err != nil {
		return err
	}
	j := judge{Site: s}
	if err := j.fill(ctx, hospital.Options{Seed: 1, Now: time.Now(), Patients: opt.patients}); err != nil {
		return err
	}
	began := time.Now()
	if err := e.playYear(ctx, opt); err != nil {
		return err
	}
	fmt.Printf("%d batches, %d patients, %d changes before each, in %s\n\n", e.batches, opt.patients, opt.changes, time.Since(began).Round(time.Second))
	return errors.Join(e.piledUp(ctx), j.once(ctx, e.place), j.reconcile(ctx, e.place))
}

// playYear makes the batches, with a snapshot each week.
func (e *endurance) playYear(ctx context.Context, opt yearOptions) error {
	parties, err := e.parties()
	if err != nil {
		return err
	}
	x, err := e.Exporter(e.place)
	if err != nil {
		return err
	}
	conn, err := e.Services[site.Patients].Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for n := range opt.batches {
		if _, err := conn.Exec(ctx, changeSome, n, opt.changes, opt.patients); err != nil {
			return err
		}
		if err := parties[0](ctx); err != nil {
			return err
		}
		if (n+1)%(opt.batches/52+1) == 0 {
			if _, err := x.Snapshot(ctx); err != nil {
				return err
			}
		}
		consumers, ctx := errgroup.WithContext(ctx)
		for _, run := range parties[1:] {
			consumers.Go(func() error { return run(ctx) })
		}
		if err := consumers.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// changeSome changes patients that live, another few each time.
const changeSome = `
	UPDATE patients.patient SET given_name = 'Given ' || $1::integer, death_status = CASE WHEN ($1::integer * $2::integer + n) % 100 = 0 THEN 'formal' ELSE death_status END
	FROM (SELECT id AS chosen, row_number() OVER () AS n FROM (
		SELECT id FROM patients.patient WHERE death_status = 'none'
		ORDER BY id OFFSET ($1::integer * $2::integer) % ($3::integer / 2) LIMIT $2) living) these
	WHERE id = chosen`

// piledUp prints the store's folders and the databases' tables of more than a page.
func (e *endurance) piledUp(ctx context.Context) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "WHERE\tWHAT\tFILES OR ROWS\tMIB")
	if err := folders(t, filepath.Join(strings.TrimPrefix(e.Exchange.URL, "file://"), "patient-events")); err != nil {
		return err
	}
	for _, service := range site.Services() {
		if err := e.tables(ctx, t, service); err != nil {
			return err
		}
	}
	return t.Flush()
}

// folders counts the files below each folder, as they take space in blocks of 4 KiB.
func folders(out *tabwriter.Writer, root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		files, blocks := 0, int64(0)
		err := filepath.WalkDir(filepath.Join(root, entry.Name()), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err == nil {
				files, blocks = files+1, blocks+(info.Size()+4095)/4096
			}
			return err
		})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "store\t%s\t%d\t%.1f\n", entry.Name(), files, float64(blocks)*4096/mib)
	}
	return nil
}

func (e *endurance) tables(ctx context.Context, out *tabwriter.Writer, service string) error {
	conn, err := e.Services[service].Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	type table struct {
		Name string
		Rows int64
		Size int64
	}
	rows, err := conn.Query(ctx, `
		SELECT name, (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || name, false, true, '')))[1]::text::bigint, size
		FROM (SELECT oid::regclass::text AS name, pg_total_relation_size(oid) AS size FROM pg_class
			WHERE relkind = 'r' AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'jobs')) tables
		WHERE size > 256 * 1024 ORDER BY name`)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	for _, t := range found {
		fmt.Fprintf(out, "%s\t%s\t%d\t%.1f\n", service, t.Name, t.Rows, float64(t.Size)/mib)
	}
	return err
}
