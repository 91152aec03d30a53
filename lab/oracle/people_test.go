package oracle_test

import (
	"fmt"

	"github.com/jackc/pgx/v5"

	"waybill/exporter/patients"
	. "waybill/lab/oracle"
	"waybill/lab/pg/pgtest"
)

// change is a statement of the patients service's program.
type change struct {
	said  string
	model func(*Registry)
	sql   func(execute)
}

// execute runs a statement of a transaction.
type execute func(sql string, args ...any)

// commit has the patients service make these changes in one transaction.
func (w *world) commit(changes ...change) {
	w.Helper()
	text := "w.commit("
	w.registry.Begin()
	err := pgx.BeginFunc(w.ctx, w.conns["patients"], func(tx pgx.Tx) error {
		for i, c := range changes {
			if i > 0 {
				text += ", "
			}
			text += c.said
			c.model(w.registry)
			c.sql(func(sql string, args ...any) {
				w.Helper()
				if _, err := tx.Exec(w.ctx, sql, args...); err != nil {
					w.Fatalf("%s\n%s: %v", text, sql, err)
				}
			})
		}
		w.registry.Commit()
		return nil
	})
	w.said("%s)", text)
	w.witness.look(w.registry, w.now)
	if err != nil {
		w.Fatal(err)
	}
	w.agreeOnEvents()
}

// unwatched makes changes while capture is off, as a restore of data with --disable-triggers does, and has
// it repaired.
func (w *world) unwatched(changes ...change) {
	w.Helper()
	config, err := pgx.ParseConfig(w.urls["patients"])
	if err != nil {
		w.Fatal(err)
	}
	conn, err := pgx.Connect(w.ctx, pgtest.Server(w.h).SuperURL(config.Database))
	if err != nil {
		w.Fatal(err)
	}
	defer conn.Close(w.ctx)
	do := func(sql string, args ...any) {
		if _, err := conn.Exec(w.ctx, sql, args...); err != nil {
			w.Fatalf("%s: %v", sql, err)
		}
	}
	for _, table := range []string{"patient", "identifier", "alias"} {
		do(`ALTER TABLE patients.` + table + ` DISABLE TRIGGER ALL`)
	}
	for _, c := range changes {
		w.said("w.unwatched(%s)", c.said)
		c.model(w.registry)
		c.sql(do)
	}
	for _, table := range []string{"patient", "identifier", "alias"} {
		do(`ALTER TABLE patients.` + table + ` ENABLE TRIGGER ALL`) // not ALWAYS, as they were
	}
	if _, err := w.exporter().Run(w.ctx); err == nil {
		w.Fatal("it exports while capture is off")
	}
	if _, err := patients.Capture(w.ctx, w.urls["patients"], true); err != nil {
		w.Fatal(err)
	}
	w.registry.Begin()
	w.registry.Commit()
	w.witness.look(w.registry, w.now)
}

func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func uuid(p Patient) string { return id(int(p)) }

// text is NULL where the model has nothing.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func period(p Period) (from, to, precision any) {
	if p == (Period{}) {
		return nil, nil, nil
	}
	return at(p.From), at(p.To), p.Precision
}

func register(p Patient, i Identity, f Fate) change {
	return change{
		fmt.Sprintf("register(%d, %#v, %#v)", p, i, f),
		func(r *Registry) { r.Register(p, i, f) },
		func(do execute) {
			from, to, precision := period(f.Period)
			do(`INSERT INTO patients.patient (id, family_name, given_name, birth_date, address_city, death_status, death_earliest, death_latest, death_precision)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
				uuid(p), text(i.Family), text(i.Given), text(i.BirthDate), text(i.City), f.Status, from, to, precision)
			setIdentifier(do, p, i.Identifier)
		},
	}
}

func identify(p Patient, i Identity) change {
	return change{
		fmt.Sprintf("identify(%d, %#v)", p, i),
		func(r *Registry) { r.Identify(p, i) },
		func(do execute) {
			do(`UPDATE patients.patient SET family_name = $2, given_name = $3, birth_date = $4, address_city = $5 WHERE id = $1`,
				uuid(p), text(i.Family), text(i.Given), text(i.BirthDate), text(i.City))
			do(`DELETE FROM patients.identifier WHERE patient_id = $1`, uuid(p))
			setIdentifier(do, p, i.Identifier)
		},
	}
}

// setIdentifier gives a patient an identifier; no two have the same.
func setIdentifier(do execute, p Patient, identifier string) {
	if identifier != "" {
		do(`INSERT INTO patients.identifier (patient_id, authority, type, value) VALUES ($1, 'hospital', 'MR', $2)`, uuid(p), fmt.Sprint(identifier, p))
	}
}

// decide has somebody report a death.
func decide(p Patient, f Fate) change {
	return change{
		fmt.Sprintf("decide(%d, %#v)", p, f),
		func(r *Registry) { r.Decide(p, f) },
		func(do execute) {
			from, to, precision := period(f.Period)
			do(`SELECT patients.record_death($1, $2, $3, $4, $5)`, uuid(p), f.Status, from, to, precision)
		},
	}
}

// write is decide by a program that knows nothing of merges.
func write(p Patient, f Fate) change {
	c := decide(p, f)
	c.said = fmt.Sprintf("write(%d, %#v)", p, f)
	c.model = func(r *Registry) { r.Write(p, f) }
	c.sql = func(do execute) {
		from, to, precision := period(f.Period)
		do(`UPDATE patients.patient SET death_status = $2, death_earliest = $3, death_latest = $4, death_precision = $5 WHERE id = $1`,
			uuid(p), f.Status, from, to, precision)
	}
	return c
}

// erase removes what is known of a person.
func erase(p Patient) change {
	return change{
		fmt.Sprintf("erase(%d)", p),
		func(r *Registry) { r.Erase(p) },
		func(do execute) { do(`SELECT patients.erase_patient($1)`, uuid(p)) },
	}
}

// merge retires a record; it is left out where the patients service would refuse it.
func merge(retired, into Patient) change {
	possible := false
	return change{
		fmt.Sprintf("merge(%d, %d)", retired, into),
		func(r *Registry) { possible = r.Merge(retired, into) },
		func(do execute) {
			if possible {
				do(`INSERT INTO patients.alias (retired_id, survivor_id) VALUES ($1, $2)`, uuid(retired), uuid(into))
			}
		},
	}
}
