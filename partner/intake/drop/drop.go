// Package drop judges the folder in which a partner leaves files: which files are the partner's, which are
// complete, and in which order they are taken. It does no I/O.
package drop

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/partner/format/pattern"
)

// Rules say which of a folder's files are the partner's, complete, and due.
type Rules struct {
	Pattern   pattern.Names
	Ready     Ready
	Temporary []string // suffixes of files that are being written
	Order     string
	Sequence  Sequence // where Order is BySequence
	Hold      bool     // a missing number stops the files after it
}

// Orders in which files are taken.
const (
	BySequence = "sequence"
	ByName     = "name"
	Unordered  = "none"
)

// TemporarySuffixes are those of files being written that are common among senders.
var TemporarySuffixes = []string{".tmp", ".temp", ".part", ".partial", ".filepart", ".writing"}

// State is what a file of the folder is.
type State string

const (
	Due       State = "ready"
	Waiting   State = "not ready"
	Held      State = "held"      // ready, but after a missing number
	Known     State = "known"     // decided before
	Orphan    State = "orphan"    // a trigger or control file without data
	Unusable  State = "unusable"  // a link, unreadable, or under a name that no store accepts
	Companion State = "companion" // a trigger or control file, which exists for its data file
	Temporary State = "temporary" // being written, under a name that says so
	Foreign   State = "foreign"   // does not match the partner's pattern
)

// Sighting is what earlier polls saw of a file that has not been decided.
type Sighting struct {
	Name     string
	Size     int64
	Modified time.Time
	Polls    int       // consecutive polls with this size and time
	First    time.Time // when it was first seen, by our clock
	Since    time.Time // time of the poll that first saw this size and time, by our clock
}

// File is a file of the folder and what must be done with it.
type File struct {
	exchange.Found
	State     State
	Why       string // set for every state but Due
	Companion string // the file that shows that this one is complete; "": none
	Number    int64  // -1: names have none
	Ordinal   int64  // see [Sequence]; -1: none
	Sighting  Sighting
}

// Past is what the register knows about a folder.
type Past struct {
	Decided  func(exchange.Found) bool // whether this very file, by name, size and time, was decided
	Seen     map[string]Sighting
	Next     int64 // the ordinal that is expected
	Numbered bool  // Next is known; otherwise the lowest number in the folder comes first
	Now      time.Time
}

// Look judges everything in a folder. Files to take come first, in the order in which they must be taken.
func (r *Rules) Look(found []exchange.Found, past Past) []File {
	names := make(map[string]bool, len(found))
	for _, f := range found {
		names[f.Name] = !f.Link
	}
	files := make([]File, 0, len(found))
	for _, f := range found {
		file := r.classify(f, names)
		if file.State == Due || file.State == Orphan || file.State == Unusable {
			file.Sighting = sight(f, past)
		}
		if file.State == Due {
			file = r.judge(file, names, past)
		}
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	if r.Order == BySequence {
		r.number(files, past)
		r.queue(files, past)
	}
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(rank(a), rank(b)) })
	return files
}

func rank(f File) int {
	if f.State == Due {
		return 0
	}
	return 1
}

// classify says what a file is, judging by names alone.
func (r *Rules) classify(f exchange.Found, names map[string]bool) File {
	file := File{Found: f, State: Due, Number: -1, Ordinal: -1}
	as := func(s State, why string) File {
		file.State, file.Why = s, why
		return file
	}
	if r.isTemporary(f.Name) {
		return as(Temporary, "its name says that it is being written")
	}
	switch is, there := r.announces(f.Name, names); {
	case is && there:
		return as(Companion, "")
	case is:
		return as(Orphan, "the data that it announces is not there")
	}
	number, fits := r.Pattern.Match(f.Name)
	switch {
	case !fits:
		return as(Foreign, "its name does not fit the pattern")
	case f.Link:
		return as(Unusable, "it is a symbolic link, and links are not followed")
	case exchange.CheckName(f.Name) != nil:
		return as(Unusable, "its name has other letters than A-Z a-z 0-9 = . _ @ -, or too many of them")
	case r.Order == BySequence && !r.Sequence.Fits(number):
		return as(Foreign, "its number is outside the sequence")
	}
	file.Number = number
	file.Companion = r.Ready.Companion(f.Name)
	return file
}

func (r *Rules) isTemporary(name string) bool {
	return slices.ContainsFunc(r.Temporary, func(suffix string) bool {
		return len(name) > len(suffix) && strings.EqualFold(name[len(name)-len(suffix):], suffix)
	})
}

