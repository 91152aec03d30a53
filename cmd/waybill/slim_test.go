package main_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/parquet-go/parquet-go"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/exchange/trust"
	"waybill/schemas"
)

// A slim reader's key opens who died and when, and no name, address, date of birth or identifier: not in values, and not in the
// statistics of a file. It is enough to load, compare and repair by.
func TestASlimReaderLearnsWhoDiedAndNoName(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.admit(4)
	s.exec("patients", `UPDATE patients.patient SET family_name = 'Birdwhistle', birth_date = '1931-04-05', sex = 'other',
		address_line = 'Cobblers Row 7', address_city = 'Ambleside', address_postcode = 'LA22 9BU'`)
	s.exec("patients", `INSERT INTO patients.identifier (patient_id, authority, type, value) SELECT id, 'HUB', 'PN', '94347659|77' FROM patients.patient WHERE id = $1`, patient(0))
	s.exec("patients", `INSERT INTO patients.patient (family_name) SELECT 'Swarm' || i FROM generate_series(1, 1000) i`) // parts of one type each
	s.die(0)
	s.die(1)
	s.exchangeAll()
	s.live(1)
	s.do("export", "--snapshot")
	s.do("import", "appointments")
	s.do("reconcile", "appointments")
	s.do("rerun", "import", "appointments", "--batch", "1", "--reapply", "--reason", "again")
	words := s.identities()
	for _, reader := range []string{"morgue", "appointments"} {
		opens := s.openedBy(reader)
		if len(opens) < 2 {
			t.Fatalf("%s opens %d parts", reader, len(opens))
		}
		named := slices.ContainsFunc(words, func(word string) bool {
			return slices.ContainsFunc(opens, func(text []byte) bool { return bytes.Contains(text, []byte(word)) })
		})
		if slim := reader == "appointments"; named == slim {
			t.Errorf("%s learns names: %v", reader, named)
		}
	}
	if columns := s.one("appointments", `SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
		WHERE attrelid = 'appointments.patient'::regclass AND attnum > 0`); strings.Contains(columns, "name ") || strings.Contains(columns, "identifiers") {
		t.Errorf("its table has %s", columns)
	}
}

// identities are texts that tell who patients are.
func (s *sealing) identities() []string {
	s.Helper()
	rows, err := s.conn["patients"].Query(s.Context(), `SELECT DISTINCT word FROM patients.outbox, LATERAL (
		VALUES (family_name), (given_name), (address_line), (address_city), (birth_date)
		UNION ALL SELECT i ->> 'value' FROM jsonb_array_elements(identifiers) i) w (word) WHERE length(word) >= 5`)
	if err != nil {
		s.Fatal(err)
	}
	words, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(words) < 7 {
		s.Fatal(words, err)
	}
	return words
}

// openedBy returns each part that a reader's key opens, as it is and with its values in plain text. The columns must be those
// that its entry says.
func (s *sealing) openedBy(reader string) (texts [][]byte) {
	s.Helper()
	keys, err := seal.ReadKeys([]string{s.opens[reader]})
	if err != nil {
		s.Fatal(err)
	}
	files := s.stored()
	for entry, err := range exchange.NewReader(s.place.Open(s)).Entries(s.Context(), 0, -1) {
		if err != nil {
			s.Fatal(err)
		}
		for _, p := range entry.Manifest.Parts {
			plain, size, err := keys.Open(bytes.NewReader(files[p.Name]), p.Bytes)
			if err != nil {
				continue
			}
			raw := make([]byte, size)
			if _, err := plain.ReadAt(raw, 0); err != nil {
				s.Fatal(err)
			}
			text, columns := parquetText(s, raw)
			if want := p.Contract(schemas.PatientEvents()).ColumnNames(); !slices.Equal(columns, want) || p.Slim() != (reader == "appointments") {
				s.Errorf("%s opens a part (slim: %v) with the columns %q", reader, p.Slim(), columns)
			}
			texts = append(texts, raw, text)
		}
	}
	return texts
}

