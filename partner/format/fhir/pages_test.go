package fhir

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"waybill/partner/format/record"
)

// A server hands out a search page by page. A file with a page and without the next one has only a part of the
// patients, and says so.
func TestPagesThatAreMissingAreAWarning(t *testing.T) {
	const more = "a Bundle has a next page, which is not in this file: " + onOtherPages
	few := func(found, total int) string {
		return fmt.Sprintf("the Bundles of a search state a total of %d, and have %d: %s", total, found, onOtherPages)
	}
	const included = `{"resource":{"resourceType":"Patient","id":"9"},"search":{"mode":"include"}},{"resource":{"resourceType":"OperationOutcome"},"search":{"mode":"outcome"}}`
	link := func(relation, page string) string {
		return fmt.Sprintf(`{"relation":%q,"url":"https://x/Patient?page=%s"}`, relation, page)
	}
	page := func(total, patients int, rest string, links ...string) string {
		entries := strings.Repeat(`{"resource":{"resourceType":"Patient","id":"1"},"search":{"mode":"match"}},`, patients)
		return fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset","entry":[%s],"total":%d,"link":[%s]}`,
			strings.TrimSuffix(entries+rest, ","), total, strings.Join(links, ","))
	}
	first := page(3, 2, "", link("self", "1"), link("next", "2"))
	last := page(3, 1, "", link("self", "2"), link("previous", "1"))
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"all on one":               {page(2, 2, "", link("self", "1")), nil},
		"without a total":          {`{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"1"}}]}`, nil},
		"with a next one":          {first, []string{more}},
		"a next one without url":   {page(2, 2, "", `{"relation":"next"}`), []string{more}},
		"the last alone":           {last, []string{few(1, 3)}},
		"both":                     {first + "\n" + last, nil},
		"the first twice":          {first + "\n" + first + "\n" + last, []string{more}},
		"and another search":       {first + "\n" + page(1, 1, "", link("self", "7")), []string{more}},
		"after another search":     {page(9, 1, "", link("self", "7")) + "\n" + page(1, 1, ""), []string{few(1, 9)}},
		"fewer than the total":     {page(5, 2, "", link("self", "1")), []string{few(2, 5)}},
		"a count and no entries":   {page(5, 0, ""), []string{few(0, 5)}},
		"with ones that came with": {page(3, 1, included), []string{few(1, 3)}},
		"in a Bundle":              {`{"resourceType":"Bundle","type":"batch-response","entry":[{"resource":` + first + `},{"resource":` + page(1, 1, "") + `}]}`, []string{more}},
		"over several lines":       {strings.Replace(first, ",", ",\n", 2), []string{more}},
		"too many to be held":      {page(maxHeld+3, maxHeld+2, ""), []string{few(maxHeld+2, maxHeld+3)}},
	} {
		t.Run(name, func(t *testing.T) {
			var warnings []string
			at := site(t)
			at.Note = func(w string) { warnings = append(warnings, w) }
			for _, err := range Read(strings.NewReader(c.text), &Options{}, at) {
				if err != nil {
					t.Error(err)
				}
			}
			expect(t, warnings, c.want)
		})
	}
}

// Where reading ends early, what was read says nothing about the rest.
func TestAFileThatIsNotReadToItsEndHasNoWarning(t *testing.T) {
	at := site(t)
	at.Note = func(w string) { t.Error(w) }
	for range Read(strings.NewReader(`{"resourceType":"Bundle","total":5,"entry":[{"resource":{"resourceType":"Patient","id":"1"}}]}`), &Options{}, at) {
		break
	}
	for _, err := range Read(strings.NewReader(`{"resourceType":"Bundle","total":"5","entry":[]}`), &Options{}, at) {
		if _, malformed := errors.AsType[*record.Malformed](err); !malformed {
			t.Error(err)
		}
	}
}
