package ftp_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"waybill/exchange/ftp"
	"waybill/internal/fault"
)

// script is an FTP server that says what no decent one does: what to answer to which command,
// with its arguments or without. "@" in an answer stands for a transfer, which brings data or takes what is sent.
type script struct {
	answers map[string]string
	data    func(io.Writer)   // what LIST, NLST and RETR bring
	brings  map[string]string // in its place, by verb

	mu      sync.Mutex
	uploads []error // how each upload ended: io.EOF is in order
	asked   []string
}

// silence is an answer that never comes.
const silence = "…"

var plain = map[string]string{
	"USER": "331 Password?", "PASS": "230 Welcome", "FEAT": "502 No", "TYPE": "200 Fine", "NOOP": "200 Here",
	"CWD": "250 There", "PWD": `257 "/"`, "SIZE": "550 None", "LIST": "150 Here\r\n@226 Done", "NLST": "550 None",
	"RETR": "150 Here\r\n@226 Done", "STOR": "150 Go\r\n@226 Done", "MKD": "257 Made", "DELE": "250 Gone",
	"RNFR": "350 And?", "RNTO": "250 Moved",
}

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// silentServer accepts and never says a word.
func silentServer(t *testing.T) string {
	t.Helper()
	return listen(t).Addr().String()
}

// serve returns a store on the script's server.
func (s *script) serve(t testing.TB, change func(*ftp.Config)) *ftp.Store {
	t.Helper()
	l := listen(t)
	var sessions sync.WaitGroup
	sessions.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			sessions.Go(func() { s.session(conn) })
		}
	})
	config := ftp.Config{
		Addr: l.Addr().String(), User: "u", Password: func() (string, error) { return "opensesame", nil },
		TLS: ftp.None, AllowPlaintext: "it is a test", Root: "/",
	}
	change(&config)
	store, err := ftp.Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		store.Close()
		l.Close()
		sessions.Wait()
	})
	return store
}

func (s *script) session(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, cmp.Or(s.answers["hello"], "220 Hello")+"\r\n")
	var passive net.Listener
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		verb, _, _ := strings.Cut(lines.Text(), " ")
		s.mu.Lock()
		s.asked = append(s.asked, lines.Text())
		s.mu.Unlock()
		if verb == "EPSV" {
			passive, _ = net.Listen("tcp", "127.0.0.1:0")
			defer passive.Close()
			fmt.Fprintf(conn, "229 Yes (|||%d|)\r\n", passive.Addr().(*net.TCPAddr).Port)
			continue
		}
		answer := cmp.Or(s.answers[lines.Text()], s.answers[verb], plain[verb])
		before, after, transfer := strings.Cut(answer, "@")
		if answer == silence {
			continue
		}
		fmt.Fprint(conn, before)
		if transfer {
			s.transfer(passive, verb)
			if after == "" { // hangs up
				return
			}
			if after == silence {
				continue
			}
			fmt.Fprint(conn, after)
		}
		fmt.Fprint(conn, "\r\n")
	}
}

func (s *script) transfer(passive net.Listener, verb string) {
	conn, err := passive.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	if text, ok := s.brings[verb]; ok {
		io.WriteString(conn, text)
		return
	}
	if verb != "STOR" {
		s.data(conn)
		return
	}
	_, err = io.Copy(io.Discard, conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uploads = append(s.uploads, err)
}

// with changes answers of the plain script; data is what transfers bring.
func with(data string, answers map[string]string) *script {
	return &script{answers: answers, data: func(w io.Writer) { io.WriteString(w, data) }}
}

func unaltered(*ftp.Config) {}

func TestHowTransfersEnd(t *testing.T) {
	const whole = "all of it"
	for _, test := range []struct {
		name    string
		answers map[string]string
		data    string
		good    bool
	}{
		{"in order", map[string]string{"SIZE": "213 9"}, whole, true},
		{"with the other word for it", map[string]string{"SIZE": "213 9", "RETR": "150 Here\r\n@250 Done"}, whole, true},
		{"on a server without SIZE", map[string]string{"SIZE": "500 What?"}, whole, true},
		{"short, and the server sees nothing wrong", map[string]string{"SIZE": "213 10"}, whole, false},
		{"with an apology", map[string]string{"SIZE": "213 9", "RETR": "150 Here\r\n@426 Sorry"}, whole, false},
		{"without a word", map[string]string{"SIZE": "213 9", "RETR": "150 Here\r\n@"}, whole, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			data, err := get(with(test.data, test.answers).serve(t, unaltered), "a")
			if test.good && (err != nil || data != whole) {
				t.Errorf("get = %q, %v", data, err)
			}
			if !test.good {
				wantFault(t, "get", err, fault.Transient, "")
			}
		})
	}
}

func TestUploadsAreCheckedForSize(t *testing.T) {
	upload := func(answer string) error {
		store := with("", map[string]string{"SIZE": answer, "SIZE /a": "550 None"}).serve(t, unaltered)
		return store.Put(t.Context(), "a", 3, strings.NewReader("abc"))
	}
	wantFault(t, "a short upload", upload("213 2"), fault.Transient, "2 of 3")
	wantFault(t, "an upload that can't be seen", upload("550 None"), fault.Usage, "see what it has uploaded")
}

