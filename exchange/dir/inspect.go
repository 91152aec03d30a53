package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"waybill/exchange"
	"waybill/internal/fact"
)

// Inspect reports the directory's filesystem and its free space.
func (s *Store) Inspect(ctx context.Context) ([]fact.Fact, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.failed("inspect", "", err)
	}
	free, all, err := space(filepath.Dir(s.root))
	if err != nil {
		return nil, s.failed("inspect", "", err)
	}
	room := fact.Fact{Name: "room", Value: fmt.Sprintf("%d MiB free", free>>20)}
	if free < all/20 {
		room.Advice = "less than a twentieth is free: make room, or prune"
	}
	return []fact.Fact{{Name: "directory", Value: s.root}, room}, nil
}

// Written returns the file's time of modification, which a share takes from its server's clock.
func (s *Store) Written(ctx context.Context, name string) (time.Time, error) {
	if err := errors.Join(exchange.CheckName(name), ctx.Err()); err != nil {
		return time.Time{}, err
	}
	info, err := os.Stat(filepath.Join(s.root, name))
	if err != nil {
		return time.Time{}, s.failed("inspect", name, err)
	}
	return info.ModTime(), nil
}
