package main_test

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Three machines per party; those that tick are killed one after the other while people live and
// die, PostgreSQL is restarted, a password changed, and the store is gone for a while: in the end
// all agree, and nothing is stuck. WAYBILL_KILL_SECONDS makes it longer.
func TestProofMachinesAreKilledWhileEventsFlow(t *testing.T) {
	for name, jobs := range map[string]string{"every second": everySecond, "more often": often} {
		t.Run(name, func(t *testing.T) { killWhileEventsFlow(t, jobs) })
	}
}

func killWhileEventsFlow(t *testing.T, jobs string) {
	t.Parallel()
	seconds, err := strconv.Atoi(os.Getenv("WAYBILL_KILL_SECONDS"))
	if err != nil {
		seconds = 12
	}
	r := newRunningBy(t, jobs, 3)
	end := time.Now().Add(time.Duration(seconds) * time.Second)
	ctx, stop := context.WithCancel(t.Context())
	admitted, ended := r.liveOn(ctx)
	for round := 0; round < 4 || admitted.Load() < 5 || time.Now().Before(end); round++ {
		switch round % 6 {
		case 1:
			r.loseStore(2 * time.Second)
		case 3:
			r.restart()
		}
		wait(t.Context(), 3*time.Second)
		r.killLeaders()
	}
	stop()
	ended()
	r.reconnect()
	r.agreed()
	r.unstuck()
	n := admitted.Load()
	var events int64
	if err := r.conn["patients"].QueryRow(t.Context(), `SELECT count(*) FROM patients.outbox`).Scan(&events); err != nil {
		t.Fatal(err)
	}
	if events < n {
		t.Errorf("%d people, and only %d events", n, events)
	}
	for service := range jobOf {
		r.endedWell(service, 3)
	}
	t.Logf("%d people, %d events, %d machines killed\n%s", n, events, r.killed, r.do("jobs"))
	r.stop()
}

// A machine is frozen in the middle of an export, which holds the exporter's lock. Another ends what
// it holds, and continues; the frozen one wakes up and harms nothing.
func TestProofAFrozenExportIsTakenOver(t *testing.T) {
	for name, jobs := range map[string]string{"every second": everySecond, "more often": often} {
		t.Run(name, func(t *testing.T) { takeOverAFrozenExport(t, jobs) })
	}
}

func takeOverAFrozenExport(t *testing.T, jobs string) {
	t.Parallel()
	r := newRunningBy(t, jobs, 0)
	r.lease = "2s"
	frozen := r.start("patients", "WAYBILL_STOP_AT=export.3")
	r.lease = ""
	r.admitOne(0)
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(frozen.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it did not stop: %v %v", err, status)
	}
	r.start("patients")
	r.start("morgue")
	r.start("appointments")
	r.agreed()
	if history := r.do("jobs", "history", "patients"); !strings.Contains(history, "was silent for longer than the lease") {
		t.Errorf("nothing was taken over:\n%s", history)
	}
	if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.die(0)
	r.agreed()
	r.stop()
}

// A secret that is changed while machines run is taken up by them.
func TestRunningMachinesTakeUpANewPassword(t *testing.T) {
	t.Parallel()
	r := newRunning(t, 0)
	secret := filepath.Join(r.dir, "secret")
	write := func(url string) {
		t.Helper()
		if err := os.WriteFile(secret, []byte(url+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(r.urls["patients"])
	settings := strings.Replace(r.read(filepath.Join(r.dir, "patients.yaml")), "database: "+r.urls["patients"], "database_file: "+secret, 1)
	if err := os.WriteFile(filepath.Join(r.dir, "patients.yaml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start("patients")
	r.admitOne(0)
	r.exported(1)
	url, err := r.server.CreateService(t.Context(), "patients")
	if err != nil {
		t.Fatal(err)
	}
	r.urls["patients"] = url
	write(url)
	r.restart() // no connection stands any more
	r.reconnect()
	r.admitOne(1)
	r.exported(2)
	r.stop()
}
