package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"waybill/exchange"
	"waybill/exchange/store"
	"waybill/lab/servers"
	"waybill/schemas"
)

const (
	partBytes = 64 << 20
	partTries = 5 // of which the fastest counts
)

// mover stores a part, and fetches it again and hashes it.
type mover interface {
	put(ctx context.Context, n int64, file *os.File) error
	get(ctx context.Context, n int64, to io.Writer) error
	Close() error
}

// moving compares storing and fetching a large part with what a bare client of the same server takes for the same file.
func (s *site) moving(ctx context.Context, t *table) error {
	file, err := os.Create(s.path("part"))
	if err != nil {
		return err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(file, hash), rand.NewChaCha8([32]byte{1}), partBytes); err != nil {
		return err
	}
	part := schemas.Part{Bytes: partBytes, SHA256: hex.EncodeToString(hash.Sum(nil))}
	for _, kind := range servers.AllKinds() {
		if err := s.movingOver(ctx, t, kind, file, part); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) movingOver(ctx context.Context, t *table, kind string, file *os.File, part schemas.Part) (err error) {
	dir := s.path("parts-" + kind)
	host, made, err := startHost(ctx, kind, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Stop(context.WithoutCancel(ctx)), os.RemoveAll(dir)) }()
	place, err := store.Open(store.Config{URL: made.URL, Secret: func() (string, error) { return made.Password, nil }})
	if err != nil {
		return err
	}
	bare, err := openBare(kind, made)
	if err != nil {
		return errors.Join(err, place.Close())
	}
	movers := map[string]mover{"waybill": &ours{place, part}, "bare": bare}
	defer func() { err = errors.Join(err, bare.Close(), place.Close()) }()
	took := map[string]time.Duration{}
	for n := range int64(partTries) {
		for name, m := range movers {
			for _, do := range []struct {
				what string
				do   func() error
			}{
				{name + " put", func() error { return m.put(ctx, n, file) }},
				{name + " get", func() error { return fetched(ctx, m, n, filepath.Join(dir, "fetched")) }},
			} {
				began := time.Now()
				if err := do.do(); err != nil {
					return err
				}
				if best, d := took[do.what], time.Since(began); best == 0 || d < best {
					took[do.what] = d
				}
			}
		}
	}
	for what, verb := range map[string]string{"put": "stored on ", "get": "fetched from "} {
		against, least := "a bare client's rate", 0.85
		switch {
		case what == "get":
			against, least = against+", hashed", 0.91
		case kind == "directory" || kind == "sftp":
			against += ", synced"
		}
		rate := func(who string) float64 { return partBytes / 1e6 / took[who+" "+what].Seconds() }
		t.ratio("a part of 64 MiB "+verb+kind, against, atLeast(least), rate("waybill")/rate("bare"))
		t.figure("a part of 64 MiB "+verb+kind, "MB/s", goal{}, rate("waybill"))
	}
	return nil
}

func fetched(ctx context.Context, m mover, n int64, at string) error {
	to, err := os.Create(at)
	if err != nil {
		return err
	}
	var sink io.Writer = to
	if _, hashes := m.(*ours); !hashes {
		sink = io.MultiWriter(to, sha256.New())
	}
	return errors.Join(m.get(ctx, n, sink), to.Close())
}

// ours is Waybill's way.
type ours struct {
	*store.Place
	part schemas.Part
}

func (o *ours) put(ctx context.Context, n int64, file *os.File) (err error) {
	o.part.Name, err = exchange.NewWriter(o.Place).Part(ctx, schemas.Mixed, time.Unix(0, 0), n, false, file, o.part.Bytes, o.part.SHA256)
	return err
}

func (o *ours) get(ctx context.Context, _ int64, to io.Writer) error {
	return exchange.NewReader(o.Place).Fetch(ctx, o.part, to)
}
