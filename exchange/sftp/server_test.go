package sftp_test

import (
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"waybill/exchange/sftp"
)

// ownServer is a small SFTP server in this process, for what daemons run by an ordinary account
// can't do. It speaks version 3 of the protocol without extensions; its rename replaces.
type ownServer struct {
	password    string            // "" takes none
	interactive []string          // what keyboard-interactive asks before it takes the password
	handlers    *pkgsftp.Handlers // in place of the files on disk
	speak       func(ssh.Channel) // in place of a server that keeps to the protocol
	keys        []ssh.Signer      // of the host; none: a new one

	files, addr string
}

func newKey(t *testing.T) (ed25519.PrivateKey, ssh.Signer) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, signer
}

// startOwn serves until the test ends.
func startOwn(t *testing.T, s ownServer) *ownServer {
	t.Helper()
	if s.keys == nil {
		_, key := newKey(t)
		s.keys = []ssh.Signer{key}
	}
	s.files = t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	var all sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	config := s.serverConfig()
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(conn, config) })
		}
	})
	return &s
}

var errDenied = errors.New("denied")

func (s *ownServer) serverConfig() *ssh.ServerConfig {
	config := &ssh.ServerConfig{}
	for _, key := range s.keys {
		config.AddHostKey(key)
	}
	if s.interactive == nil {
		config.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if string(password) != s.password {
				return nil, errDenied
			}
			return nil, nil
		}
		return config
	}
	config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		for _, question := range s.interactive {
			answers, err := ask("", "", []string{question}, []bool{false})
			if err != nil || len(answers) != 1 || answers[0] != s.password {
				return nil, errDenied
			}
		}
		return nil, nil
	}
	return config
}

func (s *ownServer) serve(conn net.Conn, config *ssh.ServerConfig) {
	defer conn.Close()
	logged, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	defer logged.Close()
	go ssh.DiscardRequests(requests)
	for offered := range channels {
		channel, requests, err := offered.Accept()
		if err != nil {
			return
		}
		go func() {
			for request := range requests {
				_ = request.Reply(request.Type == "subsystem", nil)
			}
		}()
		s.transfer(channel)
	}
}

func (s *ownServer) transfer(channel ssh.Channel) {
	defer channel.Close()
	if s.speak != nil {
		s.speak(channel)
		return
	}
	if s.handlers != nil {
		_ = pkgsftp.NewRequestServer(channel, *s.handlers).Serve()
		return
	}
	server, err := pkgsftp.NewServer(struct {
		io.Reader
		io.WriteCloser
	}{channel, channel}, pkgsftp.WithServerWorkingDirectory(s.files))
	if err == nil {
		_ = server.Serve()
	}
}

func (s *ownServer) knownHost() string {
	return knownhosts.Line([]string{s.addr}, s.keys[0].PublicKey())
}

func (s *ownServer) config(t *testing.T) sftp.Config {
	t.Helper()
	return sftp.Config{
		Addr: s.addr, User: "anybody", HostKeys: []string{s.knownHost()},
		Password: func() (string, error) { return s.password, nil },
		Root:     newFolder(t, s.files) + "/patient-events",
	}
}
