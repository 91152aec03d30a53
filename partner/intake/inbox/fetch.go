package inbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/partner/format/mesh"
	"waybill/partner/intake/drop"
)

// fetched is a partner's file on this machine.
type fetched struct {
	*io.SectionReader
	file      *os.File
	sha256    [32]byte
	signature []byte   // that came with it
	content   *os.File // of an encrypted or signed file; nil: the file's own
}

func (f *fetched) close() {
	for _, file := range []*os.File{f.file, f.content} {
		if file != nil {
			_ = file.Close()
			_ = os.Remove(file.Name())
		}
	}
}

// unready is why a file can't be taken yet.
type unready struct{ reason string }

func (u *unready) Error() string { return u.reason }

// unreadable is why the store does not hand a file out.
type unreadable struct{ error }

func (u *unreadable) Unwrap() error { return u.error }

// mostFailures is how many files in a row may fail for a passing reason. After that the store is at fault, not the
// files.
const mostFailures = 3

// wait sets aside a file that is not ready, or that the store does not return. The other files are taken, and the
// run ends with the error. wait returns all other errors.
func (r *run) wait(f *drop.File, err error) error {
	if errors.Is(err, exchange.ErrNotFound) {
		err = &unready{"it has gone since it was listed"}
	}
	if _, is := errors.AsType[*unready](err); is {
		f.State, f.Why = drop.Waiting, err.Error()
		return nil
	}
	if _, is := errors.AsType[*unreadable](err); !is {
		return err
	}
	if fault.ClassOf(err) == fault.Transient {
		r.failures++
	}
	if r.failures == mostFailures {
		return err
	}
	f.State, f.Why, r.unread = drop.Unusable, "it can't be read: "+causeOf(err), cmp.Or(r.unread, err)
	return nil
}

func refusedToRead(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return &unreadable{err}
}

// fetch copies a file to the spool, unless it is not ready.
func (r *run) fetch(ctx context.Context, f *drop.File) (*fetched, error) {
	if err := r.checkControl(ctx, f); err != nil {
		return nil, err
	}
	signature, err := r.signature(ctx, f)
	if err != nil {
		return nil, err
	}
	if f.Size > r.Settings.MaxMiB<<20 {
		return nil, &unready{tooLarge}
	}
	source, err := r.Folder.Get(ctx, r.path(f.Name))
	if err != nil {
		return nil, refusedToRead(err)
	}
	defer source.Close()
	file, err := os.OpenFile(filepath.Join(r.spool.Dir, "file"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, spoolFault(err)
	}
	hash := sha256.New()
	spool := &spooled{File: file}
	n, err := io.Copy(spool, io.TeeReader(io.LimitReader(source, f.Size+1), hash))
	switch {
	case spool.full != nil:
		err = spool.full
	case err != nil:
		err = refusedToRead(err)
	case n != f.Size:
		err = &unready{"its size changed while it was read"}
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	got := &fetched{SectionReader: io.NewSectionReader(file, 0, n), file: file, signature: signature}
	hash.Sum(got.sha256[:0])
	return got, nil
}

// hashOf reads a file of the store and returns its hash. If the file does not exist the error is
// [exchange.ErrNotFound].
func hashOf(ctx context.Context, store exchange.Getter, name string) (sum [32]byte, err error) {
	file, err := store.Get(ctx, name)
	if err != nil {
		return sum, err
	}
	defer file.Close()
	return hashAll(file)
}

func hashAll(r io.Reader) (sum [32]byte, err error) {
	hash := sha256.New()
	_, err = io.Copy(hash, r)
	hash.Sum(sum[:0])
	return sum, err
}

// checkControl reads the control file of a MESH pair. It may say that its data file must not be taken in.
func (r *run) checkControl(ctx context.Context, f *drop.File) error {
	pair := r.Settings.Ready.Mesh
	if pair == nil || f.Companion == "" {
		return nil
	}
	file, err := r.Folder.Get(ctx, r.path(f.Companion))
	if err != nil {
		return refusedToRead(err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, mesh.MaxBytes+1))
	if err != nil {
		return refusedToRead(err)
	}
	if err := pair.Check(data, r.Settings.Format.Container != "" && r.Settings.Format.Container != "none"); err != nil {
		return &unready{"not to be taken in: " + err.Error()}
	}
	return nil
}

// spooled distinguishes errors of the local disk from errors of the store.
type spooled struct {
	*os.File
	full error
}

func (s *spooled) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	if err != nil {
		err = spoolFault(err)
		s.full = err
	}
	return n, err
}

func spoolFault(err error) error {
	return fault.New(fault.Transient, "write", "spool", err, "make room in the spool folder")
}
