// Package whole writes files that appear whole: under a temporary name next to their place, durably,
// and only then under their own.
package whole

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"waybill/exchange"
)

// Folder is what writing needs of a store's filesystem.
type Folder interface {
	// Create writes a new file of exactly size bytes, durably. A failure may leave a beginning of it.
	Create(at string, size int64, body io.Reader) error
	// Replace gives temp its name, in place of a file that has it.
	Replace(temp, at string) error
	// Claim gives temp its name if that is free, and else removes temp. A taken name is [fs.ErrExist] or
	// [exchange.ErrExists]; a filesystem that can't tell is [errors.ErrUnsupported].
	Claim(temp, at string) error
	// Discard removes a temporary file if it can.
	Discard(temp string)
	// Settle makes a file and its name durable.
	Settle(at string) error
}

// Put writes a file and replaces what has its name. Suffix names the temporary file after it; "": hidden.
func Put(ctx context.Context, f Folder, at, suffix string, size int64, body io.Reader) error {
	temp, err := write(ctx, f, at, suffix, size, body)
	if err != nil {
		return err
	}
	if err := f.Replace(temp, at); err != nil {
		f.Discard(temp)
		return err
	}
	return f.Settle(at)
}

// Publish writes a file whose name must be free. On filesystems without links it is created exclusively
// and written in place: there is still one winner, but a crash may leave the file torn. It then stays:
// another publisher may have seen it already, and have moved on to the next retry name.
func Publish(ctx context.Context, f Folder, at, suffix string, data []byte) error {
	size := int64(len(data))
	temp, err := write(ctx, f, at, suffix, size, bytes.NewReader(data))
	if err != nil {
		return err
	}
	err = f.Claim(temp, at)
	if errors.Is(err, errors.ErrUnsupported) {
		err = f.Create(at, size, bytes.NewReader(data))
	}
	if err == nil || isTaken(err) {
		// Also a file that exists: its process may have died before it was durable, and our caller will rely on
		// it as if it were its own.
		err = errors.Join(err, f.Settle(at))
	}
	return err
}

func isTaken(err error) bool {
	return errors.Is(err, fs.ErrExist) || errors.Is(err, exchange.ErrExists)
}

// write returns the name of a temporary file that holds exactly size bytes. When it fails it leaves nothing.
func write(ctx context.Context, f Folder, at, suffix string, size int64, body io.Reader) (temp string, err error) {
	if temp = at + suffix; suffix == "" {
		temp = path.Join(path.Dir(at), ".waybill-"+rand.Text()+".tmp")
	} else {
		f.Discard(temp) // only a crash can have left it
	}
	err = f.Create(temp, size, exchange.Exactly(ctx, body, size))
	if isTaken(err) { // it is not the caller's name that is taken
		return "", fmt.Errorf("the temporary file %s can't be replaced: remove it", path.Base(temp))
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		f.Discard(temp)
	}
	return temp, err
}
