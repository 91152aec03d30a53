// Package fact holds what `doctor` finds out.
package fact

import "waybill/internal/fault"

// Fact is something found out about a server or a file, for an operator to read: what, the finding,
// and what to do about it if something should be done.
type Fact struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Advice string `json:"advice,omitempty"`
	Fails  bool   `json:"fails,omitempty"` // the party can't do its work like this
}

// Failed is the fact that something could not be done.
func Failed(name string, err error) Fact {
	return Fact{Name: name, Value: err.Error(), Advice: fault.HintOf(err), Fails: true}
}
