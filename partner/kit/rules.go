// Package kit makes what a partner needs to try files before sending them: the rules that Waybill reads them by, a right and a
// wrong sample, and a program that judges files on the partner's own machine. Nothing of it is secret.
package kit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v4"

	"waybill/internal/fault"
	"waybill/internal/setting"
	"waybill/partner"
	"waybill/partner/intake/inbox"
)

// RulesFile is the name of the rules in a kit.
const RulesFile = "rules.yaml"

// Rules are the part of a partner's file by which files are judged: no database, no store, no password.
type Rules struct {
	Partner string          `yaml:"partner"`
	Zone    string          `yaml:"zone"`
	Intake  *inbox.Settings `yaml:"intake"`
}

// Read reads and checks the rules of a kit.
func Read(path string) (*Rules, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", filepath.Base(path), errors.Unwrap(err), "give --rules PATH: the kit that you were sent has "+RulesFile)
	}
	r, err := parse(data)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", filepath.Base(path), err, "ask for a new kit, made by the release that you use")
	}
	return r, nil
}

func parse(data []byte) (*Rules, error) {
	r := &Rules{}
	if err := setting.Load(data, r); err != nil {
		return nil, err
	}
	if r.Intake == nil || r.Partner == "" || r.Zone == "" {
		return nil, errors.New("these are not the rules of a kit: partner, zone and intake are needed")
	}
	return r, setting.WithLine(setting.In("intake", r.Intake.Check(r.Partner, r.Zone)), data)
}

// kept are the sections of a partner's file that go into the kit. internal are the settings of intake that do not:
// partners should not know how a site watches them, and validate what they are going to seal.
var (
	kept     = []string{"partner", "intake"}
	internal = []string{"brake", "identity_change", "grace", "silence", "open"}
)

// rulesOf returns the rules of a partner as a kit has them, without comments. Times without an offset are in the
// zone.
func rulesOf(p *partner.Partner, zone string) ([]byte, error) {
	data, err := os.ReadFile(p.Path)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		return nil, err
	}
	rules := &yaml.Node{Kind: yaml.MappingNode}
	whole := document.Content[0]
	for i := 0; i < len(whole.Content); i += 2 {
		if name := whole.Content[i].Value; slices.Contains(kept, name) {
			rules.Content = append(rules.Content, bare(whole.Content[i]), without(bare(whole.Content[i+1]), internal))
		}
	}
	rules.Content = append(rules.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "zone"}, &yaml.Node{Kind: yaml.ScalarNode, Value: zone})
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(rules); err != nil {
		return nil, err
	}
	return out.Bytes(), encoder.Close()
}

// bare returns a copy of a node without comments and anchors, which may say what nobody else should read.
func bare(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return bare(n.Alias)
	}
	c := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value}
	for _, part := range n.Content {
		c.Content = append(c.Content, bare(part))
	}
	return c
}

// without removes settings from a section.
func without(section *yaml.Node, names []string) *yaml.Node {
	if section.Kind == yaml.MappingNode {
		for i := len(section.Content) - 2; i >= 0; i -= 2 {
			if slices.Contains(names, section.Content[i].Value) {
				section.Content = slices.Delete(section.Content, i, i+2)
			}
		}
	}
	return section
}