// announces reports whether a name is that of a trigger or control file, and whether its data file exists.
func (r *Rules) announces(name string, names map[string]bool) (is, there bool) {
	c, exists := r.Ready.companion()
	if !exists || len(name) <= len(c.before)+len(c.after) || !strings.HasPrefix(name, c.before) || !strings.HasSuffix(name, c.after) {
		return false, false
	}
	middle := name[len(c.before) : len(name)-len(c.after)]
	if !c.stem {
		return r.fits(middle), names[middle]
	}
	extension := r.Pattern.Extension()
	if extension != "" && names[middle+extension] { // of many triggers nearly all find it so
		return r.fits(middle + extension), true
	}
	for other, file := range names {
		if file && other != name && pattern.Stem(other) == middle && r.fits(other) {
			return true, true
		}
	}
	if extension != "" {
		return r.fits(middle + extension), false
	}
	return r.fits(name), false // the extension of its data file is not known
}

// Takes reports whether a name is one of the partner's data files, finished or not.
func (r *Rules) Takes(name string) bool {
	is, _ := r.announces(name, nil)
	return !r.isTemporary(name) && !is && r.fits(name)
}

func (r *Rules) fits(name string) bool {
	_, fits := r.Pattern.Match(name)
	return fits
}

// sight returns what this poll sees of a file.
func sight(f exchange.Found, past Past) Sighting {
	before, seen := past.Seen[f.Name]
	now := Sighting{Name: f.Name, Size: f.Size, Modified: f.Modified, Polls: 1, First: past.Now, Since: past.Now}
	if seen {
		now.First = before.First
	}
	if seen && before.Size == f.Size && SameTime(before.Modified, f.Modified) {
		now.Polls, now.Since = before.Polls+1, before.Since
	}
	return now
}

// SameTime compares times at the precision that databases keep.
func SameTime(a, b time.Time) bool {
	return a.IsZero() && b.IsZero() || a.Truncate(time.Microsecond).Equal(b.Truncate(time.Microsecond))
}

// judge says whether a file is complete.
func (r *Rules) judge(file File, names map[string]bool, past Past) File {
	seen, age := file.Sighting, time.Duration(r.Ready.Age)
	switch {
	case past.Decided(file.Found):
		file.State, file.Why = Known, "it was decided before"
	case file.Companion != "" && !names[file.Companion]:
		file.State, file.Why = Waiting, "there is no "+file.Companion
	case seen.Polls < r.Ready.Unchanged:
		file.State, file.Why = Waiting, fmt.Sprintf("seen unchanged at %d of %d polls", seen.Polls, r.Ready.Unchanged)
	case past.Now.Sub(seen.Since) < age:
		file.State, file.Why = Waiting, fmt.Sprintf("unchanged for %s of %s", past.Now.Sub(seen.Since).Round(time.Second), age)
	}
	return file
}

// number gives each file of the sequence its ordinal, and sorts the files by it.
func (r *Rules) number(files []File, past Past) {
	next := past.Next
	if !past.Numbered {
		lowest := int64(-1)
		for _, f := range files {
			if f.State != Known && f.Number >= 0 && (lowest < 0 || f.Number < lowest) {
				lowest = f.Number
			}
		}
		if lowest >= 0 {
			next = lowest - r.Sequence.First
		}
	}
	for i := range files {
		if files[i].Number >= 0 && files[i].State != Known {
			files[i].Ordinal = r.Sequence.Ordinal(files[i].Number, next)
		}
	}
	slices.SortStableFunc(files, func(a, b File) int { return cmp.Compare(a.Ordinal, b.Ordinal) })
}

// queue holds the files after a number that is missing or not ready.
func (r *Rules) queue(files []File, past Past) {
	next, begun := past.Next, past.Numbered
	blocked := ""
	for i := range files {
		f := &files[i]
		if f.Ordinal < 0 || begun && f.Ordinal < next {
			continue
		}
		if begun && f.Ordinal > next && r.Hold && blocked == "" {
			blocked = fmt.Sprintf("number %d is missing", r.Sequence.Number(next))
		}
		switch {
		case f.State == Due && blocked != "":
			f.State, f.Why = Held, blocked
		case f.State == Waiting && blocked == "":
			blocked = fmt.Sprintf("number %d is there and not ready", f.Number)
		}
		next, begun = f.Ordinal+1, true
	}
}
