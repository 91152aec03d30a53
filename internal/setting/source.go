package setting

import (
	"fmt"
	"os"
	"strings"

	"waybill/internal/fault"
)

// Source is a setting whose text may name environment variables, or whose value is in a separate file.
// It is read again each time, so that secrets can be rotated.
type Source struct {
	Of   string // the configuration file
	Key  string
	Text string
	File string // "": Text counts
	Hint string // what to do if a variable is not set
}

// Read returns the text. An unset variable is an error, because without it the text might mean another
// place.
func (s Source) Read() (string, error) {
	if s.File != "" {
		data, err := os.ReadFile(s.File)
		if err != nil {
			return "", fault.New(fault.Usage, "read", s.Key+"_file", err, "")
		}
		return strings.TrimSpace(string(data)), nil // editors end a file with a line's end
	}
	var missing []string
	text := os.Expand(s.Text, func(name string) string {
		value, ok := os.LookupEnv(name)
		if !ok {
			missing = append(missing, name)
		}
		return value
	})
	if len(missing) > 0 {
		return "", fault.New(fault.Usage, "resolve", s.Key+" of "+s.Of, fmt.Errorf("the environment has no %s", strings.Join(missing, ", ")), s.Hint)
	}
	return text, nil
}

// Optional returns Read, or nil if neither a text nor a file is given.
func (s Source) Optional() func() (string, error) {
	if s.Text == "" && s.File == "" {
		return nil
	}
	return s.Read
}
