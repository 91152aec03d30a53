package delivery

import (
	"path"

	"waybill/internal/setting"
	"waybill/partner/format/mesh"
	"waybill/partner/format/pattern"
)

// names are a partner's patterns.
type names struct {
	folder            string
	file              pattern.Pattern
	trigger, content  pattern.Pattern
	triggers, control bool
	mesh              Mesh
}

func (s *Settings) names() (n names, err error) {
	n.folder = s.Folder
	if n.file, err = pattern.Parse(s.Name, pattern.Naming); err != nil {
		return n, setting.In("name", err)
	}
	if s.Trigger == nil {
		return n, nil
	}
	n.triggers = true
	if n.trigger, err = pattern.Parse(s.Trigger.Name, []string{"name", "stem", "sequence", "partner"}); err != nil {
		return n, setting.In("trigger.name", err)
	}
	if n.content, err = pattern.Parse(s.Trigger.Content, pattern.Trigger); err != nil {
		return n, setting.In("trigger.content", err)
	}
	if m := s.Trigger.Mesh; m != nil {
		n.control, n.mesh = true, *m
		switch {
		case s.Trigger.Content != "":
			return n, setting.Errorf("trigger.content", "give either content or mesh")
		case m.From == "" || m.To == "" || m.Workflow == "":
			return n, setting.Errorf("trigger.mesh", "it needs from, to and workflow")
		}
	}
	return n, nil
}

// of returns the names of a file and its trigger, with their folder. The trigger's name is "" if there is none.
func (n *names) of(v pattern.Values) (name, trigger string, err error) {
	if v.Name, err = n.file.Format(v); err != nil || !n.triggers {
		return path.Join(n.folder, v.Name), "", err
	}
	trigger, err = n.trigger.Format(v)
	return path.Join(n.folder, v.Name), path.Join(n.folder, trigger), err
}

// text returns the trigger's content.
func (n *names) text(v pattern.Values) ([]byte, error) {
	if n.control {
		return n.mesh.control(v)
	}
	text, err := n.content.Format(v)
	return []byte(text), err
}

// control returns the control file for the data file of one MESH transfer.
func (m *Mesh) control(v pattern.Values) ([]byte, error) {
	c := mesh.Control{
		Version: "1.0", AddressType: "DTS", MessageType: "Data", From: m.From, To: m.To, Subject: m.Subject,
		LocalID: pattern.Stem(v.Name), WorkflowID: m.Workflow, Encrypted: "N", Compress: "Y", IsCompressed: "N",
	}
	return c.Bytes()
}
