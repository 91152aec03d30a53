package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

var (
	// ErrTorn: the last line is missing or its hash is of other bytes. A reader can't tell a
	// file still being written from a damaged one; only time tells.
	ErrTorn = errors.New("torn or damaged")
	// ErrInvalid: whole, but its content breaks the format.
	ErrInvalid = errors.New("invalid")
	// ErrUnsupported: of a format or contract that this release can't read.
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
	body = append(body, ",\n"...)
	return append(body, sealPrefix+Hash(body)+sealSuffix...), nil
}

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

// Encode returns the bytes to publish. It refuses a manifest that [ParseManifest] would.
func (m *Manifest) Encode() ([]byte, error) {
	if m.Parts == nil {
		m.Parts = []Part{}
	}
	data, err := seal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest %d: %w", m.Batch, err)
	}
	if _, err := ParseManifest(data); err != nil {
		return nil, fmt.Errorf("encode manifest %d: %w", m.Batch, err)
	}
	return data, nil
}

// ParseManifest reads a manifest file, strictly. The error wraps [ErrTorn], [ErrInvalid]
// (and names the field) or [ErrUnsupported].
func ParseManifest(data []byte) (*Manifest, error) {
	if err := checkSeal(data); err != nil {
		return nil, err
	}
	m := new(Manifest)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return m, nil
}
