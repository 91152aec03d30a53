package inbox

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/partner/envelope"
	"waybill/partner/format/container"
	"waybill/partner/intake/drop"
)

// open replaces an encrypted or signed file by its content. Nothing of the content is used unless all of it was
// verified. It lies in the spool under no name, so that a crash leaves nothing.
func (r *run) open(got *fetched) error {
	if r.keys == nil {
		return nil
	}
	file, err := os.OpenFile(filepath.Join(r.spool.Dir, "content"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return spoolFault(err)
	}
	got.content = file
	_ = os.Remove(file.Name()) // where that fails, close removes it
	spool := &spooled{File: file}
	limits := container.Limits{Bytes: r.Settings.MaxMiB << 20, Ratio: r.Settings.Format.Limits.Ratio}
	content, err := r.keys.Open(got.SectionReader, got.signature, spool, limits, r.now)
	if spool.full != nil {
		return spool.full
	}
	if err == nil {
		got.SectionReader = io.NewSectionReader(content, 0, content.Size())
	}
	return err
}

// signature reads the signature of a file, if it comes in a file of its own. One that is not whole may be on its way.
func (r *run) signature(ctx context.Context, f *drop.File) ([]byte, error) {
	if r.Settings.Open == nil || r.Settings.Open.Signature == "" {
		return nil, nil
	}
	name := r.Settings.rules.Ready.Companion(f.Name)
	file, err := r.Folder.Get(ctx, path.Join(path.Dir(r.path(f.Name)), name))
	if errors.Is(err, exchange.ErrNotFound) {
		return nil, &unready{"there is no " + name}
	}
	if err != nil {
		return nil, refusedToRead(err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, envelope.MostSignature))
	if err != nil {
		return nil, refusedToRead(err)
	}
	signature, err := envelope.Signature(data)
	if err != nil {
		return nil, &unready{name + ": " + err.Error()}
	}
	return signature, nil
}

// localSignature reads the signature next to a file of this machine.
func (r *run) localSignature(file string) ([]byte, error) {
	if r.Settings.Open == nil || r.Settings.Open.Signature == "" {
		return nil, nil
	}
	name := filepath.Join(filepath.Dir(file), r.Settings.rules.Ready.Companion(filepath.Base(file)))
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the file is refused as not signed
	}
	if err == nil {
		data, err = envelope.Signature(data)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "read", filepath.Base(name), fault.Bare(err), "")
	}
	return data, nil
}
