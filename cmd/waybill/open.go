package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/decision"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/schemas"
)

type openCommand struct {
	Service string `arg:"" help:"The service whose keys open."`
	Batch   string `required:"" placeholder:"A..B" help:"Which batches."`
	To      string `required:"" placeholder:"FOLDER" help:"Where to leave their parts as Parquet that anybody can read. It is made, for its owner alone."`
	Reason  string `required:"" placeholder:"TEXT" help:"Why; kept with the decision."`
}

// openAnswer is what was left in the folder.
type openAnswer struct {
	Service string       `json:"service"`
	Files   []openedFile `json:"files"`
	Others  int64        `json:"sealed_to_others"` // parts
}

type openedFile struct {
	Batch int64  `json:"batch"`
	Name  string `json:"name"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
}

// Run opens parts for other programs. The decision is noted before the first of them.
func (c *openCommand) Run(ctx context.Context, env *environment) error {
	from, to, err := batchRange(c.Batch)
	if err != nil {
		return err
	}
	party, err := env.config(c.Service)
	if err != nil {
		return err
	}
	place, err := party.openStore(&env.installation)
	if err != nil {
		return err
	}
	reader, err := env.opener(place, party)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.To, 0o700); err != nil {
		return c.failed(err)
	}
	if err := party.decide(ctx, decision.Decision{Kind: "open", Subject: fmt.Sprintf("batches %d..%d", from, to), Reason: c.Reason, Person: person()}); err != nil {
		return err
	}
	answer, err := c.openAll(ctx, reader, from, to, party.consumer != nil && party.consumer.Slim)
	if err != nil {
		return err
	}
	return env.out.printOpened(answer)
}

func (c *openCommand) openAll(ctx context.Context, reader *exchange.Parts, from, to int64, slim bool) (*openAnswer, error) {
	answer := &openAnswer{Service: c.Service, Files: []openedFile{}}
	for entry, err := range reader.Entries(ctx, from, to) {
		if err != nil {
			return nil, err
		}
		for _, p := range entry.Manifest.PartsOf(nil, slim) {
			file, err := c.open(ctx, reader, p)
			if errors.Is(err, seal.ErrNotForUs) {
				answer.Others++
				continue
			}
			if err != nil {
				return nil, err
			}
			file.Batch = entry.Manifest.Batch
			answer.Files = append(answer.Files, file)
		}
	}
	return answer, nil
}

// open leaves one part in the folder.
func (c *openCommand) open(ctx context.Context, reader *exchange.Parts, p schemas.Part) (o openedFile, err error) {
	fetched, err := os.CreateTemp(c.To, ".sealed-*")
	if err != nil {
		return o, c.failed(err)
	}
	defer os.Remove(fetched.Name())
	defer fetched.Close()
	if err := reader.Fetch(ctx, p, fetched); err != nil {
		return o, err
	}
	opened, err := reader.Opened(p, fetched)
	if err != nil {
		return o, err
	}
	o = openedFile{Name: strings.TrimSuffix(strings.TrimPrefix(p.Name, "parts/"), schemas.SealedSuffix), Rows: p.Rows}
	o.Bytes, err = c.leave(filepath.FromSlash(o.Name), io.NewSectionReader(opened, 0, opened.Size))
	if _, folder := errors.AsType[*fs.PathError](err); folder {
		return o, c.failed(err)
	}
	if err != nil {
		return o, fault.New(fault.Poison, "open", p.Name, err, "ask the producer: the part has the hash that its manifest says, and is broken inside")
	}
	return o, nil
}

// leave writes a file whole or not at all.
func (c *openCommand) leave(name string, from io.Reader) (size int64, err error) {
	name = filepath.Join(c.To, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return 0, err
	}
	file, err := os.CreateTemp(c.To, ".opened-*")
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	size, err = io.Copy(file, from)
	if err := errors.Join(err, file.Close()); err != nil {
		return 0, err
	}
	return size, os.Rename(file.Name(), name)
}

func (c *openCommand) failed(err error) error {
	return fault.New(fault.Usage, "write", c.To, fault.Bare(err), "--to names a folder where this user may write")
}

// decide keeps a decision in the party's database.
func (c *config) decide(ctx context.Context, d decision.Decision) error {
	url, err := c.databaseURL()
	if err != nil {
		return err
	}
	if c.Export != nil {
		return exporter.Decide(ctx, url, d)
	}
	return importer.Decide(ctx, url, c.consumer, d)
}

func (out *printer) printOpened(a *openAnswer) error {
	if out.json {
		return out.printJSON(a)
	}
	t := out.table("BATCH", "FILE", "ROWS", "SIZE")
	for _, f := range a.Files {
		t.row(fmt.Sprint(f.Batch), f.Name, humanize.Count(f.Rows), size(f.Bytes))
	}
	if a.Others > 0 {
		defer fmt.Fprintf(out, "%s sealed to others\n", humanize.Plural(a.Others, "part is", "parts are"))
	}
	return t.print()
}
