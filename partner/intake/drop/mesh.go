package drop

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxControl bounds a control file, in bytes.
const MaxControl = 64 << 10

// control is what a MESH control file says, as far as it matters here.
type control struct {
	XMLName      xml.Name `xml:"DTSControl"`
	MessageType  string
	From         string `xml:"From_DTS"`
	WorkflowID   string `xml:"WorkflowId"`
	IsCompressed string
	Status       struct {
		Status      string
		StatusCode  string
		Description string
	} `xml:"StatusRecord"`
}

// ErrReport means that a control file is no message's but the report on one that was sent.
var ErrReport = errors.New("the control file is the report on a message that was sent, not a message")

// Check says why the file that a control file stands beside is not to be taken in; unpacks says that
// the partner's files are declared to be packed.
func (m *Mesh) Check(data []byte, unpacks bool) error {
	if len(data) > MaxControl {
		return fmt.Errorf("the control file is larger than %d KiB", MaxControl>>10)
	}
	var c control
	decoder := xml.NewDecoder(bytes.NewReader(data))
	decoder.CharsetReader = func(_ string, input io.Reader) (io.Reader, error) { return input, nil } // what matters is ASCII
	if err := decoder.Decode(&c); err != nil {
		return errors.New("the control file is not XML with a DTSControl in it")
	}
	is := func(got, want string) bool { return strings.EqualFold(strings.TrimSpace(got), want) }
	switch {
	case is(c.MessageType, "Report"):
		return ErrReport
	case !is(c.MessageType, "Data"):
		return errors.New("the control file's MessageType is neither Data nor Report")
	case c.Status.Status != "" && !is(c.Status.Status, "SUCCESS"):
		return errors.New("the control file says that the transfer did not succeed")
	case m.Workflow != "" && !is(c.WorkflowID, m.Workflow):
		return errors.New("the control file's WorkflowId is another than the one that is configured")
	case m.From != "" && !is(c.From, m.From):
		return errors.New("the control file's From_DTS is another mailbox than the one that is configured")
	case is(c.IsCompressed, "Y") && !unpacks:
		return errors.New("the control file says that the data is compressed, and the format declares no container")
	}
	return nil
}
