package setting

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// DidYouMean returns the ending of an error about a name that is not among those known: "; did you mean
// store?", or nothing if none of them is similar.
func DidYouMean(name string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	distance := func(to string) int { return levenshtein.ComputeDistance(strings.ToLower(name), strings.ToLower(to)) }
	nearest := slices.MinFunc(known, func(a, b string) int { return distance(a) - distance(b) })
	if distance(nearest) > min(max(2, len(name)/3), len(name)/2) {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", nearest)
}
