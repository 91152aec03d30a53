package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/invopop/jsonschema"

	"waybill/exchange/mirror"
	"waybill/exporter"
	"waybill/exporter/patients"
	"waybill/exporter/prune"
	"waybill/exporter/rerun"
	"waybill/importer"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/jobs"
	"waybill/notify"
	"waybill/partner/delivery"
	"waybill/partner/intake/inbox"
	"waybill/partner/intake/register"
	"waybill/reconcile"
	"waybill/schemas"
)

var write = flag.Bool("write", false, "write docs/schemas anew")

// answers lists the possible results of each command.
var answers = map[string][]any{
	"adopt":              {[]exporter.Adoption{}},
	"batches":            {[]batchRow{}},
	"capture":            {patients.CaptureSummary{}},
	"consumer check":     {checkedConsumer{}},
	"deliver":            {deliverySummary{}, delivery.Summary{}},
	"doctor":             {[]diagnosis{}},
	"export":             {exporter.Summary{}},
	"import":             {importer.Summary{}},
	"intake":             {inbox.Summary{}, passedNumber{}},
	"jobs cancel":        {orderedJob{}},
	"jobs history":       {[]serviceHistory{}, jobs.RunOf{}},
	"jobs list":          {[]serviceJobs{}},
	"jobs pause":         {orderedJob{}},
	"jobs resume":        {orderedJob{}},
	"jobs run":           {requestedRun{}},
	"keys check":         {[]checkedKeys{}},
	"keys destroy":       {destroyedKey{}},
	"keys new":           {[]shownKey{}},
	"keys rotate":        {[]shownKey{}},
	"keys show":          {[]shownKey{}},
	"mirror":             {[]mirror.Summary{}},
	"open":               {openAnswer{}},
	"partner check":      {inbox.Findings{}},
	"partner list":       {[]partnerRow{}},
	"prune":              {prune.Summary{}, importer.PruneSummary{}},
	"quarantine discard": {discardedItems{}},
	"quarantine list":    {[]register.Item{}},
	"quarantine release": {[]inbox.Released{}},
	"quarantine show":    {shownItem{}},
	"reconcile":          {reconcile.Report{}},
	"repair":             {exporter.Summary{}},
	"rerun export":       {rerun.Summary{}, requestedRun{}},
	"rerun import":       {importer.Summary{}, requestedRun{}},
	"retire":             {exporter.Summary{}},
	"status":             {[]serviceStatus{}},
	"trace":              {traceAnswer{}},
	"validate":           {inbox.Validation{}},
	"verify":             {verifyAnswer{}},
}

// texts are the commands that print text for people only, or nothing.
var texts = []string{"completion", "explain", "help", "init", "man", "migrate", "partner kit", "run", "serve"}

