package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// opening loads deaths into a morgue that is empty, and then more of them next to the cases that are there.
func (s *site) opening(ctx context.Context, t *table) error {
	first, err := s.casesPerSecond(ctx)
	if err != nil {
		return err
	}
	bare, err := s.bareCases(ctx)
	if err != nil {
		return err
	}
	if err := s.die(ctx, s.patients/50); err != nil {
		return err
	}
	if _, err := s.export(ctx); err != nil {
		return err
	}
	further, err := s.casesPerSecond(ctx)
	if err != nil {
		return err
	}
	t.figure("morgue, a case for each death", "cases/s", atLeast(20_000), first)
	t.ratio("morgue, a case for each death", "INSERT … SELECT of the cases", goal{}, first/bare)
	t.ratio("morgue, more deaths next to these cases", "the first load's rate", atLeast(0.9), further/first)
	return nil
}

func (s *site) casesPerSecond(ctx context.Context) (float64, error) {
	var done loaded
	took, err := s.timed(ctx, func(ctx context.Context) (err error) { done, err = s.load(ctx, "morgue"); return err })
	return float64(done.rows) / took.Seconds(), err
}

// bareCases inserts the morgue's cases into a table like theirs and returns how many a second.
func (s *site) bareCases(ctx context.Context) (float64, error) {
	conn := s.conn["morgue"]
	var columns string
	if err := conn.QueryRow(ctx, `SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'morgue.case_file'::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''`).Scan(&columns); err != nil {
		return 0, err
	}
	if _, err := conn.Exec(ctx, `CREATE TABLE morgue.bare (LIKE morgue.case_file INCLUDING ALL)`); err != nil {
		return 0, err
	}
	var rows int64
	took, err := s.timed(ctx, func(ctx context.Context) error {
		tag, err := conn.Exec(ctx, fmt.Sprintf(`INSERT INTO morgue.bare (%[1]s) SELECT %[1]s FROM morgue.case_file`, columns))
		rows = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, err
	}
	_, err = conn.Exec(ctx, `DROP TABLE morgue.bare`)
	return float64(rows) / took.Seconds(), err
}

// trickling loads one death at a time, before and after PostgreSQL has statistics of what is known.
func (s *site) trickling(ctx context.Context, t *table) error {
	for _, statistics := range []string{"without", "with fresh"} {
		for _, consumer := range []string{"morgue", "mirror"} {
			if statistics != "without" {
				if _, err := s.conn[consumer].Exec(ctx, "ANALYZE"); err != nil {
					return err
				}
			}
			took, err := s.oneDeath(ctx, consumer)
			if err != nil {
				return err
			}
			t.figure(fmt.Sprintf("%s, one death, %s statistics", consumer, statistics), "ms", atMost(20), took.Seconds()*1000)
		}
	}
	return nil
}

// oneDeath returns how long a batch of one death takes.
func (s *site) oneDeath(ctx context.Context, consumer string) (time.Duration, error) {
	if err := s.die(ctx, 1); err != nil {
		return 0, err
	}
	if _, err := s.export(ctx); err != nil {
		return 0, err
	}
	done, err := s.load(ctx, consumer)
	return done.last, err
}

// die lets so many of the living die, in one transaction.
func (s *site) die(ctx context.Context, n int) error {
	_, err := s.conn[patients].Exec(ctx, `UPDATE patients.patient
		SET death_status = 'informal', death_earliest = date_trunc('minute', now()), death_latest = date_trunc('minute', now()) + interval '1 min', death_precision = 'minute'
		WHERE id IN (SELECT id FROM patients.patient WHERE death_status = 'none' LIMIT $1)`, n)
	return err
}

// withoutVacuum keeps PostgreSQL from taking statistics of a consumer's tables by itself.
func withoutVacuum(ctx context.Context, conn *pgx.Conn, schema string) error {
	_, err := conn.Exec(ctx, fmt.Sprintf(`DO $$ DECLARE t regclass; BEGIN
		FOR t IN SELECT c.oid FROM pg_class c WHERE c.relnamespace = '%s'::regnamespace AND c.relkind = 'r' LOOP
			EXECUTE format('ALTER TABLE %%s SET (autovacuum_enabled = off)', t);
		END LOOP; END $$`, schema))
	return err
}
