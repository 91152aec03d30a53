package store_test

import (
	"strings"
	"testing"

	"waybill/exchange/store"
	"waybill/internal/fault"
)

// Any text is a place or a usage error with a hint, and no password in it comes back.
func FuzzOpen(f *testing.F) {
	for _, url := range []string{
		"/srv", "file:///srv", "s3://bucket/x?endpoint=http://h&path_style", "ftps://u@h/x?flat", "sftp://u@h:22/~/x?agent", "ftp://u:p@h", "hdfss://u@h/x?gateway=/g&datanodes=a,*.b", "s3://%zz", "://",
	} {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, url string) {
		place, err := store.Open(store.Config{URL: url})
		if err == nil {
			place.Close()
			return
		}
		if fault.ClassOf(err) != fault.Usage {
			t.Errorf("Open(%q) = %v, of class %v", url, err, fault.ClassOf(err))
		}
	})
}

// A password in a URL is refused wherever it stands, without being repeated.
func FuzzPasswordInURL(f *testing.F) {
	f.Add("ftps", "host/folder", "?flat")
	f.Add("sftp", "[", "#")
	f.Fuzz(func(t *testing.T, scheme, rest, options string) {
		const password = "Q7zPassw0rdQ7z"
		_, err := store.Open(store.Config{URL: scheme + "://user:" + password + "@" + rest + options, AllowPlaintext: "a test"})
		if err != nil && strings.Contains(err.Error()+fault.HintOf(err), password) {
			t.Errorf("%v repeats the password", err)
		}
	})
}
