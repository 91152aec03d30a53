package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"waybill/lab/servers"
)

// smallBatches are so many that the median says something about milliseconds.
const smallBatches = 15

// costs are how long export and import took of all events, the processor time of both, and how many milliseconds both together
// took of a small batch.
type costs struct {
	export, load, processor time.Duration
	small                   float64
}

// securing compares the export and import of all events, and of one death, with the same signed and sealed.
func (s *site) securing(ctx context.Context, t *table) error {
	open, err := s.costs(ctx, "open", map[string]string{})
	if err != nil {
		return err
	}
	keys, err := s.keys(ctx)
	if err != nil {
		return err
	}
	secure, err := s.costs(ctx, "secure", keys)
	if err != nil {
		return err
	}
	t.ratio("export, signed and sealed, time", "in the open", atMost(1.1), secure.export.Seconds()/open.export.Seconds())
	t.ratio("import, all events appended, signed and sealed, time", "in the open", atMost(1.1), secure.load.Seconds()/open.load.Seconds())
	t.ratio("both, signed and sealed, processor time of waybill", "in the open", atMost(1.1), secure.processor.Seconds()/open.processor.Seconds())
	t.figure("a batch of one death in the open, export and import", "ms", goal{}, open.small)
	t.figure("the same, what signing and sealing add", "ms", atMost(3), secure.small-open.small)
	return nil
}

// keys makes keys for both services, and returns their settings.
func (s *site) keys(ctx context.Context) (map[string]string, error) {
	dir := s.path("keys")
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return nil, err
	}
	public := map[string]string{}
	for _, kind := range []string{"sign", "seal", "open"} {
		var answer struct{ Result []struct{ Key string } }
		if _, err := s.answer(ctx, &answer, "keys", "new", kind, filepath.Join(dir, kind)); err != nil {
			return nil, err
		}
		public[kind] = answer.Result[0].Key
	}
	return map[string]string{
		patients:  fmt.Sprintf("\nsign: {keys: [%[1]s/sign]}\nseal: {secret_file: %[1]s/seal, readers: {archive: {keys: [%[2]s], events: [all]}}}", dir, public["open"]),
		"archive": fmt.Sprintf("\ntrust: {keys: [%s]}\nopen: {keys: [%s/open]}", public["sign"], dir),
	}, nil
}

// costs exports and imports all events to a new directory, and then one death at a time.
func (s *site) costs(ctx context.Context, name string, settings map[string]string) (c costs, err error) {
	dir := s.path(name)
	if err := os.MkdirAll(filepath.Join(dir, "exchange"), 0o755); err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	exchange := servers.Exchange{URL: "file://" + filepath.Join(dir, "exchange")}
	files := map[string]string{}
	for service, section := range map[string]string{patients: "export: {}", "archive": "import: {consumer: ../archive, brake: off}"} {
		files[service] = filepath.Join(dir, service+".yaml")
		if err := s.configure(files[service], service, exchange, section+settings[service]); err != nil {
			return c, err
		}
	}
	if err := errors.Join(s.forget(ctx), s.renew(ctx, "archive")); err != nil {
		return c, err
	}
	var small time.Duration
	run := func(file string, arguments ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			took, err := s.batches(ctx, append([]string{"--config", file}, arguments...)...)
			small += took
			return err
		}
	}
	export, load := run(files[patients], "export"), run(files["archive"], "import", "archive")
	before := processorTime()
	if c.export, err = s.timed(ctx, export); err != nil {
		return c, err
	}
	if c.load, err = s.timed(ctx, load); err != nil {
		return c, err
	}
	c.processor = processorTime() - before
	var took []float64
	for range smallBatches {
		small = 0
		if err := errors.Join(s.die(ctx, 1), export(ctx), load(ctx)); err != nil {
			return c, err
		}
		took = append(took, milliseconds(small))
	}
	c.small = middle(took)
	return c, nil
}

// processorTime is that of all commands that have ended. PostgreSQL runs on.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u) // it fails only for another first argument
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// batches runs a command, and returns how long its batches took.
func (s *site) batches(ctx context.Context, arguments ...string) (took time.Duration, err error) {
	var answer struct {
		Result struct {
			Batches []struct {
				Seconds float64 `json:"duration_seconds"`
			}
		}
	}
	_, err = s.answer(ctx, &answer, arguments...)
	for _, b := range answer.Result.Batches {
		took += time.Duration(b.Seconds * float64(time.Second))
	}
	return took, err
}
