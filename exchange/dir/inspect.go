package dir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"waybill/exchange"
	"waybill/internal/fact"
)

// Inspect reports what filesystem the directory is on, and how much room is left there.
func (s *Store) Inspect(ctx context.Context) ([]fact.Fact, error) {
	if err := ctx.Err(); err != nil {
		return nil, s.failed("inspect", "", err)
	}
	var stat syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(s.root), &stat); err != nil {
		return nil, s.failed("inspect", "", err)
	}
	room := fact.Fact{Name: "room", Value: fmt.Sprintf("%d MiB free", stat.Bavail*uint64(stat.Bsize)>>20)}
	if stat.Bavail < stat.Blocks/20 {
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
