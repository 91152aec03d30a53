package importer_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"waybill/importer"
	"waybill/internal/progress"
)

// A run reports how many batches it has loaded, and from its second transaction on how many there are, also if it began later.
func TestARunReportsItsProgress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.Changes(died(1)) // 1
	s.load()
	s.Changes(died(2)) // 2
	s.Snapshot(1, died(1), died(2))
	s.Changes(died(3)) // 4
	i, err := importer.New(s.config)
	if err != nil {
		t.Fatal(err)
	}
	var reports []string
	ctx := progress.With(t.Context(), func(unit string, done, total int64) {
		reports = append(reports, fmt.Sprint(unit, " ", done, "/", total))
	})
	if _, err := i.Run(ctx, importer.Options{}); err != nil {
		t.Fatal(err)
	}
	// Small batches may share a transaction, and the end is one more.
	if got := strings.Join(reports, ", "); !regexp.MustCompile(`^batches [123]/0(, batches [123]/3)*, batches 3/3$`).MatchString(got) {
		t.Errorf("it reported %s", got)
	}
}
