// Package fact holds what `doctor` finds out.
package fact

import "waybill/internal/fault"

// Fact is a finding about a server or a file, for an operator to read: its name, its value and, if
// needed, what to do.
type Fact struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Advice string `json:"advice,omitempty"`
	Next   string `json:"next,omitempty"`  // the command to type first
	Fails  bool   `json:"fails,omitempty"` // the party can't do its work like this
}

// Failed returns the fact that an operation failed.
func Failed(name string, err error) Fact {
	return Fact{Name: name, Value: err.Error(), Advice: fault.HintOf(err), Fails: true}
}
