// Package mesh reads and writes the control files of NHS MESH clients: the DTSControl document of the
// MESH Client File Interface Specification, one next to each data file.
package mesh

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
)

// MaxBytes bounds a control file.
const MaxBytes = 64 << 10

// Control is a control file, as far as it matters here.
type Control struct {
	XMLName      xml.Name `xml:"DTSControl"`
	Version      string
	AddressType  string
	MessageType  string // Data or Report
	From         string `xml:"From_DTS"` // mailboxes
	To           string `xml:"To_DTS"`
	Subject      string
	LocalID      string `xml:"LocalId"`
	WorkflowID   string `xml:"WorkflowId"`
	Encrypted    string
	Compress     string
	IsCompressed string
	Status       *Status `xml:"StatusRecord"` // of a transfer that took place
}

// Status says how a transfer ended.
type Status struct {
	Status string // SUCCESS or ERROR
}

// Parse reads a control file.
func Parse(data []byte) (*Control, error) {
	if len(data) > MaxBytes {
		return nil, fmt.Errorf("the control file is larger than %d KiB", MaxBytes>>10)
	}
	c := new(Control)
	decoder := xml.NewDecoder(bytes.NewReader(data))
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil } // what matters is ASCII
	if err := decoder.Decode(c); err != nil {
		return nil, errors.New("the control file is not XML with a DTSControl in it")
	}
	return c, nil
}

// Bytes returns the control file.
func (c *Control) Bytes() ([]byte, error) {
	text, err := xml.MarshalIndent(c, "", "  ")
	return append(append([]byte(xml.Header), text...), '\n'), err
}
