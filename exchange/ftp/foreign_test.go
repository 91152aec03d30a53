package ftp_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	client "github.com/jlaffaye/ftp"

	"waybill/exchange/ftp"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

// Servers that differ from those of every other test.
func TestProofForeignServers(t *testing.T) {
	foreign := []exchangetest.Foreign{{
		Name: "pyftpdlib", Start: servers.StartPyftpdlib, Caps: exchangetest.Capabilities{HidesLinks: true},
		Remark: "may never answer an upload that was cut; lists a link as what it leads to",
	}, {
		Name: "Apache FtpServer", Start: servers.StartFTPServer, Caps: exchangetest.Capabilities{HidesLinks: true},
		Remark: "lists a link as what it leads to",
	}, {
		Name: "rclone serve ftp", Start: servers.StartRcloneFTP, Caps: exchangetest.Capabilities{Undated: true, OmitsLinks: true, Slow: true, FailsAtFirst: true, OneAtATime: true},
		Remark: "says 450 for what is missing, and 551 for a folder; lists no links; gives no times; misses files that several publish at once",
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
		place := exchangetest.Place{
			Store: open(t, config),
			Plant: func(name string, data []byte) error { return os.WriteFile(at(name), data, 0o644) },
			Link:  func(name, target string) error { return os.Symlink(target, at(name)) },
			Close: func(name string) error { return os.Chmod(at(name), 0) },
		}
		if server.Cached {
			place.Plant = func(name string, data []byte) error { return plant(server, config.Root+"/"+name, data) }
		}
		return place
	})
}

// plant uploads a file by another client than the store's.
func plant(server *servers.Foreign, name string, data []byte) error {
	if strings.ContainsFunc(name, unicode.IsControl) { // which no command can hold
		return nil
	}
	c, err := client.Dial(server.Addr())
	if err == nil {
		err = c.Login(server.User, server.Password)
	}
	if err == nil {
		err = c.Stor(name, bytes.NewReader(data))
	}
	return errors.Join(err, c.Quit())
}
