package servers

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"waybill/internal/fault"
	"waybill/lab/child"
)

// Clock is the time of day for a server that is started with its environment. The server's timers
// follow the machine's clock. It works for programs that ask the C library, as PostgreSQL does;
// Go's ask the kernel.
type Clock struct{ library, file string }

// NewClock makes a clock that shows the right time. It keeps its state in the file, which the account that
// servers run as must be able to read.
func NewClock(file string) (*Clock, error) {
	cache, err := child.CacheDir()
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(cache, "servers", "clock", "usr/lib/*/faketime/libfaketime.so.1"))
	if err != nil || len(found) == 0 {
		return nil, fault.New(fault.Usage, "find", "libfaketime", fs.ErrNotExist, "`make servers` fetches it")
	}
	c := &Clock{library: found[0], file: file}
	return c, c.Step(0)
}

// Environment is for programs that use the clock.
func (c *Clock) Environment() []string {
	return []string{
		"LD_PRELOAD=" + c.library, "FAKETIME_TIMESTAMP_FILE=" + c.file,
		"FAKETIME_CACHE_DURATION=1", "FAKETIME_DONT_FAKE_MONOTONIC=1",
	}
}

// Step sets the clock that far from the machine's. Servers that use it notice within a second.
func (c *Clock) Step(offset time.Duration) error {
	text := fmt.Sprintf("%+.3f\n", offset.Seconds())
	if err := os.WriteFile(c.file+".new", []byte(text), 0o644); err != nil {
		return err
	}
	return os.Rename(c.file+".new", c.file)
}
