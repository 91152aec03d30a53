package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"waybill/lab/overlay"
)

// A mutant that no longer compiles fails here, and not in the long run. Compiling all takes too long, so the packages
// that they change are type-checked.
func TestProofEveryMutantCompiles(t *testing.T) {
	mutants, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(t, root)
	for _, m := range mutants {
		sources, err := m.apply(root)
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
		if err := c.check(t, sources); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

func TestWhatDoesNotCompile(t *testing.T) {
	t.Parallel()
	c := newChecker(t, tiny(t).Root)
	for name, test := range map[string]struct {
		sources map[string]string
		want    string
	}{
		"whole":           {map[string]string{"tiny.go": "package tiny\n\nconst Seen = 3\n"}, ""},
		"no source":       {map[string]string{"says/said.txt": "torn"}, ""},
		"not Go":          {map[string]string{"tiny.go": "package tiny\n\nconst Seen = \n"}, "expected"},
		"a name is gone":  {map[string]string{"tiny.go": "package tiny\n\nconst Seen = gone\n"}, "undefined: gone"},
		"unused variable": {map[string]string{"tiny.go": "package tiny\n\nfunc f() { left := 1 }\n"}, "declared and not used: left"},
		"unused import":   {map[string]string{"says/main.go": "package main\n\nimport \"embed\"\n\nfunc main() {}\n"}, `"embed" imported and not used`},
		"two packages": {map[string]string{
			"tiny.go":      "package tiny\n\nconst New = 1\n",
			"says/main.go": "package main\n\nimport \"tiny\"\n\nfunc main() { println(tiny.New) }\n",
		}, ""},
		"two packages that do not fit": {map[string]string{
			"tiny.go":      "package tiny\n\nconst New = 1\n",
			"says/main.go": "package main\n\nimport \"tiny\"\n\nfunc main() { println(tiny.Seen) }\n",
		}, "undefined: tiny.Seen"},
	} {
		sources := map[string][]byte{}
		for file, text := range test.sources {
			sources[file] = []byte(text)
		}
		if err := c.check(t, sources); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// compiled is a package as `go list -export` describes it.
type compiled struct {
	Dir, ImportPath, Export string
	GoFiles                 []string
}

// checker type-checks a changed package against the compiled ones that it imports.
type checker struct {
	root     string
	packages map[string]compiled // by folder, below root
	fset     *token.FileSet
	config   types.Config
}

func newChecker(t *testing.T, root string) *checker {
	t.Helper()
	root, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=Dir,ImportPath,Export,GoFiles", "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	c := &checker{root: root, packages: map[string]compiled{}, fset: token.NewFileSet()}
	exports := map[string]string{}
	for packages := json.NewDecoder(bytes.NewReader(out)); packages.More(); {
		var p compiled
		if err := packages.Decode(&p); err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if folder, err := filepath.Rel(root, p.Dir); err == nil {
			c.packages[filepath.ToSlash(folder)] = p
		}
	}
	c.config.Importer = importer.ForCompiler(c.fset, "gc", func(name string) (io.ReadCloser, error) { return os.Open(exports[name]) })
	return c
}

func (c *checker) check(t *testing.T, sources map[string][]byte) error {
	t.Helper()
	folders := map[string]bool{}
	for file := range sources {
		if strings.HasSuffix(file, ".go") {
			folders[path.Dir(file)] = true
		}
	}
	switch changed := slices.Collect(maps.Keys(folders)); len(changed) {
	case 0:
		return nil
	case 1:
		return c.checkPackage(changed[0], sources)
	default: // one may need what is new in another
		return c.build(t, changed, sources)
	}
}

func (c *checker) checkPackage(folder string, sources map[string][]byte) error {
	p := c.packages[folder]
	var parsed []*ast.File
	for _, name := range p.GoFiles {
		var text any // nil: the file's own
		if changed, ok := sources[path.Join(folder, name)]; ok {
			text = changed
		}
		file, err := parser.ParseFile(c.fset, filepath.Join(p.Dir, name), text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		parsed = append(parsed, file)
	}
	_, err := c.config.Check(p.ImportPath, c.fset, parsed, nil)
	return err
}

func (c *checker) build(t *testing.T, folders []string, sources map[string][]byte) error {
	t.Helper()
	changed, err := overlay.Write(c.root, t.TempDir(), sources)
	if err != nil {
		return err
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", changed)
	for _, folder := range folders {
		build.Args = append(build.Args, "./"+folder)
	}
	build.Dir = c.root
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}
