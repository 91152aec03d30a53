package connect_test

import (
	"context"
	"testing"

	"waybill/internal/connect"
	"waybill/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// A machine that loses its power holds its locks until the server asks after it.
func TestTheServerNoticesADeadMachine(t *testing.T) {
	url := pgtest.Database(t, nil, "")
	for query, want := range map[string]string{
		url:                              "30 10",
		url + "&tcp_keepalives_idle=240": "240 10",
	} {
		conn, err := connect.To(t.Context(), query, "database", map[string]string{"application_name": "waybill"})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		var got string
		err = conn.QueryRow(t.Context(), `SELECT current_setting('tcp_keepalives_idle') || ' ' || current_setting('tcp_keepalives_interval')`).Scan(&got)
		if err != nil || got != want {
			t.Errorf("keepalives are %q, %v; want %q", got, err, want)
		}
	}
}
