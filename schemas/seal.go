package schemas

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
)

var (
	// ErrTorn means that the last line is missing or its hash does not match. A reader can't
	// distinguish a file that is still being written from a damaged one, except by waiting.
	ErrTorn = errors.New("torn or damaged")
	// ErrInvalid means that the file is whole but its content breaks the format.
	ErrInvalid = errors.New("invalid")
	// ErrUnsupported means a format or contract that this release can't read.
	ErrUnsupported = errors.New("unsupported")
)

const (
	sealPrefix = `"sha256":"`
	sealSuffix = "\"}\n"
	sealLength = len(sealPrefix) + 64 + len(sealSuffix)
)

// seal encodes v as indented JSON whose last line is "sha256":"…"}, the hash being over all
// bytes before that line. The same v gives the same bytes.
func seal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	body, ok := bytes.CutSuffix(b.Bytes(), []byte("\n}\n"))
	if !ok {
		return nil, fmt.Errorf("nothing to seal in %T", v)
	}
	return sealed(append(body, ",\n"...)), nil
}

// sealed appends the last line.
func sealed(body []byte) []byte { return append(body, sealPrefix+Hash(body)+sealSuffix...) }

// checkSeal returns [ErrTorn] unless the last line holds the hash of the bytes before it.
func checkSeal(data []byte) error {
	if len(data) < sealLength {
		return ErrTorn
	}
	body, last := data[:len(data)-sealLength], data[len(data)-sealLength:]
	if !bytes.HasSuffix(body, []byte("\n")) || string(last) != sealPrefix+Hash(body)+sealSuffix {
		return ErrTorn
	}
	return nil
}

// open checks the seal of data and decodes it into v. In between it checks whether this release may
// read the file at all, because a later format may have fields of another shape.
func open(data []byte, v any, highest int) error {
	if len(data) > MaxManifestBytes {
		return fmt.Errorf("%w: %d bytes are more than %d", ErrInvalid, len(data), MaxManifestBytes)
	}
	if err := checkSeal(data); err != nil {
		return err
	}
	var head struct {
		Format    int `json:"format"`
		MinReader int `json:"min_reader,omitempty"` // receipts lack this field: then the format itself counts
	}
	if err := decode(data, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	least := cmp.Or(head.MinReader, head.Format)
	if least < 1 || least > head.Format {
		return fmt.Errorf("%w: min_reader: is out of range", ErrInvalid)
	}
	if least > highest {
		return unsupported("format %d needs a reader of format %d; this one reads %d", head.Format, least, highest)
	}
	if err := decode(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnsupported, fmt.Errorf(format, args...))
}
