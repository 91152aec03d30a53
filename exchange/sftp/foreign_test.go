package sftp_test

import (
	"flag"
	"testing"

	"waybill/exchange/sftp"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

var update = flag.Bool("update", false, "write this package's table of docs/servers.md anew")

// Servers that differ from those of every other test.
func TestProofForeignServers(t *testing.T) {
	native := exchangetest.Capabilities{NativePublish: true, Overwrites: true}
	foreign := []exchangetest.Foreign{{Name: "asyncssh", Start: servers.StartAsyncSSH, Caps: native, Remark: "offers hardlink, posix-rename and fsync"}}
	exchangetest.ForeignServers(t, "SFTP servers", *update, foreign, func(t *testing.T, server *servers.Foreign) exchangetest.Place {
		line, err := server.KnownHost()
		if err != nil {
			t.Fatal(err)
		}
		cfg := sftp.Config{
			Addr: server.Addr(), User: server.User, HostKeys: []string{line},
			Password: func() (string, error) { return server.Password, nil },
			Root:     newFolder(t, server.Files) + "/patient-events",
		}
		return placeOf(t, server.Files, cfg, false)
	})
}
