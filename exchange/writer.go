package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/schemas"
)

// WriteStore is what a writer needs of a store.
type WriteStore interface {
	Getter
	Putter
	Publisher
}

// Writer appends batches to a log: parts first, the manifest last. It may be used concurrently.
type Writer struct {
	store WriteStore
	sign  trust.Signers // of floors; a batch's plan has its signatures already
}

// NewWriter returns a writer of the log in store.
func NewWriter(store WriteStore) *Writer { return &Writer{store: store} }

// Signing returns the writer, which signs floors.
func (w *Writer) Signing(sign trust.Signers) *Writer {
	w.sign = sign
	return w
}

// Part stores one part, size bytes of file with the given SHA-256, and returns the name for the
// manifest, which is another if the part is sealed. If the part exists, stores that can't overwrite keep it. If an aborted upload left it
// torn, the part gets a retry suffix.
func (w *Writer) Part(ctx context.Context, event string, date time.Time, batch int64, sealed bool, file io.ReaderAt, size int64, sha256hex string) (string, error) {
	for retry := range maxRetry + 1 {
		name := schemas.PartName(event, date, batch, sha256hex, retry)
		if sealed {
			name += schemas.SealedSuffix
		}
		err := w.store.Put(ctx, name, size, io.NewSectionReader(file, 0, size))
		if err == nil {
			return name, nil
		}
		if !errors.Is(err, ErrExists) {
			return "", err
		}
		same, err := w.holds(ctx, name, size, sha256hex)
		if err != nil {
			return "", err
		}
		if same {
			return name, nil
		}
	}
	return "", fault.New(fault.Transient, "put", schemas.PartName(event, date, batch, sha256hex, 0),
		fmt.Errorf("%d torn uploads are in its place", maxRetry+1), "delete them from the store, and see why uploads break off")
}

// Restore puts a published part back under its own name. A whole part is left alone. If the store
// can't overwrite, the damaged part is deleted first, if the account may. Until it is restored,
// readers treat the part as not yet arrived.
func (w *Writer) Restore(ctx context.Context, p schemas.Part, file io.ReaderAt, store Deleter) error {
	put := func() error { return w.store.Put(ctx, p.Name, p.Bytes, io.NewSectionReader(file, 0, p.Bytes)) }
	err := put()
	if !errors.Is(err, ErrExists) {
		return err
	}
	if same, err := w.holds(ctx, p.Name, p.Bytes, p.SHA256); same || err != nil {
		return err
	}
	if store == nil {
		return stuck(p.Name, err)
	}
	if err := store.Delete(ctx, p.Name); fault.ClassOf(err) == fault.Usage {
		return stuck(p.Name, err)
	} else if err != nil {
		return err
	}
	return put()
}

func stuck(name string, err error) error {
	return fault.New(fault.Usage, "restore", name, fmt.Errorf("it is damaged, and may be neither overwritten nor deleted: %w", err),
		"delete it on the server, or with an account that may, and repair again; or publish `waybill export --snapshot`, and have the consumers pass the batch")
}

func (w *Writer) holds(ctx context.Context, name string, size int64, sha256hex string) (bool, error) {
	file, err := w.store.Get(ctx, name)
	if err != nil {
		return false, err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, io.LimitReader(file, size+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return false, fmt.Errorf("read back %s: %w", name, err)
	}
	return hex.EncodeToString(hash.Sum(nil)) == sha256hex, nil
}

// Append publishes a batch: exactly these bytes, the file of its manifest. Publishing the same
// bytes again is fine. If torn files are in its place, it gets a retry suffix; any other manifest
// there is [ErrFork].
//
// The manifest is read back even if the store reported success. On stores without create-if-absent
// this is how the loser of a race finds out.
func (w *Writer) Append(ctx context.Context, batch int64, data []byte) error {
	if _, err := parseEntry(batch, data); err != nil {
		return err
	}
	for retry := range maxRetry + 1 {
		name := schemas.ManifestName(batch, retry)
		if err := w.store.Publish(ctx, name, data); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		found, err := readFile(ctx, w.store, name, schemas.MaxManifestBytes)
		if err != nil {
			return err
		}
		if bytes.Equal(found, data) {
			return nil
		}
		if _, err := schemas.ParseManifest(found); !errors.Is(err, schemas.ErrTorn) {
			return fault.New(fault.Poison, "publish", batchName(batch), fmt.Errorf("%w: %s", ErrFork, otherBytes), appendForkTip)
		}
	}
	return fault.New(fault.Transient, "publish", batchName(batch),
		fmt.Errorf("%d torn manifests are in its place", maxRetry+1), "see why uploads break off")
}

//go:embed README.txt
var readme []byte

// Readme leaves a note for the administrators of the store: what this is and what not to purge. An
// existing note stays.
func (w *Writer) Readme(ctx context.Context) error {
	err := w.store.Publish(ctx, "README.txt", readme)
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}
