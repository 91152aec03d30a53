package schemas

// Receipt tells the world how far a consumer's instance is. It is information, never a
// permission: the truth is the checkpoint in the consumer's own database.
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
	Consumer   Software         `json:"consumer"`
}
