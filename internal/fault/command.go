package fault

import (
	"regexp"
	"strings"
)

// command finds a command in a hint: "`waybill import morgue`". One for another site says which:
// "`waybill repair 3` at the producer".
var command = regexp.MustCompile("`waybill ([^`]+)`( at the producer| at that consumer)?")

// CommandIn returns the first command that a hint names for this site, ready to be typed, or "".
func CommandIn(hint string) string {
	for _, found := range command.FindAllStringSubmatch(hint, -1) {
		if found[2] == "" {
			return "waybill " + found[1]
		}
	}
	return ""
}

// AtProducer returns the hint as it is read where the producer is at this site.
func AtProducer(hint string) string { return strings.ReplaceAll(hint, "` at the producer", "`") }

// ConfigFlags returns the flags that name the configurations on a shell's command line.
func ConfigFlags(paths ...string) string {
	var flags []string
	for _, path := range paths {
		if strings.Trim(path, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:=@%") != "" {
			path = "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
		}
		flags = append(flags, "-c "+path)
	}
	return strings.Join(flags, " ")
}

// needless finds commands that read no configuration, or have flags that name one.
var needless = regexp.MustCompile(`^(-c|help|explain|init|validate)\b|--help`)

// WithFlags adds flags to the commands that a hint names for this site. A command for another site stays as it is, because its
// configuration lies elsewhere.
func WithFlags(hint, flags string) string {
	if flags == "" {
		return hint
	}
	return command.ReplaceAllStringFunc(hint, func(text string) string {
		found := command.FindStringSubmatch(text)
		if found[2] != "" || needless.MatchString(found[1]) {
			return text
		}
		return "`waybill " + flags + " " + found[1] + "`"
	})
}
