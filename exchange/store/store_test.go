package store_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waybill/exchange/store"
	"waybill/internal/fault"
)

func TestOpenRootsTheStoreAtTheStream(t *testing.T) {
	root := filepath.Join(t.TempDir(), "white space")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, url := range map[string]string{
		"path.txt":      root,
		"url.txt":       "file://" + strings.ReplaceAll(root, " ", "%20"),
		"localhost.txt": "file://localhost" + strings.ReplaceAll(root, " ", "%20") + "/",
	} {
		s, err := store.Open(store.Config{URL: url})
		if err != nil {
			t.Fatalf("Open(%q): %v", url, err)
		}
		if err := s.Put(t.Context(), name, 2, bytes.NewReader([]byte("ok"))); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(root, "patient-events", name)); err != nil {
			t.Errorf("opened by %q: %v", url, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{
		"",
		"file://",
		"file://srv/exchange",
		"file:///srv?flat",
		"file:///srv#top",
		"ftp://user:secret@host/exchange",
		"ftps://user:secret@host/exchange",
		"ftp://user@host/exchange",
		"ftp://user:secret@[host",
		"ftps://host/exchange",
		"ftps://user@host/exchange?implicit=secret",
		"ftps://user@host/exchange?connections=0",
		"ftps://user@host/exchange?flat&flat",
		"ftps://user@host/exchange?flatt",
		"ftps://user@host/exchange?ca_file=",
		"sftp://user@host/exchange?known_host=secret",
		"s3:///folder",
		"s3://key@bucket/folder",
		"s3://bucket/folder?sse=rot13",
		"s3://bucket/folder?object_lock=governance",
		"s3://bucket/folder?object_lock=secret:3",
		"hdfs://user@namenode.example.org/exchange",
		"hdfss://user@/exchange",
		"hdfss://user@namenode/exchange?gateway=secret",
		"hdfss://user@namenode/exchange?keytab=/etc/secret",
		"gopher://host/secret",
		filepath.Join(t.TempDir(), "not", "there"),
	} {
		_, err := store.Open(store.Config{URL: url, Secret: func() (string, error) { return "secret", nil }})
		if fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("Open(%q) = %v (%v, hint %q), want a usage error with a hint", url, err, fault.ClassOf(err), fault.HintOf(err))
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q) repeats a secret: %v", url, err)
		}
	}
}

func TestOpenUnderstandsEveryKind(t *testing.T) {
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	for _, c := range []store.Config{
		{URL: "s3://bucket?region=eu-central-1"},
		{URL: "s3://bucket/folder/deeper?endpoint=https://s3.example.org:9000&path_style=false&checksums=required&sse=aws:kms&kms_key=k&object_lock=compliance:30&emulate_publish"},
		{URL: "ftps://user@host/exchange"},
		{URL: "ftps://user@host:2121/~/exchange?implicit&flat&direct&pasv&connections=2"},
		{URL: "ftp://user@host/exchange", AllowPlaintext: "the line is a VPN of its own"},
		{URL: "sftp://user@host/exchange?known_hosts=/etc/waybill/known_hosts&connections=2"},
		{URL: "hdfss://user@namenode/exchange?datanodes=a.example.org,*.b.example.org"},
		{URL: "hdfs://user@localhost:9870/exchange"},
		{URL: "hdfs://user@namenode/exchange", AllowPlaintext: "the line is a VPN of its own"},
		{URL: "hdfss://user@knox:8443/exchange?gateway=/gateway/default"},
		{URL: "sftp://user@host:2222/~/?agent&known_hosts=/etc/waybill/known_hosts"},
	} {
		c.Secret = func() (string, error) { return "secret", nil }
		place, err := store.Open(c)
		if err != nil {
			t.Errorf("Open(%q): %v; %s", c.URL, err, fault.HintOf(err))
			continue
		}
		if strings.Contains(place.String(), "?") {
			t.Errorf("%q shows its options", place)
		}
		place.Close()
	}
}
