package morgue_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"waybill/importer/morgue"
	"waybill/lab/consumertest"
	"waybill/lab/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// mortuary is the service with short words for what its tests do.
type mortuary struct{ *consumertest.Service }

func open(t testing.TB) mortuary { return mortuary{consumertest.New(t, morgue.Files())} }

// caseID returns the id of a death's case.
func (m mortuary) caseID(patient, deathNo int) string {
	ids := m.Rows(`SELECT id FROM case_file WHERE patient_id = $1 AND death_no = $2`, consumertest.ID(patient), deathNo)
	return ids[0]
}

// receive has a member of staff receive the body of a patient's death.
func (m mortuary) receive(patient, deathNo int) {
	m.Exec(`CALL receive($1, $2, 'porter')`, m.caseID(patient, deathNo), "tag of "+m.caseID(patient, deathNo))
}

func (m mortuary) release(patient, deathNo int) {
	m.Exec(`CALL release($1, 'undertaker')`, m.caseID(patient, deathNo))
}

// resolve has a member of staff resolve the one open alert.
func (m mortuary) resolve(person string) {
	m.Exec(`CALL resolve($1, $2)`, m.Rows(`SELECT id FROM alert WHERE resolved_at IS NULL`)[0], person)
}

// cases returns "patient death_no state void_reason" per case.
func (m mortuary) cases() []string {
	return m.Rows(`SELECT right(patient_id::text, 3)::int, death_no, state, void_reason FROM case_file ORDER BY patient_id, death_no`)
}

// alerts returns "kind patient death_no" per open alert.
func (m mortuary) alerts() []string {
	return m.Rows(`SELECT kind, right(patient_id::text, 3)::int, death_no FROM alert WHERE resolved_at IS NULL ORDER BY kind, patient_id, death_no`)
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) == 0 && len(want) == 0 {
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
