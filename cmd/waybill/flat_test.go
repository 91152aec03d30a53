package main_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/lab/servers"
	"waybill/lab/servers/hosttest"
)

// newBareAccount is an exchange on an FTP server that lets nobody make folders.
func newBareAccount(t *testing.T) hosttest.Exchange {
	t.Helper()
	dir, err := os.MkdirTemp("", "waybill-flat-*")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	ca, err := servers.NewCA(dir)
	certificate, issueErr := ca.Issue("127.0.0.1")
	if err := errors.Join(err, issueErr, os.Chmod(dir, 0o755)); err != nil { // servers run as another user where this one is root
		t.Fatal(err)
	}
	server, err := servers.StartVsftpd(t.Context(), filepath.Join(dir, "vsftpd"), servers.FTPOptions{Certificate: certificate, NoFolders: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	query := url.Values{"ca_file": {ca.File}}
	return hosttest.Exchange{Kind: "ftp", Exchange: servers.Exchange{
		URL:      fmt.Sprintf("ftps://%s@%s/~/?%s", server.User, server.Addr(), query.Encode()),
		Password: server.Password, Path: server.Files,
	}}
}

func TestAServerWithoutFolders(t *testing.T) {
	place := newBareAccount(t)
	s := newSiteAt(t, place)
	s.firstDay()
	s.fails(2, []string{"make folder", "?flat"}, "export")
	if fact := s.diagnosis()["patients store write"]; !fact.Fails || !strings.Contains(fact.Advice, "?flat") {
		t.Errorf("doctor: %+v", fact)
	}

	place.URL += "&flat"
	s = newSiteAt(t, place)
	if failed := s.failures(); !slices.Equal(failed, withoutFsync) {
		t.Errorf("doctor: %q fail, want %q", failed, withoutFsync)
	}
	s.firstDay()
	s.exchangeAll()
	s.secondDay()
	s.exchangeAll()
	if dead := s.query(s.conn["morgue"], "SELECT count(*) FROM morgue.patient WHERE death_status = 'formal'"); dead != "3\n" {
		t.Errorf("the morgue knows %s dead, want 3", dead)
	}
	files, err := os.ReadDir(place.Path)
	if err != nil {
		t.Fatal(err)
	}
	receipts := 0
	for _, file := range files {
		if file.IsDir() || !strings.HasPrefix(file.Name(), "patient-events+") {
			t.Errorf("on the server: %s", file.Name())
		}
		if strings.HasPrefix(file.Name(), "patient-events+receipts+morgue@east+") {
			receipts++
		}
	}
	if receipts != 1 { // the newest
		t.Errorf("%d receipts of the morgue, want 1", receipts)
	}
	s.says(s.do("status"), "patients", "morgue@east")
}
