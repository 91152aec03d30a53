// Package store opens the place that a URL names.
package store

import (
	"context"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/internal/fault"
	"waybill/schemas"
)

const supported = "write file:///absolute/path, or the path alone"

// Open returns the exchange below the root that rawURL names: "file:///srv/exchange" or a path.
// The store's names are relative to the folder of the stream, <root>/patient-events. A URL that
// can't be used is a [fault.Usage] error, and so is a root that is not there.
func Open(_ context.Context, rawURL string) (exchange.Store, error) {
	root := rawURL
	if strings.Contains(rawURL, "://") {
		path, err := filePath(rawURL)
		if err != nil {
			return nil, err
		}
		root = path
	}
	if root == "" {
		return nil, usage("no store is given")
	}
	return dir.Open(filepath.Join(root, schemas.Stream))
}

func filePath(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	switch {
	case err != nil:
		// The parser's message repeats the URL, which may hold a password.
		return "", usage("the store is not a URL")
	case u.Scheme != "file":
		return "", usage(fmt.Sprintf("stores of the kind %q are not supported", u.Scheme))
	case u.Host != "" && u.Host != "localhost":
		return "", usage(fmt.Sprintf("%q is taken for a host; file URLs begin with three slashes", u.Host))
	case u.RawQuery != "" || u.Fragment != "":
		return "", usage("file URLs have no options")
	case u.Path == "":
		return "", usage("the URL names no directory")
	}
	return u.Path, nil
}

func usage(reason string) error {
	return fault.New(fault.Usage, "open store", "", fmt.Errorf("%s", reason), supported)
}
