//go:build !race

package main_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const mostMiB = 128

// A million patients in one transaction, every tenth of them dead, is one batch. The memory of those
// who carry and compare it does not depend on its size. What capture needs for it is PostgreSQL's, and
// not looked at here: the events are written as it would.
func TestProofATransactionOfAMillionRowsPassesInLittleMemory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.archive()
	s.configure("morgue", "import: {brake: off}")
	s.configure("appointments", "import: {brake: off}")
	s.exec("patients", `INSERT INTO patients.outbox (event, baseline, patient_id, version, recorded_at, death_no, death_status,
			death_earliest, death_latest, death_precision, identifiers, family_name, given_name, birth_date, sex, address_line, address_city)
		SELECT CASE WHEN dead THEN 'died' ELSE 'registered' END, dead, md5(n::text)::uuid, 1, now(), dead::int, CASE WHEN dead THEN 'formal' ELSE 'none' END,
			CASE WHEN dead THEN now() - interval '1 day' END, CASE WHEN dead THEN now() END, CASE WHEN dead THEN 'day' END,
			'[]', 'Family' || n % 5000, 'Given' || n % 700, (1930 + n % 90)::text, 'female', n || ' Street', 'Town'
		FROM generate_series(1, 1000000) n, LATERAL (SELECT n % 10 = 0 AS dead) it`)
	s.exec("patients", `ALTER TABLE patients.patient DISABLE TRIGGER USER`)
	s.exec("patients", `INSERT INTO patients.patient (id, death_status, death_earliest, death_latest, death_precision,
			family_name, given_name, birth_date, sex, address_line, address_city)
		SELECT patient_id, death_status, death_earliest, death_latest, death_precision,
			family_name, given_name, birth_date, sex, address_line, address_city FROM patients.outbox`)
	s.exec("patients", `SELECT patients.arm()`)
	// One of the dead and one of the living in a hundred patients have an appointment.
	s.exec("appointments", `INSERT INTO appointments.appointment (patient_id, kind, resource, starts_at, ends_at)
		SELECT md5(n::text)::uuid, 'consultation', n::text, '2999-01-01 10:00+00', '2999-01-01 10:15+00'
		FROM generate_series(1, 1000000) n WHERE n % 100 < 2`)

	for _, command := range []string{"export", "import archive", "import morgue", "import appointments", "reconcile"} {
		mib := s.peak(strings.Fields(command)...) >> 20
		t.Logf("waybill %s held %d MiB", command, mib)
		if mib > mostMiB {
			t.Errorf("waybill %s held %d MiB, more than %d", command, mib, mostMiB)
		}
	}

	for _, want := range []struct{ service, sql, rows string }{
		{"patients", `SELECT batch, kind, events FROM exporter.plan ORDER BY batch`, "0|genesis|0\n1|changes|1000000\n"},
		{"archive", `SELECT event, count(*), count(DISTINCT patient_id) FROM archive.event GROUP BY 1 ORDER BY 1`, "died|100000|100000\nregistered|900000|900000\n"},
		{"morgue", `SELECT state, count(*) FROM morgue.case_file GROUP BY 1`, "expected|100000\n"},
		{"appointments", `SELECT status, count(*) FROM appointments.appointment GROUP BY 1 ORDER BY 1`, "booked|10000\ncancelled|10000\n"},
	} {
		if diff := cmp.Diff(want.rows, s.query(s.conn[want.service], want.sql)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want.service, diff)
		}
	}
}

// peak runs a command that must succeed and returns the most memory that it ever held, in bytes.
// What the kernel says of an ended child begins with the memory of its parent, so it is asked
// while the child lives.
func (s *site) peak(arguments ...string) int {
	s.Helper()
	cmd := s.command(nil, arguments...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	peak := 0
	for {
		select {
		case err := <-ended:
			if err != nil || peak == 0 {
				s.Fatalf("waybill %v: %v, peak %d\n%s", arguments, err, peak, &output)
			}
			return peak
		case <-tick.C:
			peak = max(peak, highWater(cmd.Process.Pid))
		}
	}
}

// highWater returns the most memory that a process has held so far, 0 if it has ended.
func highWater(pid int) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kib int
	fmt.Sscanf(after, "%d kB", &kib)
	return kib << 10
}
