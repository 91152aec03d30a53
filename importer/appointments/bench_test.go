package appointments_test

import "testing"

// BenchmarkApply is apply.sql over 200,000 changed patients with two appointments each.
func BenchmarkApply(b *testing.B) {
	for name, deadEvery := range map[string]int{"alive": 200_001, "one in ten dead": 10} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				c := open(b)
				c.BeginMany(200_000, deadEvery).Commit()
				c.Exec(`INSERT INTO appointment (patient_id, kind, resource, starts_at, ends_at)
					SELECT patient_id, 'imaging', patient_id::text, $1::timestamptz + n * interval '1 day', $1::timestamptz + (n + 1) * interval '1 day'
					FROM patient, generate_series(0, 1) n`, now)
				batch := c.BeginAll()
				b.StartTimer()
				if err := batch.Run(); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				batch.Commit()
			}
		})
	}
}
