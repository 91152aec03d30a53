package setting_test

import (
	"testing"

	"waybill/internal/setting"
)

func TestAFileIsRefusedInWords(t *testing.T) {
	for text, want := range map[string]string{
		"stor: /srv/x":                      `line 1: no setting "stor"; did you mean store?`,
		"store: x\njobs:\n  evry: 5m":       `line 3: no setting "evry"; did you mean every?`,
		"colour: red":                       `line 1: no setting "colour"`,
		"\tstore: x":                        `line 1, "store: x": a tab; YAML is indented with spaces`,
		"store: x\nstore: y":                `line 2, "store: y": store is set in line 1 already`,
		"number: five":                      `line 1, "number: five": text, where a number belongs`,
		"store: x\njobs: 5":                 `line 2, "jobs: 5": a number, where a group of settings belongs`,
		"pasword: hunter2":                  `line 1: no setting "pasword"`,
		"store_pasword: hunter2\nnumber: x": `line 1: no setting "store_pasword"; did you mean store_password?; line 2, "number: x": text, where a number belongs`,
		"store_password: @hunter2":          `line 1, "store_password: …": a text that begins like this needs quotes`,
		"store: x\n number: 5":              `line 2, "number: 5": it begins further in than its neighbours, or has ": " in a text without quotes`,
		"jobs:\n  every: x\n store: y":      `line 3, "store: y": it begins further in or out than its neighbours`,
		"stroe: x":                          `line 1: no setting "stroe"; did you mean store?`,
		"databas: postgres://a:hunter2@b":   `line 1: no setting "databas"`,
	} {
		var into struct {
			Store    string `yaml:"store"`
			Password string `yaml:"store_password"`
			Number   int    `yaml:"number"`
			Jobs     struct {
				Every string `yaml:"every"`
			} `yaml:"jobs"`
		}
		if err := setting.Load([]byte(text), &into); err == nil || err.Error() != want {
			t.Errorf("%q:\n%v, want\n%s", text, err, want)
		}
	}
}
