package schemas

import "fmt"

// Floor says below which batch a log has been pruned. It is on the store before the first file
// below it is deleted, so that a reader of a missing file can distinguish retention from loss.
type Floor struct {
	Format      int      `json:"format"`
	MinReader   int      `json:"min_reader"`
	Stream      string   `json:"stream"`
	Log         string   `json:"log"`
	Floor       int64    `json:"floor"`    // its number: 1 and up, without gaps
	Batch       int64    `json:"batch"`    // the oldest batch that stays
	Previous    string   `json:"previous"` // Hash of the manifest file before that batch
	Snapshot    int64    `json:"snapshot"` // a snapshot at or after that batch, which makes up for the deleted batches
	Manifest    string   `json:"manifest"` // Hash of the snapshot's manifest file
	PublishedAt Time     `json:"published_at"`
	Producer    Software `json:"producer"`
}

// Encode returns the bytes to publish. It refuses a floor that [ParseFloor] would refuse.
func (l *Floor) Encode() ([]byte, error) {
	data, err := seal(l)
	if err == nil {
		_, err = ParseFloor(data)
	}
	if err != nil {
		return nil, fmt.Errorf("encode floor %d: %w", l.Floor, err)
	}
	return data, nil
}

// ParseFloor reads a floor file, as strictly as [ParseManifest] and with the same errors.
func ParseFloor(data []byte) (*Floor, error) {
	l := new(Floor)
	if err := open(data, l, Format); err != nil {
		return nil, err
	}
	if err := l.validate(); err != nil {
		return nil, err
	}
	return l, nil
}

func (l *Floor) validate() error {
	var f findings
	f.want(l.MinReader >= 1, "min_reader", "is out of range")
	f.stream(l.Stream)
	f.want(uuidForm.MatchString(l.Log), "log", "is no UUID")
	f.want(l.Floor >= 1 && l.Floor <= MaxBatch, "floor", "is out of range")
	f.want(l.Batch >= 1 && l.Batch <= MaxBatch, "batch", "is out of range")
	f.want(hashForm.MatchString(l.Previous), "previous", "is no SHA-256")
	f.want(l.Snapshot >= l.Batch && l.Snapshot <= MaxBatch, "snapshot", "is below the floor, or out of range")
	f.want(hashForm.MatchString(l.Manifest), "manifest", "is no SHA-256")
	f.software(l.Producer, "producer")
	return f.err
}
