package exchange

import (
	"fmt"
	"strings"

	"waybill/internal/fault"
)

const (
	maxName    = 512 // well below S3's 1,024 bytes, so that a site's prefix fits too
	maxElement = 200 // below the 255 of most filesystems, so that temporary names fit too
)

// CheckName returns a [fault.Poison] error unless name is one that every store can hold:
// slash-separated elements of [A-Za-z0-9=._@-], none of them empty, beginning with a dot or
// longer than 200 bytes, and 512 bytes in all. A leading dot is reserved to the stores' own
// temporary files, which also rules out "." and "..".
func CheckName(name string) error {
	if len(name) > maxName {
		return nameFault(name[:maxName], fmt.Sprintf("longer than %d bytes", maxName))
	}
	for element := range strings.SplitSeq(name, "/") {
		switch {
		case element == "":
			return nameFault(name, "an element is empty")
		case element[0] == '.':
			return nameFault(name, "an element begins with a dot")
		case len(element) > maxElement:
			return nameFault(name, fmt.Sprintf("an element is longer than %d bytes", maxElement))
		}
		if strings.ContainsFunc(element, isForeign) {
			return nameFault(name, "only A-Z a-z 0-9 = . _ @ - are allowed")
		}
	}
	return nil
}

// CheckFolder is [CheckName] for folders: "" is allowed too and is the top.
func CheckFolder(folder string) error {
	if folder == "" {
		return nil
	}
	return CheckName(folder)
}

func isForeign(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	default:
		return !strings.ContainsRune("=._@-", r)
	}
}

func nameFault(name, reason string) error {
	return fault.New(fault.Poison, "use the name", fmt.Sprintf("%q", name), fmt.Errorf("not a name of an exchange: %s", reason), "")
}
