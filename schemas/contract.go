package schemas

import (
	"cmp"
	"embed"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v4"
)

//go:generate go test -run TestContractMarkdown|TestVectors . ./part -args -update

//go:embed *.odcs.yaml
var contractFiles embed.FS

// Type is the type of a column's values.
type Type int

// The types a contract may use, with PostgreSQL's and Parquet's names for each.
const (
	Text      Type = iota + 1 // text, STRING
	Bool                      // boolean, BOOLEAN
	Int32                     // integer, INT32
	Int64                     // bigint, INT64
	UUID                      // uuid, UUID
	Timestamp                 // timestamptz, TIMESTAMP(MICROS, UTC)
	JSON                      // jsonb, JSON
)

// Column is one column of a contract with the limits of its values.
type Column struct {
	Name           string
	Type           Type
	Required       bool
	Enum           []string       // of Text; nil means any value
	Pattern        *regexp.Regexp // of Text; nil means any value
	MaxLength      int            // of Text, in characters; of JSON, in elements. 0 means MaxValueBytes alone
	Members        []string       // of JSON: the strings that each object of the array must have
	Min, Max       int64          // of integers, inclusive; of Timestamp, in µs since 1970-01-01 UTC
	Classification string         // Restricted, or "internal"
	Outbox         string         // the outbox's column from which it is read, normally of the same name
	Slim           bool           // whether slim parts have it
	Description    string
}

// Restricted classifies a column of personal data: an erasure blanks it.
const Restricted = "restricted"

// MaxValueBytes bounds one value of any column.
const MaxValueBytes = 1 << 20

// Contract is one revision of a stream's data contract.
type Contract struct {
	Name        string // also the name of the stream, and of its folder on the store
	Version     string // major.minor.patch
	SHA256      string // of the contract's file, lower-case hex
	Description string
	Columns     []Column // in the order in which every codec takes them
	Withheld    []string // of the contract of slim parts: the columns that they must not have
}

// Contracts returns the contracts built into this release, one per stream, the newest last. Callers share
// them and must not change them.
var Contracts = sync.OnceValue(func() (list []*Contract) {
	files, _ := fs.Glob(contractFiles, "*.odcs.yaml")
	for _, name := range files {
		data, err := contractFiles.ReadFile(name)
		var c *Contract
		if err == nil {
			c, err = ParseContract(data)
		}
		if err != nil {
			panic(err) // the file is part of the program, and a test parses it
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *Contract) int { return cmp.Compare(number(a.Major()), number(b.Major())) })
	return list
})

// PatientEvents returns the newest contract.
func PatientEvents() *Contract { return Contracts()[len(Contracts())-1] }

// ContractOf returns the contract of a stream, or nil.
func ContractOf(stream string) *Contract {
	for _, c := range Contracts() {
		if c.Name == stream {
			return c
		}
	}
	return nil
}

// Streams returns the names of the streams that this release knows, the newest last.
func Streams() (names []string) {
	for _, c := range Contracts() {
		names = append(names, c.Name)
	}
	return names
}

// Events returns the contract's event types in the contract's order.
func (c *Contract) Events() []string {
	return c.Columns[c.Index("event")].Enum
}

// Slim returns the contract of slim parts: the same rules for fewer columns.
func (c *Contract) Slim() *Contract {
	slim := *c
	slim.Columns, slim.Withheld = nil, nil
	for _, col := range c.Columns {
		if col.Slim {
			slim.Columns = append(slim.Columns, col)
		} else {
			slim.Withheld = append(slim.Withheld, col.Name)
		}
	}
	return &slim
}

// Index returns the position of the named column, or -1.
func (c *Contract) Index(name string) int {
	return slices.IndexFunc(c.Columns, func(col Column) bool { return col.Name == name })
}

// Major returns the first number of the version, which both parties must share.
func (c *Contract) Major() string {
	major, _, _ := strings.Cut(c.Version, ".")
	return major
}

// before reports whether the contract is of an earlier revision than version. version is
// major.minor.patch; in an invalid manifest it may be any text.
func (c *Contract) before(version string) bool {
	if !versionForm.MatchString(version) {
		return false
	}
	numbers := func(version string) []int64 {
		parts := strings.Split(version, ".")
		return []int64{number(parts[0]), number(parts[1])}
	}
	return slices.Compare(numbers(c.Version), numbers(version)) < 0
}

// odcs is the part of an Open Data Contract Standard v3.1 file that Waybill reads.
type odcs struct {
	APIVersion  string `yaml:"apiVersion"`
	Kind        string `yaml:"kind"`
	Name        string `yaml:"name"`
	Version     string `yaml:"version"`
	Description struct {
		Purpose string `yaml:"purpose"`
	} `yaml:"description"`
	Schema []struct {
		Properties []property `yaml:"properties"`
	} `yaml:"schema"`
}

