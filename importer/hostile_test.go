package importer_test

import (
	"strings"
	"testing"

	"waybill/internal/fault"
	"waybill/lab/logtest"
)

// A part of equal rows is small, and would fill a disk. Nothing of it is fetched: it is gone, and
// nobody misses it.
func TestMoreRowsThanBytesAreRefusedUnfetched(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	rows := make([]logtest.State, 100_000)
	for i := range rows {
		rows[i] = died(1)
	}
	s.Changes()
	s.load()
	m := s.Changes(rows...)
	if m.Parts[0].Bytes > m.Parts[0].Rows {
		t.Fatalf("%d rows take %d bytes: this tests nothing", m.Parts[0].Rows, m.Parts[0].Bytes)
	}
	s.remove(m.Parts[0].Name)
	err := s.refused(fault.Poison, nil)
	if !strings.Contains(err.Error(), "100000 rows in") {
		t.Error(err)
	}
}

// A long value in each row takes a few bytes in the part.
func TestWhatUnpacksToManyTimesItsSizeIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes()
	s.load()
	long := strings.Repeat("\U0001F480", 200) // four bytes each
	rows := make([]logtest.State, 60_000)
	for i := range rows {
		rows[i] = died(1)
		rows[i].Version, rows[i].Family, rows[i].Given = int64(i+1), long, long
	}
	s.Changes(rows...)
	err := s.refused(fault.Poison, nil)
	if !strings.Contains(err.Error(), "unpack to more than 250 times their size") {
		t.Error(err)
	}
}
