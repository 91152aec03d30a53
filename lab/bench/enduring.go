package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"waybill/lab/child"
)

const anHour = 3600 // deaths, one a second

// enduring has a route's consumer be away for an hour, and cuts the power of the middle.
func (s *site) enduring(ctx context.Context, t *table, r route) (err error) {
	c := &crossing{site: s, route: r, running: make([]*child.Process, len(r.processes))}
	defer func() { err = errors.Join(err, c.stop(ctx)) }()
	if err := errors.Join(c.start(ctx), c.absence(ctx, t)); err != nil || c.disk == "" {
		return err
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "no power is cut: only root can mount a disk")
		return nil
	}
	return c.powerCut(ctx, t)
}

// absence makes an hour's deaths as fast as it can, each in a transaction of its own, while the consumer is away.
func (c *crossing) absence(ctx context.Context, t *table) error {
	if c.arrives != "plain" { // a batch for each second, as if the hour had passed
		settings := c.path(patients + ".yaml")
		if err := c.configure(settings, patients, c.store, "export: {batch_events: 1}"); err != nil {
			return err
		}
		defer func() { _ = c.configure(settings, patients, c.store, "export: {}") }()
		c.running[c.middle].Kill()
		if err := c.launch(c.middle); err != nil {
			return err
		}
	}
	before, err := c.kept(ctx)
	if err != nil {
		return err
	}
	c.running[c.route.consumer].Kill()
	if _, err := c.conn[patients].Exec(ctx, fmt.Sprintf(`DO $$ DECLARE somebody uuid; BEGIN
		FOR somebody IN SELECT id FROM patients.patient WHERE death_status = 'none' LIMIT %d LOOP
			UPDATE patients.patient SET death_status = 'informal' WHERE id = somebody;
			COMMIT;
		END LOOP; END $$`, anHour)); err != nil {
		return err
	}
	c.died += anHour
	after, err := c.kept(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	if err := c.launch(c.route.consumer); err != nil {
		return err
	}
	lost, err := c.lostSince(ctx)
	t.figure(c.name+", an hour's deaths, from the consumer's return", "s", goal{}, time.Since(began).Seconds())
	t.figure(c.name+", a death that the middle keeps", "bytes", goal{}, float64(after-before)/anHour)
	t.figure(fmt.Sprintf("%s, lost of %d after an hour", c.name, anHour), "", goal{}, float64(lost))
	return err
}

// kept returns the bytes on the middle's disk once they have not changed for three seconds.
func (c *crossing) kept(ctx context.Context) (bytes int64, err error) {
	if c.disk == "" {
		return 0, nil
	}
	for last, since := int64(-1), time.Now(); time.Since(since) < 3*time.Second; {
		if bytes, err = size(c.disk); err != nil {
			return 0, err
		}
		if bytes != last {
			last, since = bytes, time.Now()
		}
		pause(ctx, 100*time.Millisecond)
	}
	return bytes, ctx.Err()
}

// powerCut takes from the middle's disk all that was not synced, while the consumer is away, and starts everything again.
func (c *crossing) powerCut(ctx context.Context, t *table) (err error) {
	image := c.path("disk.img")
	mount := func() error { return command(ctx, "mount", "-o", "loop", image, c.disk) }
	if err := errors.Join(c.stop(ctx), os.RemoveAll(image), command(ctx, "truncate", "-s", "1G", image),
		command(ctx, "mkfs.ext4", "-q", "-F", "-d", c.disk, image), mount()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop(ctx), command(ctx, "umount", c.disk)) }()
	before := c.died
	lost, err := c.lostBetween(ctx,
		c.launchAll,
		func() error { c.running[c.route.consumer].Kill(); return nil },
		func() error { return nil },
		func() error {
			if err := cut(c.disk); err != nil {
				return err
			}
			for _, p := range c.running {
				p.Kill()
			}
			return errors.Join(command(ctx, "umount", c.disk), mount(), c.launchAll())
		},
	)
	t.figure(fmt.Sprintf("%s, lost of %d with the middle's power cut", c.name, c.died-before), "", goal{}, float64(lost))
	return err
}

// cut has a file system write nothing any more, its journal included, as if the machine had lost its power.
func cut(folder string) error {
	const shutdown, withoutJournal = 0x8004587d, 2 // of ext4
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), shutdown, withoutJournal), f.Close())
}

func command(ctx context.Context, name string, arguments ...string) error {
	if out, err := exec.CommandContext(ctx, name, arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, arguments, err, out)
	}
	return nil
}
