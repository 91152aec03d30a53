package servers_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/lab/pg"
	"waybill/lab/servers"
)

func TestAServersClockCanBeSet(t *testing.T) {
	dir, err := os.MkdirTemp("", "waybill-clock-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil { // the server runs as another user where this one is root
		t.Fatal(err)
	}
	clock, err := servers.NewClock(filepath.Join(dir, "clock"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := pg.Start(t.Context(), pg.Options{
		Dir: filepath.Join(dir, "postgres"), Settings: map[string]string{"fsync": "off"}, Environment: clock.Environment(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	conn, err := pgx.Connect(t.Context(), server.SuperURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, offset := range []time.Duration{10 * time.Minute, -10 * time.Minute, 0} {
		if err := clock.Step(offset); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); ; {
			var now time.Time
			if err := conn.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&now); err != nil {
				t.Fatal(err)
			}
			wrong := (time.Until(now) - offset).Abs()
			if wrong < time.Second {
				break
			}
			if time.Since(began) > time.Minute {
				t.Fatalf("the clock was set by %s, and is still %s off that", offset, wrong)
			}
		}
	}
}
