package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"waybill/lab/servers"
)

// storing compares exports to servers on this machine with the same export to a directory.
func (s *site) storing(ctx context.Context, t *table) error {
	directory, err := s.exportTo(ctx, "directory")
	if err != nil {
		return err
	}
	for _, kind := range []string{"s3", "ftp", "sftp"} {
		took, err := s.exportTo(ctx, kind)
		if err != nil {
			return err
		}
		t.ratio("export to "+kind+", time", "a directory", atMost(1.2), took.Seconds()/directory.Seconds())
	}
	return nil
}

// exportTo exports all events to a new store.
func (s *site) exportTo(ctx context.Context, kind string) (took time.Duration, err error) {
	dir := s.path("store-" + kind)
	host, exchange, err := startHost(ctx, kind, dir)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, host.Stop(context.WithoutCancel(ctx)), os.RemoveAll(dir)) }()
	file := filepath.Join(dir, patients+".yaml")
	if err := s.configure(file, patients, exchange, "export: {}"); err != nil {
		return 0, err
	}
	if err := s.forget(ctx); err != nil {
		return 0, err
	}
	return s.timed(ctx, func(ctx context.Context) error {
		_, _, err := s.waybill(ctx, "--config", file, "export")
		return err
	})
}

// startHost starts a server, and makes a place on it that programs which are started from now on may use.
func startHost(ctx context.Context, kind, dir string) (*servers.Host, servers.Exchange, error) {
	host, err := servers.StartHost(ctx, kind, dir)
	if err != nil {
		return nil, servers.Exchange{}, err
	}
	for _, variable := range host.Environment {
		name, value, _ := strings.Cut(variable, "=")
		err = errors.Join(err, os.Setenv(name, value))
	}
	exchange, failed := host.NewExchange(ctx, "exchange")
	if err = errors.Join(err, failed); err != nil {
		err = errors.Join(err, host.Stop(context.WithoutCancel(ctx)))
	}
	return host, exchange, err
}
