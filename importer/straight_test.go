package importer_test

import (
	"testing"
	"testing/fstest"

	"waybill/importer"
	"waybill/lab/logtest"
)

// staged counts the rows of a batch that its own transaction wrote. What comes straight is written by a subtransaction.
func (s *site) staged(table string) string {
	s.Helper()
	return s.value(`SELECT count(*) FROM ` + table + ` WHERE xmin = (SELECT xmin FROM ` + s.config.Consumer.Name + `.ledger ORDER BY batch DESC LIMIT 1)`)
}

// Only a batch whose rows are all new goes straight into its table. Each event is stored once, and the erased stay blank.
func TestABatchGoesStraightIntoItsTable(t *testing.T) {
	t.Parallel()
	second := `'` + logtest.Patient(2).String() + `'`
	for name, test := range map[string]struct {
		prepare      string // before the batch
		batch        []logtest.State
		want, staged string
	}{
		"new rows":                 {"", deaths(2, 3), "died Family2, died Family3", "0"},
		"the same row twice":       {"", []logtest.State{died(2), died(2)}, "died Family2", "1"},
		"a row that the table has": {`INSERT INTO journal.event SELECT it.* FROM journal.event e, jsonb_populate_record(e, jsonb_build_object('patient_id', ` + second + `)) AS it`, deaths(2, 3), "died Family1, died Family3", "1"},
		"an erasure":               {"", []logtest.State{died(2), erased(2, 3)}, "died -, erased -", "2"},
		"a death of the erased":    {`INSERT INTO journal.erased VALUES (` + second + `, now())`, deaths(2, 3), "died Family3, died -", "2"},
		"another type":             {`ALTER TABLE journal.event ALTER family_name TYPE varchar(80)`, deaths(2, 3), "died Family2, died Family3", "2"},
		"a key in another order":   {`ALTER TABLE journal.event DROP CONSTRAINT event_patient_id_generation_version_revision_key; CREATE UNIQUE INDEX ON journal.event (patient_id, revision, generation, version)`, deaths(2, 3), "died Family2, died Family3", "0"},
		"a trigger":                {`CREATE FUNCTION journal.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER t BEFORE INSERT ON journal.event FOR EACH ROW EXECUTE FUNCTION journal.f()`, deaths(2, 3), "null", "0"},
		"a rule":                   {`CREATE RULE r AS ON INSERT TO journal.event WHERE NEW.family_name = 'Family2' DO INSTEAD NOTHING`, deaths(2, 3), "died Family3", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.journal()
			s.Changes(died(1))
			s.load()
			s.exec(test.prepare)
			s.Changes(test.batch...)
			s.load()
			if got := s.value(`SELECT string_agg(event || ' ' || coalesce(family_name, '-'), ', ' ORDER BY event, family_name) FROM journal.event WHERE patient_id <> '` + logtest.Patient(1).String() + `'`); got != test.want {
				t.Errorf("it has %s; want %s", got, test.want)
			}
			if got := s.staged("journal.event"); got != test.staged {
				t.Errorf("%s rows were staged; want %s", got, test.staged)
			}
		})
	}
}

// Without a unique key COPY would store an event twice in silence.
func TestATableThatLostItsKeyTakesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.journal()
	s.Changes(died(1))
	s.load()
	s.exec(`CREATE TABLE journal.another (LIKE journal.event INCLUDING INDEXES);
		ALTER TABLE journal.event DROP CONSTRAINT event_patient_id_generation_version_revision_key;
		CREATE UNIQUE INDEX ON journal.event (patient_id, generation, version, revision) WHERE version < 0;
		CREATE UNIQUE INDEX ON journal.event (patient_id, generation, version, revision, event)`)
	s.Changes(died(2))
	if _, err := s.run(importer.Options{}); err == nil {
		t.Errorf("loaded %s events", s.value(`SELECT count(*) FROM journal.event`))
	}
}

// A first load goes straight into the projection if it has one state of each patient, and comes to the same as staging.
func TestAFirstLoadGoesStraightIntoTheProjection(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare string
		batch   []logtest.State
		staged  string
	}{
		"one state of each": {"", deaths(1, 3), "0"},
		"a trigger":         {`CREATE TRIGGER t BEFORE UPDATE ON morgue.patient FOR EACH ROW EXECUTE FUNCTION morgue.name_toucher()`, deaths(1, 3), "3"},
		"two states of one": {"", append(deaths(1, 3), withVersion(died(3), 1)), "3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.exec(test.prepare)
			s.Changes(test.batch...)
			s.load()
			if got := s.staged("morgue.patient"); got != test.staged {
				t.Errorf("%s patients were staged; want %s", got, test.staged)
			}
			if got := s.value(`SELECT count(*) || ' ' || min(version) || ' ' || (SELECT count(*) FROM morgue.notice WHERE NOT historic) FROM morgue.patient`) + s.cases(); got != "3 2 3expected 3" {
				t.Errorf("patients, version, notices, cases: %s", got)
			}
		})
	}
}

func withVersion(state logtest.State, version int64) logtest.State {
	state.Version = version
	return state
}

// A consumer that reads the batch's events finds them in staging, also with its first load.
func TestWhoReadsStagingFindsTheEvents(t *testing.T) {
	t.Parallel()
	const copied = "INSERT INTO copied SELECT patient_id FROM staging;"
	for name, sql := range map[string][2]string{
		"in apply.sql":   {"SELECT;", copied},
		"in prepare.sql": {"CREATE FUNCTION pg_temp.f() RETURNS void LANGUAGE plpgsql AS 'BEGIN " + copied + " END';", "SELECT pg_temp.f();"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.follows(fstest.MapFS{
				"consumer.yaml":              {Data: []byte("name: copy\ndescription: x\nevents: [died]\n")},
				"migrations/00001_first.sql": {Data: []byte("-- +goose Up\nCREATE TABLE copied (patient_id uuid);")},
				"prepare.sql":                {Data: []byte(sql[0])},
				"apply.sql":                  {Data: []byte(sql[1])},
			})
			s.Changes(died(1), died(2))
			s.load()
			if got := s.value(`SELECT count(*) FROM copy.copied`); got != "2" {
				t.Errorf("it copied %s", got)
			}
		})
	}
}