type property struct {
	Name           string   `yaml:"name"`
	Description    string   `yaml:"description"`
	LogicalType    string   `yaml:"logicalType"`
	PhysicalType   string   `yaml:"physicalType"`
	Required       bool     `yaml:"required"`
	Classification string   `yaml:"classification"`
	Tags           []string `yaml:"tags"`
	Custom         []struct {
		Property string `yaml:"property"`
		Value    string `yaml:"value"`
	} `yaml:"customProperties"`
	Options struct {
		Pattern   string `yaml:"pattern"`
		MaxLength int    `yaml:"maxLength"`
		MaxItems  int    `yaml:"maxItems"`
		Minimum   any    `yaml:"minimum"`
		Maximum   any    `yaml:"maximum"`
	} `yaml:"logicalTypeOptions"`
	Quality []struct {
		Metric    string `yaml:"metric"`
		Arguments struct {
			ValidValues []string `yaml:"validValues"`
		} `yaml:"arguments"`
	} `yaml:"quality"`
	Items struct {
		Properties []struct {
			Name string `yaml:"name"`
		} `yaml:"properties"`
	} `yaml:"items"`
}

// ParseContract reads a contract from an Open Data Contract Standard v3.1 file with one
// schema object. The errors name the property that can't be read.
func ParseContract(data []byte) (*Contract, error) {
	var file odcs
	if err := yaml.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("parse contract: %w", err)
	}
	if file.APIVersion != "v3.1.0" || file.Kind != "DataContract" || len(file.Schema) != 1 {
		return nil, fmt.Errorf("parse contract: want one schema of a v3.1.0 DataContract")
	}
	c := &Contract{
		Name:        file.Name,
		Version:     file.Version,
		SHA256:      Hash(data),
		Description: file.Description.Purpose,
	}
	for _, p := range file.Schema[0].Properties {
		col, err := p.column()
		if err != nil {
			return nil, fmt.Errorf("parse contract: property %q: %w", p.Name, err)
		}
		c.Columns = append(c.Columns, col)
	}
	return c, nil
}

func (p *property) column() (Column, error) {
	t, ok := typeOf(p.LogicalType, p.PhysicalType)
	if !ok {
		return Column{}, fmt.Errorf("no type is %s as %s", p.LogicalType, p.PhysicalType)
	}
	col := Column{
		Name:           p.Name,
		Type:           t,
		Required:       p.Required,
		MaxLength:      max(p.Options.MaxLength, p.Options.MaxItems),
		Classification: p.Classification,
		Outbox:         p.Name,
		Slim:           slices.Contains(p.Tags, "slim"),
		Description:    p.Description,
	}
	for _, custom := range p.Custom {
		if custom.Property == "outbox" {
			col.Outbox = custom.Value
		}
	}
	if p.Options.Pattern != "" {
		pattern, err := regexp.Compile(p.Options.Pattern)
		if err != nil {
			return Column{}, err
		}
		col.Pattern = pattern
	}
	for _, q := range p.Quality {
		if q.Metric == "invalidValues" {
			col.Enum = q.Arguments.ValidValues
		}
	}
	for _, member := range p.Items.Properties {
		col.Members = append(col.Members, member.Name)
	}
	var err error
	if col.Min, col.Max, err = p.limits(t); err != nil {
		return Column{}, err
	}
	return col, nil
}

func (p *property) limits(t Type) (low, high int64, err error) {
	switch t {
	case Int32:
		low, high = math.MinInt32, math.MaxInt32
	case Int64, Timestamp:
		low, high = math.MinInt64, math.MaxInt64
	}
	for _, l := range []struct {
		given any
		to    *int64
	}{{p.Options.Minimum, &low}, {p.Options.Maximum, &high}} {
		if l.given == nil {
			continue
		}
		if *l.to, err = limit(l.given); err != nil {
			return 0, 0, err
		}
	}
	return low, high, nil
}

func limit(given any) (int64, error) {
	switch v := given.(type) {
	case int:
		return int64(v), nil
	case time.Time:
		return v.UnixMicro(), nil
	case string:
		t, err := time.Parse(time.RFC3339, v)
		return t.UnixMicro(), err
	default:
		return 0, fmt.Errorf("a limit is neither a number nor a time")
	}
}

// typeNames pairs ODCS logical types with PostgreSQL's types.
var typeNames = map[Type]struct{ logical, sql string }{
	Text:      {"string", "text"},
	Bool:      {"boolean", "boolean"},
	Int32:     {"integer", "integer"},
	Int64:     {"integer", "bigint"},
	UUID:      {"string", "uuid"},
	Timestamp: {"timestamp", "timestamptz"},
	JSON:      {"array", "jsonb"},
}

func typeOf(logical, sql string) (Type, bool) {
	for t, n := range typeNames {
		if n.logical == logical && n.sql == sql {
			return t, true
		}
	}
	return 0, false
}

// String returns PostgreSQL's name of the type.
func (t Type) String() string { return typeNames[t].sql }

// SQLType returns PostgreSQL's name of the column's type.
func (c Column) SQLType() string { return c.Type.String() }

// ColumnNames returns the contract's column names, in order.
func (c *Contract) ColumnNames() []string {
	names := make([]string, len(c.Columns))
	for i, col := range c.Columns {
		names[i] = col.Name
	}
	return names
}
