package schemas

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// Markdown returns the contract as a table for people: contract.md.
func (c *Contract) Markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Made from patient-events.odcs.yaml by go generate ./schemas. Do not edit. -->\n\n")
	fmt.Fprintf(&b, "# Contract `%s` %s\n\n%s\n\n", c.Name, c.Version, c.Description)
	fmt.Fprintf(&b, "| column | PostgreSQL | Parquet | required | rule | what it says |\n|---|---|---|---|---|---|\n")
	for _, col := range c.Columns {
		required := ""
		if col.Required {
			required = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", col.Name, col.SQLType(), typeNames[col.Type].parquet,
			required, strings.Join(col.rules(), "; "), col.Description)
	}
	fmt.Fprintf(&b, "\nColumns of class *restricted* (personal data): %s.\n", strings.Join(c.restricted(), ", "))
	return b.Bytes()
}

func (c *Contract) restricted() (names []string) {
	for _, col := range c.Columns {
		if col.Classification == Restricted {
			names = append(names, "`"+col.Name+"`")
		}
	}
	return names
}

// rules returns the limits of the column's values in words.
func (c Column) rules() (rules []string) {
	switch {
	case c.Enum != nil:
		rules = append(rules, strings.Join(c.Enum, ", "))
	case c.Type == Text && c.MaxLength > 0:
		rules = append(rules, fmt.Sprintf("at most %d characters", c.MaxLength))
	case c.Type == JSON:
		rules = append(rules, fmt.Sprintf("array of at most %d {%s}", c.MaxLength, strings.Join(c.Members, ", ")))
	case c.Type == Timestamp:
		rules = append(rules, fmt.Sprintf("%d to %d", time.UnixMicro(c.Min).UTC().Year(), time.UnixMicro(c.Max).UTC().Year()))
	case c.Type == Int32 || c.Type == Int64:
		rules = append(rules, fmt.Sprintf("%d and up", c.Min))
	}
	if c.Pattern != nil {
		// A bar would end the table's cell.
		rules = append(rules, "`"+strings.ReplaceAll(c.Pattern.String(), "|", `\|`)+"`")
	}
	return rules
}
