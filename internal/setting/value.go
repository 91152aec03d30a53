package setting

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Duration is a setting that [ParseDuration] reads.
type Duration time.Duration

// UnmarshalYAML reads "90s", "15m", "12h" or "2d".
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	parsed, err := ParseDuration(node.Value)
	*d = Duration(parsed)
	return err
}

// ParseDuration reads a duration as Go writes it, or a number of days.
func ParseDuration(text string) (time.Duration, error) {
	number, factor := text, time.Duration(1)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		number, factor = days+"h", 24
	}
	parsed, err := time.ParseDuration(number)
	if err != nil || parsed <= 0 || parsed > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q must be a duration above 0, like 90s, 15m or 30d", text)
	}
	return parsed * factor, nil
}

// Zone reads the name of a time zone; "" is UTC.
func Zone(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	switch {
	case name == "Local": // which PostgreSQL does not know
		return nil, errors.New(`"Local" differs between machines; name a zone, such as Europe/London`)
	case err != nil:
		return nil, fmt.Errorf("unknown zone %q; name one of the time zone database, such as Europe/London", name)
	}
	return zone, nil
}
