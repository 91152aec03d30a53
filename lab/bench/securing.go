package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"waybill/lab/servers"
)

// costs are how long export and import took of all events, and the processor time of both.
type costs struct{ export, load, processor time.Duration }

// securing compares the export and import of all events, and of one death at a time, with the same signed and sealed.
func (s *site) securing(ctx context.Context, t *table) error {
	open, err := s.costs(ctx, "open", map[string]string{})
	if err != nil {
		return err
	}
	keys, err := s.keys(ctx, "")
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
	return s.small(ctx, t)
}

// keys makes keys for both services, and returns their settings. A second key and a third are for other readers.
func (s *site) keys(ctx context.Context, others string) (map[string]string, error) {
	dir := s.path("keys")
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
		return nil, err
	}
	public := map[string]string{}
	for file, kind := range map[string]string{"sign": "sign", "seal": "seal", "open": "open", "second": "open", "third": "open"} {
		var answer struct{ Result []struct{ Key string } }
		if _, err := s.answer(ctx, &answer, "keys", "new", kind, filepath.Join(dir, file)); err != nil {
			return nil, err
		}
		public[file] = answer.Result[0].Key
	}
	others = strings.NewReplacer("SECOND", public["second"], "THIRD", public["third"]).Replace(others)
	return map[string]string{
		patients:  fmt.Sprintf("\nsign: {keys: [%[1]s/sign]}\nseal: {secret_file: %[1]s/seal, readers: {archive: {keys: [%[2]s], events: [all]}%[3]s}}", dir, public["open"], others),
		"archive": fmt.Sprintf("\ntrust: {keys: [%s]}\nopen: {keys: [%s/open]}", public["sign"], dir),
	}, nil
}

// costs exports and imports all events to a new directory.
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
	run := func(file string, arguments ...string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := s.waybill(ctx, append([]string{"--config", file}, arguments...)...)
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
	return c, nil
}

// processorTime is that of all commands that have ended. PostgreSQL runs on.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_CHILDREN, &u) // it fails only for another first argument
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
