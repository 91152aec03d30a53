package seal

import (
	"maps"
	"regexp"
	"slices"

	"waybill/internal/setting"
	"waybill/schemas"
)

// All in a reader's events stands for every type.
const All = "all"

// Reader is who may read events of some types.
type Reader struct {
	Keys   []Recipient `yaml:"keys" json:"keys"`     // each of them opens
	Events []string    `yaml:"events" json:"events"` // or [All]; erased is among them, even if it is not named
	// Slim readers get parts that have the columns of [schemas.Contract.Slim] only.
	Slim bool `yaml:"slim" json:"slim,omitempty"`
}

// Readers are who may read, by name.
type Readers map[string]Reader

// Plan is how a batch is sealed. It is kept with the batch's plan, so that the batch has the same bytes whenever it is
// written, even if other readers are named for later ones.
type Plan struct {
	Secret  string  `json:"secret"` // its [Secret.ID]
	Readers Readers `json:"readers"`
}

var readerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// Validate returns what is wrong with readers, and in which setting.
func (r Readers) Validate(events []string) error {
	if len(r) == 0 {
		return setting.Errorf("readers", "name at least one reader with its keys and event types")
	}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		at := "readers." + name
		switch {
		case !readerName.MatchString(name):
			return setting.Errorf("readers", "the name %q: use lower-case letters, digits, _ and -", name)
		case len(r[name].Keys) == 0:
			return setting.Errorf(at, "name its keys: `waybill keys new open FILE` at the reader makes one and prints age1…")
		case len(r[name].Events) == 0:
			return setting.Errorf(at, "name its event types, or write events: [all]")
		}
		for _, event := range r[name].Events {
			if event != All && !slices.Contains(events, event) {
				return setting.Errorf(at, "%q is no event type: use %q, or all", event, events)
			}
		}
	}
	return nil
}

// Of returns the names of those who may read an event type, in order: those who get slim parts, or the others.
func (r Readers) Of(event string, slim bool) []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		events := r[name].Events
		if r[name].Slim != slim {
			continue
		}
		if event == schemas.Erased || slices.Contains(events, event) || slices.Contains(events, All) {
			names = append(names, name)
		}
	}
	return names
}

// Recipients returns the keys of readers.
func (r Readers) Recipients(names []string) (keys []Recipient) {
	for _, name := range names {
		keys = append(keys, r[name].Keys...)
	}
	return keys
}
