package main

import (
	"bytes"
	"encoding"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"waybill/internal/setting"
	"waybill/partner"
)

// schemaOf is made from the structs that read a file.
func schemaOf(t *testing.T, file any, title string, required ...string) []byte {
	t.Helper()
	one := func(kinds ...*jsonschema.Schema) *jsonschema.Schema { return &jsonschema.Schema{OneOf: kinds} }
	text := func(pattern string) *jsonschema.Schema { return &jsonschema.Schema{Type: "string", Pattern: pattern} }
	span := text(`^([0-9]+(\.[0-9]+)?(ms|d|h|m|s))+$|^unlimited$`)
	number := one(&jsonschema.Schema{Type: "integer", Minimum: "1"}, text("^off$"))
	r := &jsonschema.Reflector{FieldNameTag: "yaml", ExpandedStruct: true, DoNotReference: true, RequiredFromJSONSchemaTags: true, Anonymous: true}
	inSection := false
	r.Mapper = func(of reflect.Type) *jsonschema.Schema {
		switch of {
		case reflect.TypeFor[duration](), reflect.TypeFor[setting.Duration]():
			return span
		case reflect.TypeFor[brake]():
			return number
		case reflect.TypeFor[jobConfig](): // or its schedule alone
			properties := jsonschema.NewProperties()
			properties.Set("schedule", text(""))
			properties.Set("timeout", span)
			return one(text(""), &jsonschema.Schema{Type: "object", Properties: properties, AdditionalProperties: jsonschema.FalseSchema})
		case reflect.TypeFor[exportConfig](), reflect.TypeFor[importConfig](): // which may be left empty
			if inSection {
				return nil
			}
			inSection = true
			section := r.ReflectFromType(of)
			section.Version, inSection = "", false
			return one(&jsonschema.Schema{Type: "null"}, section)
		}
		if reflect.PointerTo(of).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			return text("")
		}
		return nil
	}
	schema := r.Reflect(file)
	schema.Title, schema.Required = title, required
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}

// The schema for editors matches what the program reads: the schema that init writes is made from the structs.
func TestTheSchemaIsThatOfTheConfiguration(t *testing.T) {
	for file, schema := range map[string]struct {
		now  string
		made []byte
	}{
		schemaFile:      {configSchema, schemaOf(t, &config{}, "Configuration of a service of Waybill", "service", "store")},
		storeSchemaFile: {storeSchema, schemaOf(t, &mirrorConfig{}, "A store that waybill mirror copies from or to", "store")},
	} {
		if *write {
			if err := os.WriteFile(file, schema.made, 0o644); err != nil {
				t.Fatal(err)
			}
		} else if string(schema.made) != schema.now {
			t.Errorf("%s is not that of the settings: go test ./cmd/waybill -run TestTheSchema -write", file)
		}
	}
	if *write {
		return
	}
	schema := compiled(t, configSchema)
	for _, text := range []string{
		"service: morgue\nstore: x\nstor: y", "service: morgue", "service: morgue\nstore: x\nimport: {brake: many}",
		"service: morgue\nstore: x\nimport: {grace: soon}", "service: patients\nstore: x\nexport: {batch_events: lots}", "service: [a]\nstore: x",
	} {
		if err := schema.Validate(value(t, text)); err == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
	}
}

func compiled(t *testing.T, text string) *validator.Schema {
	t.Helper()
	document, err := validator.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource("waybill.schema.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("waybill.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// value is a YAML text as the validator takes it.
func value(t *testing.T, text string) any {
	t.Helper()
	var read any
	if err := yaml.Load([]byte(text), &read); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	data, err := json.Marshal(read)
	if err != nil {
		t.Fatal(err)
	}
	found, err := validator.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	inConfig  = regexp.MustCompile(`(?m)^    service: .*\n(?:    .*\n)*`) // a document of a ConfigMap
)

// Each configuration that init writes, or that lies in deploy/, is one by the schema, and so is each part of one in docs/.
func TestExamplesFitTheSchema(t *testing.T) {
	schema, stores, found := compiled(t, configSchema), compiled(t, storeSchema), 0
	check := func(file, text string) {
		if strings.HasPrefix(text, "# stores/") {
			if err := stores.Validate(value(t, text)); err != nil {
				t.Errorf("%s: %v in\n%s", file, err, text)
			}
			found++
			return
		}
		example, ok := value(t, text).(map[string]any)
		for key := range example {
			ok = ok && strings.Contains(configSchema, "\n    \""+key+"\": {")
		}
		if !ok {
			return // a partner's, a consumer's
		}
		for _, key := range []string{"service", "store"} { // which a page need not repeat
			if example[key] == nil {
				example[key] = "as before"
			}
		}
		if err := schema.Validate(example); err != nil {
			t.Errorf("%s: %v in\n%s", file, err, text)
		}
		found++
	}
	read := func(pattern string, texts *regexp.Regexp) {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if texts == nil {
				check(file, string(data))
				continue
			}
			for _, m := range texts.FindAllStringSubmatch(string(data), -1) {
				check(file, m[len(m)-1])
			}
		}
	}
	read("../../deploy/compose/config/*.yaml", nil)
	read("../../deploy/kubernetes/base/parties.yaml", inConfig)
	read("../../docs/*.md", yamlBlock)
	t.Chdir(t.TempDir())
	for _, name := range []string{"patients", "morgue", "appointments"} {
		if code, _, problems := typed("init " + name); code != exitDone {
			t.Fatal(problems)
		}
	}
	read("*.yaml", nil)
	for file, schema := range map[string]string{schemaFile: configSchema, storeSchemaFile: storeSchema, partner.SchemaFile: partner.Schema} {
		if data, err := os.ReadFile(file); err != nil || string(data) != schema {
			t.Errorf("init left no %s: %v", file, err)
		}
	}
	t.Logf("%d examples", found)
	if found < 12 {
		t.Errorf("only %d examples were found", found)
	}
}
