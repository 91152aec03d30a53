package drop

import (
	"errors"
	"strings"

	"go.yaml.in/yaml/v4"

	"waybill/internal/setting"
	"waybill/partner/format/pattern"
)

// Ready is how a partner shows that a file is complete.
type Ready struct {
	// Trigger is the name of a file that follows when the data is complete, of {name} or {stem}
	// (the name without its last extension): "{name}.done", "{stem}.ok".
	Trigger string `yaml:"trigger"`
	// Mesh is a pair as NHS MESH leaves it: the control file {stem}.ctl says whether the transfer succeeded.
	Mesh *Mesh `yaml:"mesh"`
	// Unchanged is at how many polls in a row a file must have the same size and time, and Age for how
	// long, by our own clock. It is the last resort, for senders that show nothing.
	Unchanged int              `yaml:"unchanged"`
	Age       setting.Duration `yaml:"age"`
}

// Mesh says which messages are meant for us.
type Mesh struct {
	Workflow string `yaml:"workflow"` // WorkflowId; "": any
	From     string `yaml:"from"`     // From_DTS; "": any mailbox
}

const meshControl = "{stem}.ctl"

// UnmarshalYAML takes the short forms `renamed` and `mesh` too.
func (r *Ready) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		switch node.Value {
		case "renamed":
			*r = Ready{}
			return nil
		case "mesh":
			*r = Ready{Mesh: &Mesh{}}
			return nil
		}
		return errors.New("ready is renamed, mesh, or has trigger, mesh, or unchanged and age")
	}
	type settings Ready
	return node.Load((*settings)(r), yaml.WithKnownFields())
}

// Check says what is wrong.
func (r *Ready) Check() error {
	kinds := 0
	for _, given := range []bool{r.Trigger != "", r.Mesh != nil, r.Unchanged != 0 || r.Age != 0} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds > 1:
		return errors.New("give one of trigger, mesh, and unchanged with age")
	case r.Trigger != "" && !strings.Contains(r.Trigger, "{name}") && !strings.Contains(r.Trigger, "{stem}"):
		return errors.New("trigger has {name} or {stem} in it")
	case r.Trigger == "{name}" || strings.Contains(r.Trigger, "/"):
		return errors.New("trigger is the name of another file in the same folder")
	case r.Age != 0 && r.Unchanged == 0, r.Unchanged == 1 || r.Unchanged < 0:
		return errors.New("unchanged is a number of polls of at least 2: that a file has an age says nothing of whether it grows")
	}
	return nil
}

// companionOf returns the name of the file that shows that another one is complete, or "".
func (r *Ready) companionOf(name string) string {
	switch {
	case r.Trigger != "":
		return companion(r.Trigger, name)
	case r.Mesh != nil:
		return companion(meshControl, name)
	}
	return ""
}

// companion returns the name that a trigger's pattern, of {name} or {stem}, gives for a file.
func companion(trigger, name string) string {
	return strings.NewReplacer("{name}", name, "{stem}", pattern.Stem(name)).Replace(trigger)
}
