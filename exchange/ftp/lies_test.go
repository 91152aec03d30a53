package ftp_test

import (
	"errors"
	"flag"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/lab/exchangetest"
)

var update = flag.Bool("update", false, "write this package's table of docs/lies.md anew")

const lied = 3 * mB // of a file that is lied about

var content = strings.Repeat("x", lied)

// puts has a liar given a file, which must not get its name.
func puts(l *liar) func(*testing.T) error {
	return func(t *testing.T) error {
		err := l.serve(t).Put(t.Context(), "log/a", lied, strings.NewReader(content))
		l.mu.Lock()
		defer l.mu.Unlock()
		if text, there := l.files["/log/a"]; there || err == nil {
			t.Errorf("%d bytes under the name, %v", len(text), err)
		}
		return err
	}
}

// gets asks a liar for a file, which must not be had.
func gets(l *liar) func(*testing.T) error {
	return func(t *testing.T) error {
		l.files = map[string]string{"/log/a": content}
		_, err := get(l.serve(t), "log/a")
		if err == nil || errors.Is(err, exchange.ErrNotFound) {
			t.Errorf("get = %v", err)
		}
		return err
	}
}

func lists(l *liar) func(*testing.T) error {
	return func(t *testing.T) error {
		l.files = map[string]string{"/log/a": "x", "/log/b": "x", "/log/c": "x"}
		store := l.serve(t)
		_, surveyed := store.Survey(t.Context(), "log")
		var err error
		for _, err = range store.List(t.Context(), "log") {
		}
		if err == nil || surveyed == nil {
			t.Errorf("list = %v, survey = %v", err, surveyed)
		}
		return err
	}
}

// publishes has another put a file in place meanwhile, and wants one of the two there, whole.
func publishes(l *liar, want string, wanted error) func(*testing.T) error {
	return func(t *testing.T) error {
		err := l.serve(t).Publish(t.Context(), "log/a", []byte("ours"))
		if l.files["/log/a"] != want || !errors.Is(err, wanted) {
			t.Errorf("publish = %v, and %q is there", err, l.files["/log/a"])
		}
		return err
	}
}

func staleListing(t *testing.T) error {
	store := (&liar{stale: true}).serve(t)
	put(t, store, "log/a", "x")
	wantListed(t, store, "log")
	_, err := get(store, "log/a")
	return err
}

func missingWith450(t *testing.T) error {
	_, err := get((&liar{answers: map[string]string{"SIZE": "450 path not found", "NLST": "550 None"}}).serve(t), "log/a")
	if !errors.Is(err, exchange.ErrNotFound) {
		t.Errorf("get = %v", err)
	}
	return err
}

func dataElsewhere(t *testing.T) error {
	elsewhere, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer elsewhere.Close()
	port := elsewhere.Addr().(*net.TCPAddr).Port
	l := &liar{answers: map[string]string{"EPSV": "500 What?", "PASV": fmt.Sprintf("227 Yes (127,0,0,2,%d,%d)", port/256, port%256)}}
	err = puts(l)(t)
	_ = elsewhere.(*net.TCPListener).SetDeadline(time.Now().Add(50 * time.Millisecond))
	if _, accepted := elsewhere.Accept(); accepted == nil {
		t.Error("another machine was connected to")
	}
	return err
}

func TestProofLies(t *testing.T) {
	const (
		nothing = "nothing is under the file's name"
		ends    = "the call ends, and nothing is under the file's name"
		noPart  = "a part of a file is not mistaken for the file"
		noList  = "a part of a listing is not mistaken for the listing"
	)
	lies := []exchangetest.Lie{
		{What: "keeps half of an upload, and answers 226", Holds: nothing, Try: puts(&liar{halves: "STOR"})},
		{What: "sends half of a file, and answers 226", Holds: noPart, Try: gets(&liar{halves: "RETR"})},
		{What: "breaks off an upload", Holds: nothing, Try: puts(&liar{resets: "STOR"})},
		{What: "breaks off a download", Holds: noPart, Try: gets(&liar{resets: "RETR"})},
		{What: "lists half, and says so after 226", Holds: noList, Try: lists(&liar{says: "226 Output truncated to 1 matches"})},
		{What: "breaks off a listing in a line, and answers 226", Holds: noList, Try: lists(&liar{halves: "MLSD"})},
		{What: "lists nothing of what is there", Holds: "files are opened by name: nothing depends on a listing", Try: staleListing},
		{What: "answers 450 for a file that is missing", Holds: "it is missing", Try: missingWith450},
		{
			What: "refuses to rename over what another put there meanwhile", Holds: "the other's file stays",
			Try: publishes(&liar{meanwhile: "/log/a", renames: "553 Taken"}, "another's", exchange.ErrExists),
		},
		{
			What: "renames over what another put there meanwhile", Holds: "one of the two files is there, whole; the other's writer finds out by reading back",
			Try: publishes(&liar{meanwhile: "/log/a"}, "ours", nil),
		},
		{
			What: "renames, and answers 550", Holds: "the file is there, whole; its writer reads it back and knows it",
			Try: publishes(&liar{renames: "550 No"}, "ours", exchange.ErrExists),
		},
		{What: "names another machine for data", Holds: "no other machine is connected to", Try: dataElsewhere},
		{What: "never stops to reply", Holds: "64 KiB are kept", Try: puts(&liar{endless: "SIZE"})},
		{What: "never says that an upload is complete", Holds: ends, Try: puts(&liar{hangsData: "STOR"})},
		{What: "never says that a download is complete", Holds: noPart, Try: gets(&liar{hangsData: "RETR"})},
		{What: "never says that a listing is complete", Holds: noList, Try: lists(&liar{hangsData: "MLSD"})},
	}
	for _, verb := range []string{"USER", "PASS", "FEAT", "TYPE", "SIZE", "CWD", "EPSV", "STOR", "RNFR", "RNTO"} {
		lies = append(lies, exchangetest.Lie{What: "never answers " + verb, Holds: ends, Try: puts(&liar{hangs: verb})})
	}
	exchangetest.Lies(t, "FTP", *update, lies)
}
