package schemas

import "fmt"

// Receipt reports the position of a consumer's instance. It is only information: the checkpoint in
// the consumer's own database decides.
type Receipt struct {
	Format     int              `json:"format"`
	Stream     string           `json:"stream"`
	Log        string           `json:"log"`
	Instance   string           `json:"instance"` // "morgue@east"
	Events     []string         `json:"events"`   // the types subscribed to
	Batch      int64            `json:"batch"`    // every batch up to this one is applied
	Manifest   string           `json:"manifest"` // Hash of that batch's manifest file
	Generation int64            `json:"generation"`
	AppliedAt  Time             `json:"applied_at"`
	Batches    int64            `json:"batches"` // applied in this run
	Rows       int64            `json:"rows"`    // loaded in this run
	Effects    map[string]int64 `json:"effects"` // recorded in this run, by kind
	Decisions  *Decisions       `json:"decisions,omitempty"`
	Consumer   Software         `json:"consumer"`
}

// Decisions is how long the consumer's record of people's decisions is, to which rows are only added. So a producer that has
// seen a longer one knows that its end was cut off.
type Decisions struct {
	Count int64  `json:"count"`
	Hash  string `json:"hash"` // of the last, which follows from all before it; "" if there is none
}

// Encode returns the bytes to store: the same for the same receipt. It refuses a receipt that
// [ParseReceipt] would refuse.
func (r *Receipt) Encode() ([]byte, error) {
	if r.Effects == nil {
		r.Effects = map[string]int64{}
	}
	data, err := seal(r)
	if err == nil {
		_, err = ParseReceipt(data)
	}
	if err != nil {
		return nil, fmt.Errorf("encode receipt of %s: %w", r.Instance, err)
	}
	return data, nil
}

// ParseReceipt reads a receipt file, as strictly as [ParseManifest] and with the same errors.
func ParseReceipt(data []byte) (*Receipt, error) {
	r := new(Receipt)
	if err := open(data, r, Format); err != nil {
		return nil, err
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	return r, nil
}
