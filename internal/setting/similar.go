package setting

import (
	"fmt"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
)

// DidYouMean returns an ending for an error about an unknown name: "; did you mean store?", or nothing
// if no known name is similar.
func DidYouMean(name string, known []string) string {
	if len(known) == 0 {
		return ""
	}
	distance := func(to string) int { return typos(strings.ToLower(name), strings.ToLower(to)) }
	nearest := slices.MinFunc(known, func(a, b string) int { return distance(a) - distance(b) })
	if distance(nearest) > min(max(2, len(name)/3), len(name)/2) {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", nearest)
}

// typos counts the letters that differ. Two that were swapped are one mistake.
func typos(a, b string) int {
	n := levenshtein.ComputeDistance(a, b)
	letters := func(text string) string { return string(slices.Sorted(slices.Values([]rune(text)))) }
	if n == 2 && letters(a) == letters(b) {
		return 1
	}
	return n
}
