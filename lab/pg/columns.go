package pg

import (
	"strings"

	"waybill/schemas"
)

// Columns returns a contract's columns as the inside of a CREATE TABLE's parentheses: "event text NOT NULL, …".
func Columns(c *schemas.Contract) string {
	columns := make([]string, len(c.Columns))
	for i, col := range c.Columns {
		columns[i] = col.Name + " " + col.SQLType()
		if col.Required {
			columns[i] += " NOT NULL"
		}
	}
	return strings.Join(columns, ", ")
}
