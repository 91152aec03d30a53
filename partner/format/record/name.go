package record

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// NameText returns a file's name as text that a database takes: each byte that is not UTF-8 becomes %XX.
func NameText(name string) string {
	var out strings.Builder
	for i, c := range name {
		if c == utf8.RuneError && !strings.HasPrefix(name[i:], string(utf8.RuneError)) {
			fmt.Fprintf(&out, "%%%02X", name[i])
		} else {
			out.WriteRune(c)
		}
	}
	return out.String()
}
