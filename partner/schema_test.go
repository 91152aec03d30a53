package partner_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	validator "github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"waybill/exchange/trust"
	"waybill/internal/setting"
	"waybill/partner"
	"waybill/partner/format/mapping"
	"waybill/partner/intake/drop"
)

var writeSchema = flag.Bool("write", false, "write the schema")

// schemaOf is made from the structs that read a partner's file.
func schemaOf(t *testing.T) string {
	t.Helper()
	text := &jsonschema.Schema{Type: "string"}
	r := &jsonschema.Reflector{FieldNameTag: "yaml", ExpandedStruct: true, DoNotReference: true, RequiredFromJSONSchemaTags: true, Anonymous: true}
	inReady := false
	r.Mapper = func(of reflect.Type) *jsonschema.Schema {
		switch of {
		case reflect.TypeFor[setting.Duration]():
			return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ms|d|h|m|s))+$`}
		case reflect.TypeFor[trust.Public]():
			return text
		case reflect.TypeFor[mapping.Columns](): // or one
			return &jsonschema.Schema{OneOf: []*jsonschema.Schema{text, {Type: "array", Items: text}}}
		case reflect.TypeFor[drop.Ready](): // or a word
			if inReady {
				return nil
			}
			inReady = true
			form := r.ReflectFromType(of)
			form.Version, inReady = "", false
			return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Enum: []any{"renamed", "mesh"}}, form}}
		}
		return nil
	}
	schema := r.Reflect(&partner.Partner{})
	schema.Title, schema.Required = "A partner of a service of Waybill", []string{"partner", "store"}
	data, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(data) + "\n"
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

func compiled(t *testing.T) *validator.Schema {
	t.Helper()
	document, err := validator.UnmarshalJSON(strings.NewReader(partner.Schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := validator.NewCompiler()
	if err := compiler.AddResource(partner.SchemaFile, document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile(partner.SchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// The schema for editors matches what the program reads, and refuses what it refuses.
func TestTheSchemaIsThatOfAPartnersFile(t *testing.T) {
	made := schemaOf(t)
	if *writeSchema {
		if err := os.WriteFile(partner.SchemaFile, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if made != partner.Schema {
		t.Errorf("%s is not that of the settings: go test ./partner -run TestTheSchemaIs -args -write", partner.SchemaFile)
	}
	schema := compiled(t)
	const whole = "partner: gp\nservice: morgue\nstore: file:///srv/gp\n"
	if err := schema.Validate(value(t, whole+"intake: {name: a.csv, ready: mesh, grace: 2h, format: {kind: csv, csv: {map: {family: [a, b], given: c}}}}")); err != nil {
		t.Error(err)
	}
	for _, text := range []string{
		"partner: gp", whole + "stor: x", whole + "deliver: {nme: x}", whole + "intake: {ready: soon}", whole + "intake: {grace: later}",
		whole + "deliver: {csv: {columns: [{feld: sex}]}}", whole + "deliver: {max_rows: many}", whole + "intake: {ready: {trigger: x, file: y}}",
	} {
		if err := schema.Validate(value(t, text)); err == nil {
			t.Errorf("the schema accepts\n%s", text)
		}
	}
}

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// Each partner in deploy/ and in docs/ fits the schema. Those in deploy/ name it, for editors.
func TestPartnersFitTheSchema(t *testing.T) {
	schema, found := compiled(t), 0
	check := func(file, text string) {
		example, ok := value(t, text).(map[string]any)
		if ok && (example["deliver"] != nil || example["intake"] != nil) {
			for _, key := range []string{"partner", "store"} { // which a page need not repeat
				if example[key] == nil {
					example[key] = "as before"
				}
			}
			found++
			if err := schema.Validate(example); err != nil {
				t.Errorf("%s: %v in\n%s", file, err, text)
			}
		}
	}
	for _, pattern := range []string{"../deploy/partners/*.yaml", "../docs/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			text := string(data)
			if strings.HasSuffix(file, ".md") {
				for _, m := range yamlBlock.FindAllStringSubmatch(text, -1) {
					check(file, m[1])
				}
				continue
			}
			if check(file, text); !strings.HasPrefix(text, "# yaml-language-server: $schema=../"+partner.SchemaFile+"\n") {
				t.Errorf("%s does not name its schema in the first line", file)
			}
		}
	}
	if t.Logf("%d partners", found); found < 10 {
		t.Errorf("only %d partners were found", found)
	}
}
