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
		"s3://bucket/secret",
		"ftp://user:secret@[host",
		filepath.Join(t.TempDir(), "not", "there"),
	} {
		_, err := store.Open(store.Config{URL: url})
		if fault.ClassOf(err) != fault.Usage || fault.HintOf(err) == "" {
			t.Errorf("Open(%q) = %v (%v, hint %q), want a usage error with a hint", url, err, fault.ClassOf(err), fault.HintOf(err))
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q) repeats a secret: %v", url, err)
		}
	}
}
