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
	// Replace gives temp the name at, and replaces a file that has it.
	Replace(temp, at string) error
	// Claim gives temp the name at if that is free, and otherwise removes temp. A taken name is
	// [fs.ErrExist] or [exchange.ErrExists]; a filesystem that can't check is [errors.ErrUnsupported].
	Claim(temp, at string) error
	// Discard removes a temporary file if it can.
	Discard(temp string)
	// Settle makes a file and its name durable.
	Settle(at string) error
}

// Put writes a file and replaces one of the same name. The temporary name is at plus suffix; if suffix is
// "", a hidden one.
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
		// Settle also an existing file: its writer may have died before it was durable, and our caller will
		// rely on it.
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
		f.Discard(temp) // only a crash can have left this file
	}
	err = f.Create(temp, size, exchange.Exactly(ctx, body, size))
	if isTaken(err) { // the temporary name is taken, not the caller's
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
