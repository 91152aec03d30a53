package main

import (
	"context"
	"errors"
	"time"

	"waybill/lab/hospital"
)

const (
	smallBatches  = 100 // so many that the median says something about milliseconds
	smallPatients = 1000
)

// small compares batches of one death in the open with batches that are signed, and sealed for three readers of whom one is slim.
// The two logs take turns, so that what else the machine does affects both.
func (s *site) small(ctx context.Context, t *table) error {
	if s.pair == nil {
		if err := s.makePair(ctx); err != nil {
			return err
		}
	}
	var open, processor, took []float64
	for i := range smallBatches {
		var costs [2]smallCost
		if err := errors.Join(s.pair[0].die(ctx, 1), s.pair[1].die(ctx, 1)); err != nil {
			return err
		}
		for _, step := range []func(*site, context.Context) error{(*site).smallExport, (*site).smallImport} {
			for _, at := range []int{i % 2, 1 - i%2} {
				if err := costs[at].add(ctx, s.pair[at], step); err != nil {
					return err
				}
			}
		}
		open = append(open, milliseconds(costs[0].processor))
		processor = append(processor, milliseconds(costs[1].processor-costs[0].processor))
		took = append(took, milliseconds(costs[1].took-costs[0].took))
	}
	t.figure("a batch of one death in the open, export and import, processor time of waybill", "ms", goal{}, middle(open))
	t.figure("the same, what signing and sealing add", "ms", atMost(3), middle(processor))
	t.figure("the same, what they add to the time", "ms", goal{}, middle(took))
	return nil
}

// smallCost is what both commands took, their starts included.
type smallCost struct{ processor, took time.Duration }

func (c *smallCost) add(ctx context.Context, of *site, step func(*site, context.Context) error) error {
	before, began := processorTime(), time.Now()
	err := step(of, ctx)
	c.processor += processorTime() - before
	c.took += time.Since(began)
	return err
}

func (s *site) smallExport(ctx context.Context) error {
	_, err := s.export(ctx)
	return err
}

func (s *site) smallImport(ctx context.Context) error {
	_, err := s.load(ctx, "archive")
	return err
}

// makePair makes two patients services and their consumers, with a log each: in the open, and secured.
func (s *site) makePair(ctx context.Context) error {
	for _, name := range []string{"open", "secured"} {
		of, err := s.another(name)
		if err != nil {
			return err
		}
		s.pair = append(s.pair, of)
		settings := map[string]string{}
		if name == "secured" {
			if settings, err = of.keys(ctx, ", escrow: {keys: [SECOND], events: [all]}, appointments: {keys: [THIRD], events: [died], slim: true}"); err != nil {
				return err
			}
		}
		if err := errors.Join(of.party(ctx, patients, "export: {}"+settings[patients]),
			of.party(ctx, "archive", "import: {consumer: ../archive, brake: off}"+settings["archive"])); err != nil {
			return err
		}
		if err := errors.Join(hospital.Bulk(ctx, of.conn[patients], smallPatients, 1), of.smallExport(ctx), of.smallImport(ctx)); err != nil {
			return err
		}
	}
	return nil
}
