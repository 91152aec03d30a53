package ftp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"waybill/exchange/ftp"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

// Servers that differ from those of every other test.
func TestProofForeignServers(t *testing.T) {
	foreign := []exchangetest.Foreign{{
		Name: "pyftpdlib", Start: servers.StartPyftpdlib, Caps: exchangetest.Capabilities{HidesLinks: true},
		Remark: "may never answer an upload that was cut; lists a link as what it leads to",
	}}
	if os.Geteuid() == 0 { // else it lets nobody in
		foreign = append(foreign, exchangetest.Foreign{
			Name: "pure-ftpd", Start: servers.StartPureFTPd, Caps: exchangetest.Capabilities{ListsAtMost: 9_990},
			Remark: "lists 10,000 names, `.` and `..` among them, and says that there are more: an error. `-L` has it list more",
		})
	}
	exchangetest.ForeignServers(t, "FTP servers", *update, foreign, func(t *testing.T, server *servers.Foreign) exchangetest.Place {
		config := ftp.Config{
			Addr: server.Addr(), User: server.User, Password: func() (string, error) { return server.Password, nil },
			Root: fmt.Sprintf("patient-events-%d", place.folders.Add(1)), TLS: ftp.None, AllowPlaintext: "it is a test",
		}
		at := func(name string) string { return filepath.Join(server.Files, config.Root, name) }
		return exchangetest.Place{
			Store: open(t, config),
			Plant: func(name string, data []byte) error { return os.WriteFile(at(name), data, 0o644) },
			Link:  func(name, target string) error { return os.Symlink(target, at(name)) },
			Close: func(name string) error { return os.Chmod(at(name), 0) },
		}
	})
}
