package fhir

import (
	"fmt"

	"github.com/go-json-experiment/json"
)

// page is what a Bundle says of the pages that a server hands out with it.
type page struct {
	self, next string
	more       bool  // it has a next one
	total      int64 // of what the search matches, on all pages; 0: not stated
	found      int64 // of them, on this page
}

// link reads one link of a Bundle.
func (p *page) link(text []byte) error {
	var l struct {
		Relation string `json:"relation"`
		URL      string `json:"url"`
	}
	err := json.Unmarshal(text, &l)
	switch l.Relation {
	case "self":
		p.self = l.URL
	case "next":
		p.next, p.more = l.URL, true
	}
	return err
}

// count counts an entry, unless it only came with what the search matches.
func (p *page) count(mode string) {
	if mode != "include" && mode != "outcome" {
		p.found++
	}
}

// turn continues the search whose next page this is, or begins another.
func (f *reader) turn(p page) {
	if f.last.next != "" && f.last.next == p.self {
		p.found += f.last.found
	} else {
		f.endPages()
	}
	f.last = p
}

// onOtherPages says what may be missing. Nothing tells from a file whether the other pages are files of their own.
const onOtherPages = "deaths on other pages are missed unless those come as files, too; have all pages delivered, or one Bundle with all entries"

// endPages warns of what a search has on pages that are not in this file.
func (f *reader) endPages() {
	if f.last.more {
		f.site.Note("a Bundle has a next page, which is not in this file: " + onOtherPages)
	} else if f.last.found < f.last.total {
		f.site.Note(fmt.Sprintf("the Bundles of a search state a total of %d, and have %d: %s", f.last.total, f.last.found, onOtherPages))
	}
	f.last = page{}
}
