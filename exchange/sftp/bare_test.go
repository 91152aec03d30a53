package sftp_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// bare is a server whose READDIR gives names, and of their attributes only those that keep says.
func bare(t *testing.T, keep uint32) *ownServer {
	server := startOwn(t, ownServer{password: "secret"})
	files := server.files
	server = startOwn(t, ownServer{password: "secret", speak: func(channel ssh.Channel) {
		answers, write := io.Pipe()
		inner, err := pkgsftp.NewServer(struct {
			io.Reader
			io.WriteCloser
		}{channel, write}, pkgsftp.WithServerWorkingDirectory(files))
		if err != nil {
			return
		}
		go func() {
			_ = inner.Serve()
			_ = write.Close()
		}()
		for {
			packet, err := readPacket(answers)
			if err == nil {
				_, err = channel.Write(strip(packet, keep))
			}
			if err != nil {
				_ = answers.Close()
				return
			}
		}
	}})
	server.files = files
	return server
}

func readPacket(r io.Reader) ([]byte, error) {
	packet := make([]byte, 4)
	if _, err := io.ReadFull(r, packet); err != nil {
		return nil, err
	}
	packet = append(packet, make([]byte, binary.BigEndian.Uint32(packet))...)
	_, err := io.ReadFull(r, packet[4:])
	return packet, err
}

// strip returns a packet in which names have fewer attributes.
func strip(packet []byte, keep uint32) []byte {
	const name, head = 104, 4 + 1 + 4 + 4
	if packet[4] != name {
		return packet
	}
	out, rest := slices.Clone(packet[:head]), packet[head:]
	take := func(n uint32, wanted bool) {
		if wanted {
			out = append(out, rest[:n]...)
		}
		rest = rest[n:]
	}
	for range binary.BigEndian.Uint32(packet[9:]) {
		for range 2 { // the name, and the line for people
			take(4+binary.BigEndian.Uint32(rest), true)
		}
		flags := binary.BigEndian.Uint32(rest)
		rest = rest[4:]
		out = binary.BigEndian.AppendUint32(out, flags&keep)
		for _, attribute := range []struct{ flag, size uint32 }{{1, 8}, {2, 8}, {4, 4}, {8, 8}} {
			if flags&attribute.flag != 0 {
				take(attribute.size, keep&attribute.flag != 0)
			}
		}
	}
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

func TestWhatReaddirLeavesOutIsAsked(t *testing.T) {
	const size, permissions, times = 1, 4, 8
	for _, keep := range []uint32{0, size, permissions, times, size | times, permissions | times} {
		t.Run(fmt.Sprint(keep), func(t *testing.T) {
			server := bare(t, keep)
			cfg := server.config(t)
			root := filepath.Join(server.files, cfg.Root)
			if err := os.MkdirAll(filepath.Join(root, "in", "folder"), 0o755); err != nil {
				t.Fatal(err)
			}
			for name, data := range map[string]string{"a.csv": "abc", "empty.csv": "", "B\xfcro.csv": "x"} {
				if err := os.WriteFile(filepath.Join(root, "in", name), []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink("a.csv", filepath.Join(root, "in", "link.csv")); err != nil {
				t.Fatal(err)
			}
			store := open(t, cfg)
			var names []string
			for name, err := range store.List(t.Context(), "in") {
				if err != nil {
					t.Fatal(err)
				}
				names = append(names, name)
			}
			slices.Sort(names)
			if want := []string{"a.csv", "empty.csv", "folder/"}; !slices.Equal(names, want) {
				t.Errorf("listed: %q, want %q", names, want)
			}
			found, err := store.Survey(t.Context(), "in")
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				if f.Modified.Unix() == 0 {
					t.Errorf("%s has no time", f.Name)
				}
				if f.Link {
					f.Size = -1
				}
				got = append(got, fmt.Sprint(f.Name, " ", f.Size))
			}
			slices.Sort(got)
			if want := []string{"B\xfcro.csv 1", "a.csv 3", "empty.csv 0", "link.csv -1"}; !slices.Equal(got, want) {
				t.Errorf("found: %q, want %q", got, want)
			}
		})
	}
}
