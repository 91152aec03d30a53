package drop

import (
	"errors"
	"strings"

	"waybill/partner/format/mesh"
)

// ErrReport means that a control file belongs to no message: it is the report on a message that was sent.
var ErrReport = errors.New("the control file is the report on a message that was sent, not a message")

// Check returns why the file next to a control file must not be taken in. unpacks says that the partner's files are
// declared as packed.
func (m *Mesh) Check(data []byte, unpacks bool) error {
	c, err := mesh.Parse(data)
	if err != nil {
		return err
	}
	is := func(got, want string) bool { return strings.EqualFold(strings.TrimSpace(got), want) }
	switch {
	case is(c.MessageType, "Report"):
		return ErrReport
	case !is(c.MessageType, "Data"):
		return errors.New("the control file's MessageType is neither Data nor Report")
	case c.Status != nil && c.Status.Status != "" && !is(c.Status.Status, "SUCCESS"):
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
