// Package humanize writes numbers, durations and instants as people read them.
package humanize

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Count writes 4112 as 4,112.
func Count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// Plural writes a number of things.
func Plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Counts writes counts by kind as "cancelled 2, restored 1".
func Counts(counts map[string]int64) string {
	kinds := make([]string, 0, len(counts))
	for kind, n := range counts {
		if n > 0 {
			kinds = append(kinds, kind+" "+Count(n))
		}
	}
	slices.Sort(kinds)
	return strings.Join(kinds, ", ")
}

// When writes an instant in UTC, and in the site's zone if that differs.
func When(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return "-"
	}
	utc := t.UTC().Format("2006-01-02 15:04:05Z")
	if local := t.In(zone); local.Format("15:04") != t.UTC().Format("15:04") {
		return utc + " (" + local.Format("15:04 MST") + ")"
	}
	return utc
}

// Ago writes a duration as people say it: 4s, 12m, 3h10m, 2d. A duration from an unknown time is as long as a
// [time.Duration] can be; one below zero comes from a clock that was set back.
func Ago(d time.Duration) string {
	switch {
	case d == math.MaxInt64 || d == math.MinInt64:
		return "unknown time"
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// Seconds is a duration that JSON has in seconds.
type Seconds time.Duration

// Seconds returns the number of them.
func (s Seconds) Seconds() float64 { return time.Duration(s).Seconds() }

// String writes the duration as Go does.
func (s Seconds) String() string { return time.Duration(s).String() }

// MarshalJSON writes 1.5 for 1500 ms.
func (s Seconds) MarshalJSON() ([]byte, error) { return json.Marshal(s.Seconds()) }

// UnmarshalJSON reads what [Seconds.MarshalJSON] wrote.
func (s *Seconds) UnmarshalJSON(data []byte) error {
	var seconds float64
	err := json.Unmarshal(data, &seconds)
	*s = Seconds(math.Round(seconds * float64(time.Second)))
	return err
}
