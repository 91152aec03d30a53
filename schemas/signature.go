package schemas

import (
	"bytes"
	"encoding/json"
)

// What a signature is of. The kind is in the signed bytes, so that the signature of one is none of another.
const (
	OfManifest = "manifest"
	OfFloor    = "floor"
	OfReceipt  = "receipt"
)

// MaxSignatures bounds the signatures of one file.
const MaxSignatures = 8

// Signature is that of one key.
type Signature struct {
	Key     string `json:"key"`     // the key's name, for people; whose signature it is, only its bytes tell
	Ed25519 []byte `json:"ed25519"` // over [SignedBytes]
}

const signaturesPrefix = `"signatures":`

// SignedBytes returns what the signatures of a sealed file are over: "waybill KIND 1", a line feed, and all bytes before the line of
// signatures, or before the last line if there is none.
func SignedBytes(kind string, data []byte) []byte {
	body, _ := cutSignatures(data)
	return append([]byte("waybill "+kind+" 1\n"), body...)
}

// Signatures returns the signatures of a whole sealed file; none if the line before the last is not exactly theirs.
func Signatures(data []byte) []Signature {
	_, signatures := cutSignatures(data)
	return signatures
}

// Sign returns a sealed file with signatures, in place of those it has.
func Sign(data []byte, signatures []Signature) ([]byte, error) {
	line, err := json.Marshal(signatures)
	if err != nil {
		return nil, err
	}
	body, _ := cutSignatures(data)
	return sealed(bytes.Join([][]byte{body, []byte(signaturesPrefix), line, []byte(",\n")}, nil)), nil
}

// cutSignatures returns the bytes before the line of signatures.
func cutSignatures(data []byte) (body []byte, signatures []Signature) {
	body = data[:max(0, len(data)-sealLength)]
	start := bytes.LastIndexByte(bytes.TrimSuffix(body, []byte("\n")), '\n') + 1
	line, there := bytes.CutPrefix(body[start:], []byte(signaturesPrefix))
	list, whole := bytes.CutSuffix(line, []byte(",\n"))
	if !there || !whole || json.Unmarshal(list, &signatures) != nil || len(signatures) == 0 || len(signatures) > MaxSignatures {
		return body, nil
	}
	return body[:start], signatures
}
