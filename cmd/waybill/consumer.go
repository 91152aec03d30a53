package main

import (
	"context"
	"errors"

	"waybill/importer"
	"waybill/internal/fault"
)

type consumerCommand struct {
	Check consumerCheckCommand `cmd:"" help:"Try a consumer's migrations and SQL, in a schema of their own that is dropped again."`
}

// checkedConsumer is a consumer whose SQL runs.
type checkedConsumer struct {
	Consumer string `json:"consumer"`
	Runs     bool   `json:"runs"`
}

type consumerCheckCommand struct {
	Consumer string `arg:"" help:"morgue, appointments, or the folder of a custom consumer, such as ./statistics." predictor:"file"`
	Database string `placeholder:"URL" help:"A database where this may make a schema (default: the consumer's, if it has a configuration)."`
}

func (c *consumerCheckCommand) Run(ctx context.Context, env *environment) error {
	files, err := consumerFiles(c.Consumer, ".")
	if err != nil {
		return fault.New(fault.Usage, "check", c.Consumer, err, "")
	}
	consumer, err := importer.LoadConsumer(files)
	if err != nil {
		return err
	}
	url := c.Database
	if url == "" {
		party, err := env.config(consumer.Name)
		if err != nil {
			return fault.New(fault.Usage, "check", c.Consumer, errors.New("no configuration says where its database is"), "--database names one, which may be empty")
		}
		if url, err = party.databaseURL(); err != nil {
			return err
		}
	}
	if err := importer.Check(ctx, url, consumer); err != nil {
		return err
	}
	return env.out.answer(checkedConsumer{consumer.Name, true}, "%s: migrations and SQL run, on a batch without events", consumer.Name)
}
