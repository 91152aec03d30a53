package sftp_test

import (
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"waybill/exchange/sftp"
	"waybill/internal/fault"
)

// Packets of the protocol, by their numbers.
const (
	fxpVersion  = 2
	fxpWrite    = 6
	fxpRename   = 18
	fxpStatus   = 101
	fxpExtended = 200
)

// syncing is a server that offers fsync, answers it by a status, and notes what it is asked to do with files.
type syncing struct {
	mu      sync.Mutex
	status  uint32
	asked   []string
	channel ssh.Channel
}

func (s *syncing) start(t *testing.T) *sftp.Store {
	files := startOwn(t, ownServer{password: secret}).files
	server := startOwn(t, ownServer{password: secret, speak: func(channel ssh.Channel) {
		s.channel = channel
		answers, write := io.Pipe()
		read, requests := io.Pipe()
		inner, err := pkgsftp.NewServer(struct {
			io.Reader
			io.WriteCloser
		}{read, write}, pkgsftp.WithServerWorkingDirectory(files))
		if err != nil {
			return
		}
		go func() { _ = write.CloseWithError(inner.Serve()) }()
		go s.answer(answers)
		for {
			packet, err := readPacket(channel)
			if err == nil && !s.takes(packet) {
				_, err = requests.Write(packet)
			}
			if err != nil {
				_ = requests.Close()
				return
			}
		}
	}})
	server.files = files
	return open(t, server.config(t))
}

// answer passes the answers on, the first one with the extension.
func (s *syncing) answer(answers io.Reader) {
	for {
		packet, err := readPacket(answers)
		if err != nil {
			return
		}
		if packet[4] == fxpVersion {
			for _, text := range []string{"fsync@openssh.com", "1"} {
				packet = append(binary.BigEndian.AppendUint32(packet, uint32(len(text))), text...)
			}
			binary.BigEndian.PutUint32(packet, uint32(len(packet)-4))
		}
		s.send(packet)
	}
}

func (s *syncing) send(packet []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.channel.Write(packet)
}

// takes notes a request, and answers it if it is fsync.
func (s *syncing) takes(packet []byte) bool {
	asked := map[byte]string{fxpWrite: "write", fxpRename: "rename"}[packet[4]]
	isSync := packet[4] == fxpExtended && strings.Contains(string(packet[9:]), "fsync@openssh.com")
	if isSync {
		asked = "fsync"
		status := append([]byte{0, 0, 0, 17, fxpStatus}, packet[5:9]...)
		s.send(append(binary.BigEndian.AppendUint32(status, s.status), make([]byte, 8)...))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if asked != "" && (len(s.asked) == 0 || s.asked[len(s.asked)-1] != asked) {
		s.asked = append(s.asked, asked)
	}
	return isSync
}

// Where a server offers it, a file is durable before it gets its name. If the server can't make it durable, it has no file of
// that name; if it doesn't know how, nothing more can be done.
func TestAFileIsDurableBeforeItHasItsName(t *testing.T) {
	const ok, failure, unsupported = 0, 4, 8
	for name, c := range map[string]struct {
		status uint32
		done   bool
	}{"durable": {ok, true}, "not durable": {failure, false}, "offered, and not supported": {unsupported, true}} {
		t.Run(name, func(t *testing.T) {
			server := &syncing{status: c.status}
			store := server.start(t)
			for _, write := range []func() error{
				func() error { return store.Put(t.Context(), "log/a", 5, strings.NewReader("whole")) },
				func() error { return store.Publish(t.Context(), "log/b", []byte("whole")) },
			} {
				if err := store.Put(t.Context(), "log/first", 0, strings.NewReader("")); (err == nil) != c.done { // finds out what the account may do
					t.Fatal(err)
				}
				server.mu.Lock()
				server.asked = nil
				server.mu.Unlock()
				if err := write(); (err == nil) != c.done || err != nil && fault.ClassOf(err) != fault.Transient {
					t.Errorf("%v", err)
				}
				want := []string{"write", "fsync", "rename"}
				if !c.done {
					want = want[:2]
				}
				server.mu.Lock()
				if !slices.Equal(server.asked, want) {
					t.Errorf("the server was asked to %q, want %q", server.asked, want)
				}
				server.mu.Unlock()
			}
			if got := list(t, store, "log"); (len(got) == 3) != c.done || !c.done && len(got) > 0 {
				t.Errorf("left: %q", got)
			}
		})
	}
}