// An orderly close is the end of the file: the server must not take one for it.
func TestUploadsThatAreGivenUpAreNotEnded(t *testing.T) {
	s := with("", nil)
	store := s.serve(t, func(c *ftp.Config) { c.Direct = true })
	if err := store.Put(t.Context(), "a", 3*mB, random(1, 2*mB)); err == nil {
		t.Error("put of a short body = nil")
	}
	ctx, cancel := context.WithCancel(t.Context())
	body := io.MultiReader(random(1, mB), &cutter{cancel}, random(1, 2*mB))
	if err := store.Put(ctx, "a", 3*mB, body); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled put = %v", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.uploads) != 2 || s.uploads[0] == nil || s.uploads[1] == nil {
		t.Errorf("uploads ended with %v, want two errors", s.uploads)
	}
}

func TestRefusalsAreClassified(t *testing.T) {
	for answer, want := range map[string]struct {
		class fault.Class
		word  string
	}{
		"421 Too many":      {fault.Transient, "connections"},
		"425 No data":       {fault.Transient, "passive"},
		"450 Busy":          {fault.Transient, "450"},
		"452 Full":          {fault.Transient, "room"},
		"552 Quota":         {fault.Transient, "quota"},
		"553 Not that name": {fault.Usage, "upload"},
		"550 Not you":       {fault.Usage, "upload"},
		"522 No reuse":      {fault.Usage, "TLS"},
		"502 No such thing": {fault.Usage, "server"},
	} {
		store := with("", map[string]string{"STOR": answer}).serve(t, unaltered)
		wantFault(t, answer, store.Put(t.Context(), "a", 1, strings.NewReader("x")), want.class, want.word)
	}
}

func TestRefusedLoginsAreClassified(t *testing.T) {
	for _, test := range []struct {
		command, answer string
		class           fault.Class
		word            string
	}{
		{"PASS", "530 Login incorrect", fault.Usage, "password"},
		{"PASS", "430 Who?", fault.Usage, "password"},
		{"PASS", "530 Sorry, the maximum number of clients is reached", fault.Transient, "connections"},
		{"USER", "421 Too many users", fault.Transient, "connections"},
		{"PASS", "454 The directory of users is being restarted, opensesame", fault.Transient, "restarted"},
	} {
		_, err := get(with("", map[string]string{test.command: test.answer}).serve(t, unaltered), "a")
		wantFault(t, test.answer, err, test.class, test.word)
		if strings.Contains(err.Error(), "opensesame") {
			t.Errorf("the password is in %q", err)
		}
	}
}

func TestServersWordsAreMadeFitForATerminal(t *testing.T) {
	store := with("", map[string]string{"PASS": "530 opensesame\x1b[2J " + strings.Repeat("x", 1000)}).serve(t, unaltered)
	_, err := get(store, "a")
	wantFault(t, "get", err, fault.Usage, "530")
	if text := err.Error(); strings.Contains(text, "opensesame") || strings.Contains(text, "\x1b") || len(text) > 500 {
		t.Errorf("error: %q", text)
	}
}

func TestASilentServerDoesNotHangACall(t *testing.T) {
	stall := func(io.Writer) { <-t.Context().Done() }
	s := &script{answers: map[string]string{"SIZE": "213 9"}, data: stall}
	store := s.serve(t, func(c *ftp.Config) { c.Times.Idle = 50 * time.Millisecond })
	_, err := get(store, "a")
	wantFault(t, "get", err, fault.Transient, "timeout")
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("get = %v", err)
	}
}

// pyftpdlib at times never answers an upload that was cut: the call ends all the same, and the server is asked to remove what
// it has of the file.
func TestAnUploadThatIsNeverAnsweredAfterACut(t *testing.T) {
	t.Parallel()
	for name, answers := range map[string]map[string]string{
		"the upload": {"STOR": "150 Go\r\n@" + silence}, "anything": {"STOR": "150 Go\r\n@" + silence, "DELE": silence},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const tried = "/.waybill-before.tmp" // that the account may rename
			answers["SIZE "+tried], answers["DELE "+tried], answers["DELE /.waybill-renamed.tmp"] = "213 0", "250 Gone", "250 Gone"
			s := with("", answers)
			store := s.serve(t, func(c *ftp.Config) { c.Times.Idle = 10 * time.Minute })
			start := time.Now()
			err := store.Put(t.Context(), "a", 3*mB, random(1, 2*mB))
			wantFault(t, "put", err, fault.Transient, "the source has")
			if took := time.Since(start); took > 5*time.Minute {
				t.Errorf("that took %v", took)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if last := s.asked[len(s.asked)-1]; !strings.HasPrefix(last, "DELE /.waybill-") || strings.Contains(last, tried) {
				t.Errorf("asked: %q", s.asked)
			}
		})
	}
}

// The library reads a reply to its end, and the first before anybody is known.
func TestAnEndlessReplyIsGivenUp(t *testing.T) {
	for name, reply := range map[string]string{"of one line": strings.Repeat("A", 1<<16), "of many lines": strings.Repeat("220-Hello\r\n", 1<<12)} {
		t.Run(name, func(t *testing.T) {
			l := listen(t)
			sent := make(chan int, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				n, total := 0, 0
				for _, err = io.WriteString(conn, "220-"); err == nil && total < 64<<20; total += n {
					n, err = io.WriteString(conn, reply)
				}
				sent <- total
			}()
			store, err := ftp.Open(ftp.Config{
				Addr: l.Addr().String(), User: "u", Password: func() (string, error) { return "p", nil }, TLS: ftp.Explicit,
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = get(store, "a")
			wantFault(t, "get", err, fault.Transient, "a reply of more than 64 KiB")
			if total := <-sent; total >= 64<<20 {
				t.Errorf("%d bytes were taken", total)
			}
		})
	}
}
