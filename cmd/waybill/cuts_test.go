package main_test

import (
	"strings"
	"testing"
)

// A partner says that a patient lives, and then that they died: whether in one file or in two, and however
// many batches they become, the body in custody may be another's, and the morgue gets an alert.
func TestHowAFeedIsCutDecidesNothing(t *testing.T) {
	const want = "1 received, 2 expected; identity 1"
	message := func(id, death string) string {
		return strings.NewReplacer("|m2|", "|"+id+"|", "20260301120000", "2026030112000"+id[1:], "20260228|Y", death).Replace(admission(2, "Lang", true))
	}
	first, alive, again := message("m1", "20260228|Y"), message("m2", "|N"), message("m3", "20260301|Y")
	for name, files := range map[string][][]string{
		"one file":  {{alive, again}},
		"two files": {{alive}, {again}},
	} {
		for _, batches := range []string{"one batch", "a batch each"} {
			t.Run(name+" and "+batches, func(t *testing.T) {
				t.Parallel()
				s := newSite(t)
				ward := s.sender("ward", wardADT)
				carry := func() {
					s.do("export")
					s.do("import", "morgue")
				}
				ward.leaveBatch(1, message("m0", ""))
				s.do("intake", "ward")
				ward.leaveBatch(2, first)
				s.do("intake", "ward")
				carry()
				s.exec("morgue", `UPDATE morgue.case_file SET state = 'received', tag = 'T1'`)
				for i, messages := range files {
					ward.leaveBatch(i+3, messages...)
					s.do("intake", "ward")
					if batches == "a batch each" {
						carry()
					}
				}
				if batches == "one batch" {
					carry()
				}
				if got := s.one("morgue", `SELECT (SELECT string_agg(concat_ws(' ', death_no, state), ', ' ORDER BY death_no) FROM morgue.case_file)
					|| '; ' || coalesce((SELECT string_agg(concat_ws(' ', kind, death_no), ', ' ORDER BY id) FROM morgue.alert), 'no alert')`); got != want {
					t.Errorf("%s\nwant %s", got, want)
				}
			})
		}
	}
}
