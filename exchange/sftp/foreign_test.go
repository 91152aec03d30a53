package sftp_test

import (
	"errors"
	"flag"
	"fmt"
	"path"
	"testing"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"waybill/exchange/sftp"
	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

var update = flag.Bool("update", false, "write this package's table of docs/servers.md anew")

// Servers that differ from those of every other test.
func TestProofForeignServers(t *testing.T) {
	native := exchangetest.Capabilities{NativePublish: true, Overwrites: true}
	foreign := []exchangetest.Foreign{
		{Name: "asyncssh", Start: servers.StartAsyncSSH, Caps: native, Remark: "offers hardlink, posix-rename and fsync"},
		{Name: "Apache MINA SSHD", Start: servers.StartMinaSSHD, Caps: native, Remark: "refuses, for lack of rights, what leads through a file"},
		{
			Name: "rclone serve sftp", Start: servers.StartRcloneSFTP, Caps: exchangetest.Capabilities{Overwrites: true, OneAtATime: true, Slow: true, OmitsLinks: true},
			Remark: "offers hardlink and can't; several who publish at once spoil the file, so that `doctor` refuses it to an exporter",
		},
	}
	exchangetest.ForeignServers(t, "SFTP servers", *update, foreign, func(t *testing.T, server *servers.Foreign) exchangetest.Place {
		line, err := server.KnownHost()
		if err != nil {
			t.Fatal(err)
		}
		cfg := sftp.Config{
			Addr: server.Addr(), User: server.User, HostKeys: []string{line},
			Password: func() (string, error) { return server.Password, nil },
			Root:     fmt.Sprintf("site-%d/patient-events", folders.Add(1)),
		}
		if !server.Cached {
			cfg.Root = newFolder(t, server.Files) + "/patient-events"
			return placeOf(t, server.Files, cfg, false)
		}
		files := logIn(t, server)
		must(t, files.Mkdir(path.Dir(cfg.Root)))
		return exchangetest.Place{Store: open(t, cfg), Plant: func(name string, data []byte) error {
			file, err := files.Create(path.Join(cfg.Root, name))
			if err == nil {
				_, err = file.Write(data)
			}
			return errors.Join(err, file.Close())
		}}
	})
}

// logIn returns another client than the store's.
func logIn(t *testing.T, server *servers.Foreign) *pkgsftp.Client {
	t.Helper()
	conn, err := ssh.Dial("tcp", server.Addr(), &ssh.ClientConfig{
		User: server.User, Auth: []ssh.AuthMethod{ssh.Password(server.Password)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	files, err := pkgsftp.NewClient(conn)
	must(t, err)
	return files
}
