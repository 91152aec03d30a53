package ftp_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/exchange/ftp"
)

// liar is an FTP server that keeps files in memory. Its switches make it break the protocol.
type liar struct {
	hangs     string            // the verb that it never answers
	hangsData string            // the verb after whose data it never says that they are whole
	resets    string            // the verb whose data it breaks off
	halves    string            // the verb of whose data it takes or gives a half, and says 226
	says      string            // what it says at the end of a listing, of which it leaves half out
	stale     bool              // it lists nothing
	renames   string            // what it says to RNTO, "250" if it replaces what is there
	gone      string            // the folder that another removes, and for which it takes an upload before it says so
	meanwhile string            // a file that another puts in place at RNFR
	endless   string            // the verb to which it never stops to reply
	answers   map[string]string // what else it says to a command

	mu    sync.Mutex
	files map[string]string
}

// serve returns a store on the liar.
func (l *liar) serve(t *testing.T) *ftp.Store {
	t.Helper()
	if l.files == nil {
		l.files = map[string]string{}
	}
	listener := listen(t)
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { l.session(conn) })
		}
	})
	config := ftp.Config{
		Addr: listener.Addr().String(), User: "u", Password: func() (string, error) { return "p", nil },
		TLS: ftp.None, AllowPlaintext: "it is a test", Root: "/",
	}
	config.Times.Idle, config.Times.Connect = time.Minute, time.Minute
	if l.hangs != "" || l.hangsData != "" {
		config.Times.Idle = 300 * time.Millisecond
	}
	store, err := ftp.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		store.Close()
		listener.Close()
		sessions.Wait()
	})
	return store
}

func (l *liar) session(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, "220 Hello\r\n")
	var passive net.Listener
	from := ""
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		verb, arg, _ := strings.Cut(lines.Text(), " ")
		switch {
		case verb == l.hangs, verb == "PASV" && l.hangs == "EPSV":
			continue
		case verb == l.endless:
			for err := error(nil); err == nil; {
				_, err = io.WriteString(conn, verb+"-"+strings.Repeat("A", 1000)+"\r\n")
			}
			return
		}
		if answer, ok := l.answers[verb]; ok {
			fmt.Fprint(conn, answer+"\r\n")
			continue
		}
		switch verb {
		case "EPSV":
			if passive != nil {
				passive.Close()
			}
			passive, _ = net.Listen("tcp", "127.0.0.1:0")
			defer passive.Close()
			fmt.Fprintf(conn, "229 Yes (|||%d|)\r\n", passive.Addr().(*net.TCPAddr).Port)
		case "STOR", "RETR", "MLSD":
			l.transfer(conn, passive, verb, arg)
		case "RNFR":
			from = arg
			if l.meanwhile != "" && !strings.Contains(arg, "before") {
				l.put(l.meanwhile, "another's")
			}
			fmt.Fprint(conn, "350 And?\r\n")
		default:
			fmt.Fprint(conn, l.answer(verb, arg, from)+"\r\n")
		}
	}
}

func (l *liar) put(name, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files[name] = text
}

func (l *liar) isGone(folder string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return folder == l.gone
}

func (l *liar) answer(verb, arg, from string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, there := l.files[arg]
	switch verb {
	case "USER":
		return "331 Password?"
	case "PASS":
		return "230 Welcome"
	case "FEAT":
		return "211-Have\r\n MLST type*;size*;\r\n211 End"
	case "CWD":
		if arg == l.gone {
			return "550 None"
		}
		return "250 There"
	case "MKD":
		l.gone = ""
		return "257 Made"
	case "SIZE":
		if !there {
			return "550 None"
		}
		return fmt.Sprintf("213 %d", len(text))
	case "DELE":
		delete(l.files, arg)
		return "250 Gone"
	case "RNTO":
		if there && l.renames != "" && !strings.HasPrefix(l.renames, "250") {
			return l.renames
		}
		l.files[arg] = l.files[from]
		delete(l.files, from)
		if !there && l.renames != "" && !strings.Contains(arg, "renamed") {
			return l.renames
		}
		return "250 Moved"
	default:
		return "200 Fine"
	}
}

func (l *liar) transfer(control net.Conn, passive net.Listener, verb, arg string) {
	l.mu.Lock()
	text, there := l.files[arg]
	l.mu.Unlock()
	if verb == "RETR" && !there {
		fmt.Fprint(control, "550 None\r\n")
		return
	}
	fmt.Fprint(control, "150 Here\r\n")
	data, err := passive.Accept()
	if err != nil {
		return
	}
	defer data.Close()
	if verb == "MLSD" {
		text = l.listing()
	}
	if verb == l.halves {
		text = text[:len(text)/2]
	}
	switch {
	case verb == "STOR" && l.resets == verb && !strings.Contains(arg, "before"):
		_, _ = io.ReadFull(data, make([]byte, 1000))
		_ = data.(*net.TCPConn).SetLinger(0)
		data.Close()
		fmt.Fprint(control, "426 Sorry\r\n")
		return
	case verb == l.resets:
		_, _ = io.WriteString(data, text[:len(text)/2])
		_ = data.(*net.TCPConn).SetLinger(0)
		_ = control.(*net.TCPConn).SetLinger(0)
		control.Close()
		return
	case verb == "STOR":
		sent, _ := io.ReadAll(data)
		if verb == l.halves {
			sent = sent[:len(sent)/2]
		}
		if l.isGone(path.Dir(arg)) {
			data.Close()
			fmt.Fprint(control, "450 None\r\n")
			return
		}
		l.put(arg, string(sent))
	default:
		_, _ = io.WriteString(data, text)
	}
	data.Close()
	switch {
	case verb == l.hangsData:
	case verb == "MLSD" && l.says != "":
		fmt.Fprint(control, l.says+"\r\n")
	default:
		fmt.Fprint(control, "226 Done\r\n")
	}
}

// listing gives the names of one folder.
func (l *liar) listing() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for name, text := range l.files {
		lines = append(lines, fmt.Sprintf("type=file;size=%d; %s\r\n", len(text), path.Base(name)))
	}
	slices.Sort(lines)
	if l.stale {
		lines = nil
	}
	if l.says != "" {
		lines = lines[:len(lines)/2]
	}
	return strings.Join(lines, "")
}