func TestEachCommandHasASchemaOrPrintsText(t *testing.T) {
	parser, err := newParser(new(commands), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for _, leaf := range parser.Model.Leaves(false) {
		name := strings.TrimPrefix(leaf.Path(), "waybill ")
		if _, answers := answers[name]; answers == slices.Contains(texts, name) {
			t.Errorf("%s: either answers or texts must name it", name)
		}
	}
}

// The schemas are made of the types that are printed, with their comments. go test -run Schemas ./cmd/waybill -write writes
// them anew.
func TestSchemasAreThoseOfTheAnswers(t *testing.T) {
	t.Chdir("../..")
	r := reflector(t)
	made := map[string][]byte{"notification": indented(t, r.ReflectFromType(reflect.TypeFor[notify.Message]()), "A message of `notify:`", "notification")}
	for command, results := range answers {
		made[fileOf(command)] = indented(t, envelope(r, command, results), "waybill "+command+" --json", fileOf(command))
	}
	const folder = "docs/schemas"
	if *write {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, schema := range made {
			if err := os.WriteFile(path.Join(folder, name+".json"), schema, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, schema := range made {
		if there, err := os.ReadFile(path.Join(folder, name+".json")); err != nil || !bytes.Equal(there, schema) {
			t.Errorf("%s/%s.json is not what the types say (%v): run go test -run Schemas ./cmd/waybill -write", folder, name, err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) != len(made) {
		t.Errorf("%d files in %s, want %d: %v", len(entries), folder, len(made), err)
	}
}

func fileOf(command string) string { return strings.ReplaceAll(command, " ", "-") }

// reflector makes schemas of types, named by their packages, with the comments of the code.
func reflector(t *testing.T) *jsonschema.Reflector {
	t.Helper()
	r := &jsonschema.Reflector{
		Anonymous: true,
		Mapper:    known,
		Namer: func(of reflect.Type) string {
			if of.Name() == "" {
				return ""
			}
			return path.Base(of.PkgPath()) + "." + of.Name()
		},
		LookupComment: func(of reflect.Type, field string) string { return comments(t, of.PkgPath())[of.Name()+"."+field] },
	}
	return r
}

var commented = map[string]map[string]string{} // by package

// comments are those of a package's types and their fields, by "Type." and "Type.Field".
func comments(t *testing.T, pkg string) map[string]string {
	t.Helper()
	if known, ok := commented[pkg]; ok || !strings.HasPrefix(pkg, "waybill/") {
		return known
	}
	found := map[string]string{}
	commented[pkg] = found
	files, err := filepath.Glob(strings.TrimPrefix(pkg, "waybill/") + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			declared, ok := n.(*ast.GenDecl)
			if !ok || declared.Tok != token.TYPE {
				return true
			}
			for _, spec := range declared.Specs {
				of := spec.(*ast.TypeSpec)
				found[of.Name.Name+"."] = line(declared.Doc, of.Doc)
				if s, ok := of.Type.(*ast.StructType); ok {
					for _, field := range s.Fields.List {
						for _, name := range field.Names {
							found[of.Name.Name+"."+name.Name] = line(field.Doc, field.Comment)
						}
					}
				}
			}
			return false
		})
	}
	return found
}

// line is the first comment that says something, in one line.
func line(groups ...*ast.CommentGroup) string {
	for _, group := range groups {
		if text := strings.Join(strings.Fields(group.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}

// known are types that are not printed as they are declared.
func known(of reflect.Type) *jsonschema.Schema {
	switch of {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[schemas.Time]():
		return &jsonschema.Schema{Type: "string", Format: "date-time"}
	case reflect.TypeFor[uuid.UUID]():
		return &jsonschema.Schema{Type: "string", Format: "uuid"}
	case reflect.TypeFor[humanize.Seconds]():
		return &jsonschema.Schema{Type: "number"}
	case reflect.TypeFor[json.RawMessage]():
		return jsonschema.TrueSchema
	case reflect.TypeFor[fault.Class]():
		s := &jsonschema.Schema{Type: "string"}
		for class := fault.Transient; class <= fault.Usage; class++ {
			s.Enum = append(s.Enum, class.String())
		}
		return s
	}
	return nil
}

// envelope is the schema of a command's answer.
func envelope(r *jsonschema.Reflector, command string, results []any) *jsonschema.Schema {
	var of []*jsonschema.Schema
	definitions := jsonschema.Definitions{}
	for _, result := range results {
		s := r.ReflectFromType(reflect.TypeOf(result))
		maps.Copy(definitions, s.Definitions)
		s.Definitions, s.Version = nil, ""
		of = append(of, s)
	}
	properties := jsonschema.NewProperties()
	properties.Set("version", &jsonschema.Schema{Const: answerVersion, Description: "of the form of the answer"})
	properties.Set("command", &jsonschema.Schema{Const: command})
	if len(of) == 1 {
		properties.Set("result", of[0])
	} else {
		properties.Set("result", &jsonschema.Schema{AnyOf: of})
	}
	return &jsonschema.Schema{
		Version: jsonschema.Version, Type: "object", Properties: properties, Required: []string{"version", "command", "result"},
		AdditionalProperties: jsonschema.FalseSchema, Definitions: definitions,
	}
}

func indented(t *testing.T, s *jsonschema.Schema, title, name string) []byte {
	t.Helper()
	s.Title, s.ID = title, jsonschema.ID("https://waybill.example/schemas/"+name+".json")
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return append(data, '\n')
}