// parquetText returns a file's values as text, and its columns.
func parquetText(t *sealing, raw []byte) (text []byte, columns []string) {
	t.Helper()
	file, err := parquet.OpenFile(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range file.Schema().Fields() {
		columns = append(columns, field.Name())
	}
	reader := parquet.NewReader(file)
	defer reader.Close()
	rows := make([]parquet.Row, file.NumRows())
	n, _ := reader.ReadRows(rows)
	for _, row := range rows[:n] {
		for _, value := range row {
			text = fmt.Appendln(text, value)
		}
	}
	if int64(n) != file.NumRows() {
		t.Fatalf("read %d rows of %d", n, file.NumRows())
	}
	return text, columns
}

// A consumer that needs all columns is refused slim parts before it loads anything. One that becomes slim loses what it had.
func TestAConsumerThatNeedsMoreThanItMayRead(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.sealsFor(morgueEvents, "morgue", "appointments")
	s.firstDay()
	s.do("export")
	s.fails(2, []string{"sealed to other keys", "slim"}, "import", "morgue")
	s.do("import", "appointments")
	if got := s.one("morgue", `SELECT count(*)::text FROM morgue.patient`); got != "0" {
		t.Errorf("the morgue has %s patients", got)
	}
	folder := filepath.Join(s.dir, "lister")
	if err := os.MkdirAll(filepath.Join(folder, "migrations"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.in("lister/consumer.yaml", []byte("name: lister\nevents: [died]\nslim: true\neffects: {listed: {description: one}}\n"))
	s.in("lister/migrations/00001_c.sql", []byte("-- +goose Up\nCREATE TABLE listed (name text);\n"))
	s.in("lister/apply.sql", []byte("INSERT INTO listed\nSELECT family_name FROM patient;\n"))
	s.fails(3, []string{"apply.sql of waybill_check, line 2, column 8", "slim: true"}, "consumer", "check", folder, "--database", s.urls["morgue"])
	s.in("lister/consumer.yaml", []byte("name: lister\nevents: [died]\neffects: {listed: {description: one}}\n"))
	s.do("consumer", "check", folder, "--database", s.urls["morgue"])
}

// A producer's mistake must not tell a slim reader names: the part is refused by the consumer, and by those who verify it.
func TestASlimPartThatHasNames(t *testing.T) {
	t.Parallel()
	s := newSealing(t)
	s.firstDay()
	s.do("export")
	m := s.last().Manifest
	slim := slices.IndexFunc(m.Parts, func(p schemas.Part) bool { return p.Slim() })
	wide := slices.IndexFunc(m.Parts, func(p schemas.Part) bool { return !p.Slim() && maps.Equal(p.Events, m.Parts[slim].Events) })
	data, forged := s.sealed(m, m.Parts[wide], "appointments")
	s.put(m, slim, data, forged)
	for _, command := range [][]string{{"import", "appointments"}, {"verify"}} {
		s.fails(3, []string{"identifiers", "must not be in a slim part"}, command...)
	}
	if got := s.one("appointments", `SELECT count(*)::text FROM appointments.patient`); got != "0" {
		t.Errorf("it has loaded %s patients", got)
	}
	s.do("import", "morgue")
}

// sealed returns a part's rows as a slim part of a reader, whose columns are too many.
func (s *sealing) sealed(m *schemas.Manifest, p schemas.Part, reader string) ([]byte, schemas.Part) {
	s.Helper()
	secret, err := seal.ReadSecret(s.opens["secret"])
	if err != nil {
		s.Fatal(err)
	}
	plain, size, err := s.keys.Open(bytes.NewReader(s.stored()[p.Name]), p.Bytes)
	if err != nil {
		s.Fatal(err)
	}
	to, err := seal.ParseRecipient(s.public[reader])
	if err != nil {
		s.Fatal(err)
	}
	var out bytes.Buffer
	if err := secret.Write(&out, io.NewSectionReader(plain, 0, size), []byte(p.SHA256), "a test", []seal.Recipient{to}); err != nil {
		s.Fatal(err)
	}
	p.SHA256, p.Bytes = schemas.Hash(out.Bytes()), int64(out.Len())
	p.Name = schemas.PartName(schemas.Mixed, m.Window.To.Time, m.Batch, p.SHA256, 0) + schemas.SealedSuffix
	p.Seal = &schemas.Sealed{Form: schemas.SealForm, Readers: []string{reader}, Slim: true}
	return out.Bytes(), p
}

// put has the log's last batch have another part in the place of one, signed as by its producer.
func (s *sealing) put(m *schemas.Manifest, at int, data []byte, p schemas.Part) {
	s.Helper()
	key, err := trust.ReadPrivate(s.signs)
	if err != nil {
		s.Fatal(err)
	}
	m.Parts[at] = p
	m.Totalled()
	manifest, err := m.Encode()
	if err != nil {
		s.Fatal(err)
	}
	if manifest, err = (trust.Signers{key}).Sign(s.Context(), schemas.OfManifest, manifest); err != nil {
		s.Fatal(err)
	}
	place, name := s.place.Open(s), schemas.ManifestName(m.Batch, 0)
	if err := errors.Join(place.Put(s.Context(), p.Name, p.Bytes, bytes.NewReader(data)),
		place.Delete(s.Context(), name), place.Publish(s.Context(), name, manifest)); err != nil {
		s.Fatal(err)
	}
}
