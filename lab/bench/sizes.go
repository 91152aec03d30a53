package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	deathsPerSize = 15   // the median of so many says something on a machine that is shared
	captured      = 1000 // events; what exceeds them is multiplied
)

// The series, by what grows in each.
const (
	known   = "events known"
	logged  = "batches in the log"
	readers = "consumers at the same time"
)

// sizes measures what one death costs export and import while the back-log, up to so many events, the log and the number of
// consumers grow. It leaves sizes.json and a chart of each series in a folder.
func sizes(ctx context.Context, events int, folder string, asJSON bool) (err error) {
	m := thisMachine(ctx)
	s, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	m.PostgreSQL, m.Events, m.Rounds = s.server.Binaries().Major, captured, deathsPerSize
	all, err := s.grow(ctx, events)
	if err != nil {
		return err
	}
	t := &table{}
	for _, one := range all {
		if one.series == known {
			one.add(t, "export of all, peak memory", "MiB", mebibytes(one.exportPeak))
			one.add(t, "import of all, peak memory", "MiB", mebibytes(one.importPeak))
		}
	}
	for i := range deathsPerSize { // of all sizes in turn, so that what else the machine does affects each
		fmt.Fprintf(os.Stderr, "death %d of %d\n", i+1, deathsPerSize)
		for _, one := range all {
			if err := one.death(ctx, t); err != nil {
				return err
			}
		}
	}
	if err := errors.Join(os.MkdirAll(folder, 0o755), t.save(filepath.Join(folder, "sizes.json"), m), drawAll(folder)); err != nil {
		return err
	}
	if asJSON {
		return t.json(os.Stdout, m)
	}
	fmt.Printf("a batch of one death; %s\n\n", m)
	return t.print(os.Stdout)
}

func (t *table) save(file string, m machine) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(t.json(f, m), f.Close())
}

// sized is a site of one size, and who imports there.
type sized struct {
	*site
	series  string
	size    int
	morgues []string

	exportPeak, importPeak int64 // of all that was known at first
}

// grow makes a site of each size, all at once, and one for all numbers of consumers.
func (s *site) grow(ctx context.Context, events int) (all []*sized, err error) {
	group, growing := errgroup.WithContext(ctx)
	add := func(series string, export string, morgues int, sizes ...int) {
		of, failed := s.another(fmt.Sprintf("%s%d", series[:5], sizes[0]))
		err = errors.Join(err, failed)
		var names []string
		for i := range morgues {
			names = append(names, fmt.Sprintf("morgue%d", i+1))
		}
		for i, size := range sizes {
			one := &sized{site: of, series: series, size: size, morgues: names}
			if i == 0 {
				group.Go(func() error { return one.fill(growing, export, names) })
			}
			if series == readers {
				one.morgues = names[:size]
			}
			all = append(all, one)
		}
	}
	for size := 10_000; size < events; size *= 10 {
		add(known, "export: {}", 1, size)
	}
	add(known, "export: {}", 1, events)
	for _, size := range []int{100, 1000, 10_000} {
		add(logged, "export: {batch_events: 1}", 1, size)
	}
	add(readers, "export: {}", 8, 1, 2, 4, 8)
	return all, errors.Join(err, group.Wait())
}

// fill has a patients service capture a thousand events, and add those of its size. Morgues load them.
func (of *sized) fill(ctx context.Context, export string, morgues []string) error {
	s := of.site
	if err := s.party(ctx, patients, export); err != nil {
		return err
	}
	for _, morgue := range morgues {
		if err := s.party(ctx, morgue, "import: {consumer: morgue, brake: off}"); err != nil {
			return err
		}
	}
	if _, err := s.conn[patients].Exec(ctx, `INSERT INTO patients.patient (family_name, birth_date) SELECT 'Test', '1950-01-01' FROM generate_series(1, $1)`,
		captured-captured/7); err != nil {
		return err
	}
	if err := errors.Join(s.die(ctx, captured/7), s.smallExport(ctx)); err != nil {
		return err
	}
	var err error
	switch of.series {
	case known:
		err = s.multiply(ctx, of.size/captured-1)
	case logged:
		err = s.change(ctx, of.size)
	}
	if err != nil {
		return err
	}
	done, err := s.export(ctx)
	if err != nil {
		return err
	}
	of.exportPeak = done.peak
	if of.importPeak, err = s.loadAll(ctx, morgues); err != nil {
		return err
	}
	for _, service := range append(morgues, patients) {
		if _, err := s.conn[service].Exec(ctx, "ANALYZE"); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "made %d %s\n", of.size, of.series)
	return nil
}

