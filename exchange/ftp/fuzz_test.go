package ftp_test

import (
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"waybill/exchange"
)

// FuzzListing: whether a server lists a folder by LIST and NLST or by MLSD, every name that is accepted
// lies inside the folder and is returned once. Files that are asked for one by one exist.
func FuzzListing(f *testing.F) {
	for _, text := range []string{
		"-rw-r--r-- 1 u g 12 Nov 22 08:00 000000000001.json\r\n",
		"drwxr-xr-x 2 u g 4096 Nov 22  2025 000000000\r\n-rw-r--r-- 1 u g 1 Feb 30 99:99 ../../etc/passwd\r\n",
		"11-22-26  08:00AM       <DIR>          000000000\r\n11-22-26  08:00AM  12 a b\r\n",
		"type=file;size=99999999999999999999;modify=00000000000000; x\r\n",
		"lrwxrwxrwx 1 u g 1 Nov 22 08:00 a -> ../..\r\ntotal 0\r\n\x00\r\n",
		"a\r\n/\r\n..\r\na\r\n",
	} {
		f.Add(text, false)
		f.Add(text, true)
	}
	var text atomic.Value
	data := func(w io.Writer) { _, _ = io.WriteString(w, text.Load().(string)) }
	old := &script{data: data, answers: map[string]string{"NLST": "150 Here\r\n@226 Done", "SIZE": "213 1", "CWD": "250 There"}}
	modern := &script{data: data, answers: map[string]string{"FEAT": "211-Have\r\n MLST type*;\r\n211 End", "MLSD": "150 Here\r\n@226 Done"}}
	lister, modernLister := old.serve(f, unaltered), modern.serve(f, unaltered)
	f.Fuzz(func(t *testing.T, said string, mlsd bool) {
		text.Store(said)
		store := lister
		if mlsd {
			store = modernLister
		}
		seen := map[string]bool{}
		for name, err := range store.List(t.Context(), "log") {
			if err != nil {
				return
			}
			base := strings.TrimSuffix(name, "/")
			if strings.Contains(base, "/") || exchange.CheckName(base) != nil {
				t.Fatalf("%q was accepted as a name", name)
			}
			if seen[name] {
				t.Fatalf("%q was returned twice", name)
			}
			seen[name] = true
		}
	})
}
