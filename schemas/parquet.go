package schemas

import (
	"reflect"

	"github.com/parquet-go/parquet-go"
)

// ParquetSchema returns the Parquet schema of the contract's parts: flat, columns in the
// contract's order, nullable ones OPTIONAL.
func (c *Contract) ParquetSchema() *parquet.Schema {
	root := table{Group: parquet.Group{}}
	for _, col := range c.Columns {
		node := col.parquetNode()
		root.Group[col.Name] = node
		root.fields = append(root.fields, column{Node: node, name: col.Name})
	}
	return parquet.NewSchema(c.Name, root)
}

func (c Column) parquetNode() parquet.Node {
	node := parquet.Encoded(parquetLeaf(c.Type), &parquet.Plain)
	if c.Enum != nil {
		node = parquet.Encoded(node, &parquet.RLEDictionary)
	}
	if !c.Required {
		node = parquet.Optional(node)
	}
	return node
}

func parquetLeaf(t Type) parquet.Node {
	switch t {
	case Text:
		return parquet.String()
	case Bool:
		return parquet.Leaf(parquet.BooleanType)
	case Int32:
		return parquet.Leaf(parquet.Int32Type)
	case Int64:
		return parquet.Leaf(parquet.Int64Type)
	case UUID:
		return parquet.UUID()
	case Timestamp:
		return parquet.Timestamp(parquet.Microsecond)
	default:
		return parquet.JSON()
	}
}

// table is a Parquet group that keeps its fields in the given order; [parquet.Group] sorts
// them by name.
type table struct {
	parquet.Group
	fields []parquet.Field
}

func (t table) Fields() []parquet.Field { return t.fields }

type column struct {
	parquet.Node
	name string
}

func (c column) Name() string { return c.name }

// Value completes [parquet.Field]. Values are written column by column, never from Go values.
func (column) Value(reflect.Value) reflect.Value { return reflect.Value{} }
