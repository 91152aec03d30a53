package patients_test

import (
	"fmt"
	"testing"
)

// BenchmarkCapture measures one transaction of many rows to the end of its commit, in which the
// events are written.
func BenchmarkCapture(b *testing.B) {
	const rows = 100_000
	fill := fmt.Sprintf(`INSERT INTO patients.patient (family_name, given_name, birth_date, sex, address_line, address_city)
		SELECT 'family ' || i, 'given', '1970-01-01', 'other', 'street ' || i, 'town' FROM generate_series(1, %d) i; `, rows)
	identify := `INSERT INTO patients.identifier SELECT id, 'nhs', t, family_name FROM patients.patient, unnest('{NH,MR}'::text[]) t; `
	for _, c := range []struct{ name, before, change string }{
		{"register", "", fill},
		{"register with two identifiers", "", fill + identify},
		{"two identifiers", fill, identify},
		{"update", fill, "UPDATE patients.patient SET address_city = 'city'"},
		{"touch", fill, "UPDATE patients.patient SET address_city = 'town'"},
		{"die", fill, "UPDATE patients.patient SET death_status = 'formal'"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s := connect(b, migrated(b))
				s.do(c.before)
				b.StartTimer()
				s.do(c.change)
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "patients/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkIntake takes in a file of new patients with two identifiers each, and the same again.
// Nobody analyses the staging table.
func BenchmarkIntake(b *testing.B) {
	const rows = 100_000
	stage := fmt.Sprintf(`INSERT INTO patients.intake_row (source, seq, id, family_name, birth_date, sex, identifiers)
		SELECT 'file', n, %s, 'family ' || n, '1970-01-01', 'other', jsonb_build_array(
			jsonb_build_object('authority', 'nhs', 'type', 'NH', 'value', n::text),
			jsonb_build_object('authority', 'site', 'type', 'MR', 'value', n::text))
		FROM generate_series(1, %d) n; `, patientNumber, rows)
	for _, again := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%t", again), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s := connect(b, migrated(b))
				if again {
					s.do(stage + "SELECT patients.intake('file')")
				}
				s.do("VACUUM patients.intake_row")
				b.StartTimer()
				s.do(stage + "SELECT patients.intake('file')")
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "patients/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
