package batch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/internal/connect"
	"waybill/internal/fault"
	"waybill/schemas"
	"waybill/schemas/part"
)

// PublishedTable returns the SQL that makes the temporary table `published`, for [Converter.Load].
func (c *Converter) PublishedTable() string {
	definitions := []string{"part integer"}
	for _, column := range c.Contract.Columns {
		definitions = append(definitions, column.Name+" "+column.SQLType())
	}
	return "CREATE TEMP TABLE published (" + strings.Join(definitions, ", ") + ")"
}

// Load copies a part's rows into the table `published`. The part's number is its column's default.
func (c *Converter) Load(ctx context.Context, tx pgx.Tx, number int, p schemas.Part) error {
	if _, err := tx.Exec(ctx, fmt.Sprintf(`ALTER TABLE published ALTER part SET DEFAULT %d`, number)); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(c.Dir, "published"))
	if err != nil {
		return fault.New(fault.Transient, "spool", p.Name, err, "")
	}
	defer os.Remove(file.Name())
	defer file.Close()
	if err := c.Reader.Fetch(ctx, p, file); err != nil {
		return err
	}
	opened, err := c.Reader.Opened(p, file)
	if err != nil {
		return err
	}
	stream := part.NewStream(c.Contract, part.Options{}, opened)
	defer stream.Close()
	return connect.CopyFrom(ctx, tx.Conn(), stream, "COPY published ("+strings.Join(c.Contract.ColumnNames(), ", ")+") FROM STDIN (FORMAT binary)")
}
