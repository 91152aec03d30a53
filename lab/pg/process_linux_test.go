package pg_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"waybill/lab/await"
	"waybill/lab/pg"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("PG_TEST_PARENT"); dir != "" {
		startAndWait(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// processesIn counts the processes whose working folder is dir or below it, which is where
// every process of a server is.
func processesIn(t *testing.T, dir string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, link := range links {
		if cwd, err := os.Readlink(link); err == nil && strings.HasPrefix(cwd, dir) {
			count++
		}
	}
	return count
}

func TestStopLeavesNothing(t *testing.T) {
	parent := serverDir(t)
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv(pg.ScratchVariable, parent)
	server := start(t, pg.Options{Settings: fast()})
	conn := connect(t, server.SuperURL("postgres"))
	if processesIn(t, parent) < 2 {
		t.Fatal("the server's processes are not where this test looks for them")
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := processesIn(t, parent); n != 0 {
		t.Errorf("%d processes are left", n)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a session outlived its server")
	}
	if err := server.Stop(t.Context()); err != nil {
		t.Errorf("stopping again: %v", err)
	}
}

func TestWhatWasCommittedOutlivesAViolentEnd(t *testing.T) {
	for name, end := range map[string]func(*pg.Server, context.Context) error{
		"killed":          func(s *pg.Server, _ context.Context) error { s.Kill(); return nil },
		"stopped at once": (*pg.Server).StopAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			dir := serverDir(t)
			var log strings.Builder
			server := start(t, pg.Options{Dir: dir, Settings: fast(), Log: &log})
			conn := connect(t, server.SuperURL("postgres"))
			if _, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 1 AS n"); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Exec(t.Context(), "BEGIN; INSERT INTO kept VALUES (2)"); err != nil {
				t.Fatal(err)
			}
			keepBusy(t, server)
			within(t, 2*time.Minute, func() {
				if err := end(server, t.Context()); err != nil {
					t.Error(err)
				}
			})
			if n := processesIn(t, dir); n != 0 {
				t.Fatalf("%d processes survived", n)
			}
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := ask[int](t, connect(t, server.SuperURL("postgres")), "SELECT count(*) FROM kept"); got != 1 {
				t.Errorf("%d rows, want the committed one", got)
			}
			if err := server.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(log.String(), "automatic recovery in progress") {
				t.Error("the server had nothing to recover")
			}
		})
	}
}

// keepBusy occupies a backend that would not notice its postmaster's end for minutes.
func keepBusy(t *testing.T, server *pg.Server) {
	t.Helper()
	busy := connect(t, server.SuperURL("postgres"))
	ended := make(chan struct{})
	t.Cleanup(func() { <-ended })
	go func() {
		defer close(ended)
		_, _ = busy.Exec(context.Background(), "SELECT count(*) FROM (SELECT generate_series(1, 10000000000)) AS g")
	}()
	watch := connect(t, server.SuperURL("postgres"))
	await.True(t, "the backend is busy", func() bool {
		return ask[bool](t, watch, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%generate_series%')")
	})
}

func within(t *testing.T, limit time.Duration, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		do()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("not done within %v", limit)
	}
}

// The server must end with its starter even when that is killed, and must not end before,
// although Go ends threads at will.
func TestServerEndsWithItsStarter(t *testing.T) {
	dir := serverDir(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.CommandContext(t.Context(), self)
	parent.Env = append(os.Environ(), "PG_TEST_PARENT="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make([]byte, 16)
	n, err := out.Read(ready)
	if err != nil || string(ready[:n]) != "ready" {
		t.Fatalf("the starter said %q, %v", ready[:n], err)
	}
	if processesIn(t, dir) == 0 {
		t.Fatal("the server ended before its starter")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	await.True(t, "the server ended too", func() bool { return processesIn(t, dir) == 0 })
}

// startAndWait is the starter of TestServerEndsWithItsStarter: it starts a server from a
// thread that then ends, checks that the server still answers, and waits to be killed.
func startAndWait(dir string) {
	server := startOnThreadThatEnds(dir)
	conn, err := pgx.Connect(context.Background(), server.SuperURL("postgres"))
	if err != nil {
		panic(err)
	}
	if err := conn.Ping(context.Background()); err != nil {
		panic(err)
	}
	os.Stdout.WriteString("ready")
	select {}
}

// startOnThreadThatEnds starts a server and returns when the thread that did so is gone.
func startOnThreadThatEnds(dir string) *pg.Server {
	var server *pg.Server
	thread := make(chan string)
	go onMortalThread(func() {
		var err error
		if server, err = pg.Start(context.Background(), pg.Options{Dir: dir, Settings: fast()}); err != nil {
			panic(err)
		}
		thread <- fmt.Sprintf("/proc/self/task/%d", syscall.Gettid())
	})
	for path := <-thread; ; runtime.Gosched() {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return server
		}
	}
}

// onMortalThread runs do on a thread that ends with the calling goroutine, because that
// stays locked to it. Only the main thread never ends, so that one is passed by.
func onMortalThread(do func()) {
	runtime.LockOSThread()
	if syscall.Gettid() == os.Getpid() {
		go onMortalThread(do)
		select {}
	}
	do()
}
