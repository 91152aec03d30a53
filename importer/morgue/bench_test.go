package morgue_test

import "testing"

// BenchmarkApply is apply.sql over 200,000 changed patients.
func BenchmarkApply(b *testing.B) {
	for name, deadEvery := range map[string]int{"alive": 200_001, "one in ten dead": 10} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				m := open(b)
				batch := m.BeginMany(200_000, deadEvery)
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
