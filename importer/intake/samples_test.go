package intake

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
)

// openSample opens a file of the third-party samples, which are not part of the project. They
// lie where WAYBILL_SAMPLES says, or else beside the project's root.
func openSample(t testing.TB, name string) *os.File {
	t.Helper()
	folder := os.Getenv("WAYBILL_SAMPLES")
	if folder == "" {
		folder = filepath.Join(projectRoot(t), "..", "shared", "samples")
		if _, err := os.Stat(folder); os.IsNotExist(err) {
			t.Skipf("no samples: set WAYBILL_SAMPLES to their folder (looked for %s)", folder)
		}
	}
	file, err := os.Open(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return file
}

func projectRoot(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("no go.mod above the package")
		}
		folder = filepath.Dir(folder)
	}
}

func TestSampledPatients(t *testing.T) {
	for _, c := range []struct {
		file           string
		patients, dead int
		precision      string
	}{
		{"fhir-bulk-synthea/100-Patient.000.ndjson", 120, 20, "minute"},
		{"fhir-bulk-synthea/10-Patient.000.ndjson", 13, 3, "minute"},
		{"synthea-csv/dbt-patients.csv", 27, 2, "day"},
	} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			opened, err := Patients(c.file, openSample(t, c.file), Options{Source: "sample"})
			if err != nil {
				t.Fatal(err)
			}
			rows, refused, err := collect(t, opened)
			if err != nil || len(refused) > 0 {
				t.Fatal(err, refused)
			}
			expect(t, len(rows), c.patients)
			dead := 0
			for _, p := range rows {
				keepsContract(t, p)
				if p.Family == "" || p.Given == "" || p.BirthDate == "" || p.Sex == "" || p.Address.City == "" || len(p.Identifiers) < 3 {
					t.Errorf("line %d lacks something", p.Line)
				}
				if p.Death.Dead() {
					dead++
					expect(t, p.Death.Precision, c.precision)
				}
			}
			expect(t, dead, c.dead)
		})
	}
}

func TestSampledEncounters(t *testing.T) {
	for _, c := range []struct {
		file                string
		encounters          int
		deathCertifications int
	}{
		{"fhir-bulk-synthea/10-Encounter.000.ndjson", 1215, 3},
		{"synthea-csv/dbt-encounters.csv", 604, 2},
	} {
		t.Run(filepath.Base(c.file), func(t *testing.T) {
			opened, err := Encounters(c.file, openSample(t, c.file), Options{Source: "sample", Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
			if err != nil {
				t.Fatal(err)
			}
			rows, refused, err := collect(t, opened)
			if err != nil || len(refused) > 0 {
				t.Fatal(err, refused)
			}
			expect(t, len(rows), c.encounters)
			certifications := 0
			for _, e := range rows {
				expect(t, e.Status, "fulfilled")
				if e.Kind == KindDeathCertification {
					certifications++
				}
			}
			expect(t, certifications, c.deathCertifications)
		})
	}
}

// The bulk export's three deaths are certified after they occurred: an encounter that a
// cancellation of everything ahead would lose.
func TestSampledDeathsAreCertifiedAfterwards(t *testing.T) {
	died := map[uuid.UUID]time.Time{}
	patients, err := Patients("patients", openSample(t, "fhir-bulk-synthea/10-Patient.000.ndjson"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, _, _ := collect(t, patients)
	for _, p := range rows {
		if p.Death.Dead() {
			died[p.ID] = p.Death.Earliest
		}
	}
	encounters, err := Encounters("encounters", openSample(t, "fhir-bulk-synthea/10-Encounter.000.ndjson"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	visits, _, _ := collect(t, encounters)
	after := 0
	for _, e := range visits {
		if d, dead := died[e.PatientID]; dead && e.Start.After(d) {
			after++
			expect(t, e.Kind, KindDeathCertification)
		}
	}
	expect(t, after, 3)
}
