// Package exchange is the place where two parties meet: files under one root, written by one
// side and followed by any number of others. Stores are reached through four one-method roles;
// [Writer] appends batches to the log that lies there and [Reader] follows it. What lies where,
// and what makes a batch published, is in schemas/SPEC.md.
package exchange

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"waybill/internal/fact"
)

var (
	// ErrNotFound is what every store returns (wrapped) for a name that does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists is what every store returns (wrapped) for a name that is taken; that file stays.
	ErrExists = errors.New("already exists")
)

// Names are relative to the stream's folder, slash-separated and made of [A-Za-z0-9=._@-]; no
// element is empty or begins with a dot. Stores refuse others, see [CheckName]. A context governs a
// whole call: the call returns the context's error within a second after it is done.

// Getter opens one file for reading from its beginning. A name that does not exist, or is a
// folder's, is [ErrNotFound]. The context governs the reading too. A file may be closed before its
// end.
type Getter interface {
	Get(ctx context.Context, name string) (io.ReadCloser, error)
}

// Putter stores exactly size bytes of body under name, durably, and returns nil only after the
// store has confirmed that it has size bytes. A failed Put leaves nothing under name, or a file
// that is shorter than size or differs in hash: callers name files by their hash. Putting the same
// bytes again succeeds; a store that can't overwrite returns [ErrExists], and the caller reads back
// and compares.
type Putter interface {
	Put(ctx context.Context, name string, size int64, body io.Reader) error
}

// Publisher creates name with data, durably, if there is nothing under it, and returns [ErrExists]
// otherwise. If several publish at once, exactly one wins on stores whose guarantee is native. On other
// stores several may get the answer that they won, and must read back to find out. A failed Publish
// leaves nothing, all of data, or a beginning of it, which stays.
type Publisher interface {
	Publish(ctx context.Context, name string, data []byte) error
}

// Lister yields the base names directly in a folder, in no particular order; those of sub-folders
// end in "/". The folder "" is the top. A missing folder counts as empty. Temporary files of
// unfinished writes are never yielded, nor are names that [CheckName] refuses. An error is the last
// thing yielded.
type Lister interface {
	List(ctx context.Context, folder string) iter.Seq2[string, error]
}

// Store is a place that has all four roles. It is safe for concurrent use.
type Store interface {
	Getter
	Putter
	Publisher
	Lister
}

// Deleter removes a file; a missing file is no error. Only `prune`, `doctor` and `repair` delete
// (`repair` only a damaged file that can't be overwritten), so a site need not grant the right to
// other accounts.
type Deleter interface {
	Delete(ctx context.Context, name string) error
	// Tidy removes an empty folder, if the store has folders. A folder that can't be removed stays.
	Tidy(ctx context.Context, folder string)
}

// Inspector tells what kind of server a store talks to: its software, TLS, and the commands or
// options that it offers. It writes nothing.
type Inspector interface {
	Inspect(ctx context.Context) ([]fact.Fact, error)
}

// Dater returns when a file was written by its server's clock, to compare that clock with ours.
// Nothing else depends on it.
type Dater interface {
	Written(ctx context.Context, name string) (time.Time, error)
}
