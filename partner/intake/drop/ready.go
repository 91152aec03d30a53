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
	// Trigger is the name of a file that the partner writes when the data file is complete. It contains {name} or
	// {stem} (the name without its last extension): "{name}.done", "{stem}.ok".
	Trigger string `yaml:"trigger"`
	// Mesh is a pair of files as NHS MESH writes it: the control file {stem}.ctl says whether the transfer
	// succeeded.
	Mesh *Mesh `yaml:"mesh"`
	// Unchanged is the number of polls in a row at which a file must have the same size and time, and Age is for
	// how long, by our own clock. Use it as the last resort, for senders that give no sign.
	Unchanged int              `yaml:"unchanged"`
	Age       setting.Duration `yaml:"age"`
}

// Mesh says which messages are meant for us.
type Mesh struct {
	Workflow string `yaml:"workflow"` // WorkflowId; "": any
	From     string `yaml:"from"`     // From_DTS; "": any mailbox
}

const meshControl = "{stem}.ctl"

// UnmarshalYAML also takes the short forms `renamed` and `mesh`.
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

// Check returns what is wrong.
func (r *Ready) Check() error {
	c, _ := r.companion()
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
	case strings.ContainsAny(c.before+c.after, "{}"):
		return errors.New("trigger has {name} or {stem} once, and no other token")
	case r.Trigger == "{name}" || strings.Contains(r.Trigger, "/"):
		return errors.New("trigger is the name of another file in the same folder")
	case r.Age != 0 && r.Unchanged == 0, r.Unchanged == 1 || r.Unchanged < 0:
		return errors.New("unchanged is a number of polls of at least 2: that a file has an age says nothing of whether it grows")
	}
	return nil
}

// companion is the naming rule of the file that shows that another one is complete.
type companion struct {
	before, after string
	stem          bool // the name is built from the other's name without its extension
}

// companion returns how such files are named, if there are any.
func (r *Ready) companion() (c companion, exists bool) {
	text := r.Trigger
	if r.Mesh != nil {
		text = meshControl
	}
	before, after, whole := strings.Cut(text, "{name}")
	if !whole {
		before, after, _ = strings.Cut(text, "{stem}")
	}
	return companion{before, after, !whole}, text != ""
}

// Companion returns the name of the file that shows that another one is complete; "" if there are none.
func (r *Ready) Companion(name string) string {
	if c, exists := r.companion(); exists {
		return c.of(name)
	}
	return ""
}

func (c companion) of(name string) string {
	if c.stem {
		name = pattern.Stem(name)
	}
	return c.before + name + c.after
}