// loadAll returns the middle of the importers' peaks of memory.
func (s *site) loadAll(ctx context.Context, consumers []string) (peak int64, err error) {
	peaks := make([]int64, len(consumers))
	group, ctx := errgroup.WithContext(ctx)
	for i, consumer := range consumers {
		group.Go(func() error {
			done, err := s.load(ctx, consumer)
			peaks[i] = done.peak
			return err
		})
	}
	err = group.Wait()
	return middle(peaks), err
}

// change has patients move house in transactions of their own, each of which becomes a batch.
func (s *site) change(ctx context.Context, batches int) error {
	_, err := s.conn[patients].Exec(ctx, fmt.Sprintf(`DO $$
		DECLARE somebody uuid := (SELECT id FROM patients.patient WHERE death_status = 'none' LIMIT 1);
		BEGIN FOR i IN 1..%d LOOP
			UPDATE patients.patient SET address_line = i WHERE id = somebody;
			COMMIT;
		END LOOP; END $$`, batches))
	return err
}

// multiply adds patients whose histories are those of the captured ones, so many times. Triggers would take longer than all the rest.
func (s *site) multiply(ctx context.Context, times int) error {
	_, err := s.conn[patients].Exec(ctx, fmt.Sprintf(`DO $$
		DECLARE
			enabling text[] := ARRAY(SELECT format('ALTER TABLE patients.patient ENABLE %%s TRIGGER %%I', CASE tgenabled WHEN 'A' THEN 'ALWAYS' END, tgname)
				FROM pg_trigger WHERE tgrelid = 'patients.patient'::regclass AND NOT tgisinternal);
			enable text;
			state text := 'death_status, death_earliest, death_latest, death_precision, family_name, birth_date';
			event text := 'event, baseline, version, recorded_at, death_no, identifiers, ' || state;
			captured text := '(SELECT * FROM patients.outbox ORDER BY position LIMIT %d) o, generate_series(1, %d) i';
		BEGIN
			ALTER TABLE patients.patient DISABLE TRIGGER USER;
			EXECUTE format('INSERT INTO patients.patient (id, %%1$s) SELECT DISTINCT ON (i, patient_id) md5(patient_id::text || i)::uuid, %%1$s FROM %%2$s
				ORDER BY i, patient_id, version DESC', state, captured);
			EXECUTE format('INSERT INTO patients.outbox (patient_id, %%1$s) SELECT md5(patient_id::text || i)::uuid, %%1$s FROM %%2$s ORDER BY i, position', event, captured);
			FOREACH enable IN ARRAY enabling LOOP EXECUTE enable; END LOOP;
		END $$`, captured, times))
	return err
}

// death has a patient die, and measures the commands that bring it to the consumers.
func (of *sized) death(ctx context.Context, t *table) error {
	if err := of.die(ctx, 1); err != nil {
		return err
	}
	measure := func(line string, by int, command func() (peak int64, err error)) error {
		processor, began := processorTime(), time.Now()
		peak, err := command()
		took, spent := time.Since(began), processorTime()-processor
		for _, figure := range []struct {
			line, unit string
			value      float64
		}{
			{line, "ms", milliseconds(took)},
			{line + ", processor time", "ms", milliseconds(spent) / float64(by)},
			{line + ", peak memory", "MiB", mebibytes(peak)},
		} {
			of.add(t, figure.line, figure.unit, figure.value)
		}
		return err
	}
	return errors.Join(
		measure("export", 1, func() (int64, error) {
			done, err := of.export(ctx)
			return done.peak, err
		}),
		measure("import", len(of.morgues), func() (int64, error) { return of.loadAll(ctx, of.morgues) }))
}

func (of *sized) add(t *table, line, unit string, value float64) {
	t.add(row{What: fmt.Sprintf("%s, %d %s", line, of.size, of.series), Unit: unit, Series: of.series, Line: line, Size: of.size}, value)
}

func mebibytes(n int64) float64 { return float64(n) / mebibyte }
