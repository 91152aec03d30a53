package inbox

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"waybill/internal/fault"
	"waybill/partner/format/mesh"
	"waybill/partner/intake/drop"
)

// fetched is a file of the partner's, on this machine.
type fetched struct {
	*io.SectionReader
	file   *os.File
	sha256 [32]byte
}

func (f *fetched) close() {
	_ = f.file.Close()
	_ = os.Remove(f.file.Name())
}

// errGrown means that a file has another size than when it was listed: somebody writes it.
var errGrown = errors.New("its size changed while it was read")

// errTooLarge means that a file exceeds max_mib.
var errTooLarge = errors.New("the file is larger than max_mib allows")

// fetch copies a file to the spool. What has gone since, or has grown, is not ready.
func (in *Inbox) fetch(ctx context.Context, f *drop.File) (*fetched, error) {
	if f.Size > in.Settings.MaxMiB<<20 {
		return nil, errTooLarge
	}
	source, err := in.Folder.Get(ctx, in.path(f.Name))
	if err != nil {
		return nil, err
	}
	defer source.Close()
	file, err := os.OpenFile(filepath.Join(in.spool.Dir, "file"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, spoolFault(err)
	}
	hash := sha256.New()
	n, err := io.Copy(&spooled{file}, io.TeeReader(io.LimitReader(source, f.Size+1), hash))
	if err == nil && n != f.Size {
		err = errGrown
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	got := &fetched{SectionReader: io.NewSectionReader(file, 0, n), file: file}
	hash.Sum(got.sha256[:0])
	return got, nil
}

// hashOf reads a file of the store for its hash; it is not there: [exchange.ErrNotFound].
func (in *Inbox) hashOf(ctx context.Context, name string) (sum [32]byte, err error) {
	file, err := in.Folder.Get(ctx, name)
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

// errControl means that what stands beside a file says that it is not to be taken in.
var errControl = errors.New("not to be taken in")

// checkControl reads the control file of a MESH pair.
func (in *Inbox) checkControl(ctx context.Context, f *drop.File) error {
	mesh := in.Settings.Ready.Mesh
	if mesh == nil || f.Companion == "" {
		return nil
	}
	data, err := in.control(ctx, f.Companion)
	if err != nil {
		return err
	}
	if err := mesh.Check(data, in.Settings.Format.Container != "" && in.Settings.Format.Container != "none"); err != nil {
		return fmt.Errorf("%w: %w", errControl, err)
	}
	return nil
}

// control reads a file that shows that another one is complete.
func (in *Inbox) control(ctx context.Context, name string) ([]byte, error) {
	file, err := in.Folder.Get(ctx, in.path(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, mesh.MaxBytes+1))
}

// spooled tells a full disk here from trouble with the store.
type spooled struct{ *os.File }

func (s *spooled) Write(p []byte) (int, error) {
	n, err := s.File.Write(p)
	if err != nil {
		err = spoolFault(err)
	}
	return n, err
}

func spoolFault(err error) error {
	return fault.New(fault.Transient, "write", "spool", fmt.Errorf("%w", err), "make room in the spool folder")
}
