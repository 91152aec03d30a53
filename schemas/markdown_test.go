package schemas_test

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"waybill/schemas"
)

var parquetTypes = map[schemas.Type]string{
	schemas.Text: "STRING", schemas.Bool: "BOOLEAN", schemas.Int32: "INT32", schemas.Int64: "INT64",
	schemas.UUID: "UUID", schemas.Timestamp: "TIMESTAMP(MICROS, UTC)", schemas.JSON: "JSON",
}

// markdown returns the contract as a table for people: contract.md.
func markdown(c *schemas.Contract) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<!-- Made from %s.odcs.yaml by go generate ./schemas. Do not edit. -->\n\n", c.Name)
	fmt.Fprintf(&b, "# Contract `%s` %s\n\n%s\n\n", c.Name, c.Version, c.Description)
	fmt.Fprintf(&b, "| column | PostgreSQL | Parquet | required | rule | what it says |\n|---|---|---|---|---|---|\n")
	for _, col := range c.Columns {
		required := ""
		if col.Required {
			required = "yes"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", col.Name, col.SQLType(), parquetTypes[col.Type],
			required, strings.Join(rules(col), "; "), col.Description)
	}
	fmt.Fprintf(&b, "\nColumns of class *restricted* (personal data): %s.\n", strings.Join(restricted(c), ", "))
	fmt.Fprintf(&b, "\nColumns of slim parts: `%s`.\n", strings.Join(c.Slim().ColumnNames(), "`, `"))
	return b.Bytes()
}

func restricted(c *schemas.Contract) (names []string) {
	for _, col := range c.Columns {
		if col.Classification == schemas.Restricted {
			names = append(names, "`"+col.Name+"`")
		}
	}
	return names
}

// rules returns the limits of the column's values in words.
func rules(c schemas.Column) (rules []string) {
	switch {
	case c.Enum != nil:
		rules = append(rules, strings.Join(c.Enum, ", "))
	case c.Type == schemas.Text && c.MaxLength > 0:
		rules = append(rules, fmt.Sprintf("at most %d characters", c.MaxLength))
	case c.Type == schemas.JSON:
		rules = append(rules, fmt.Sprintf("array of at most %d {%s}", c.MaxLength, strings.Join(c.Members, ", ")))
	case c.Type == schemas.Timestamp:
		rules = append(rules, fmt.Sprintf("%d to %d", time.UnixMicro(c.Min).UTC().Year(), time.UnixMicro(c.Max).UTC().Year()))
	case c.Type == schemas.Int32 || c.Type == schemas.Int64:
		rules = append(rules, fmt.Sprintf("%d and up", c.Min))
	}
	if c.Pattern != nil {
		// A bar would end the table's cell.
		rules = append(rules, "`"+strings.ReplaceAll(c.Pattern.String(), "|", `\|`)+"`")
	}
	return rules
}
