package whole

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync/atomic"
)

// Renamer is what a [Trial] needs of a store's filesystem. A refusal for any reason is [fs.ErrPermission];
// after another error the trial stops.
type Renamer interface {
	Create(at string) error // an empty file
	Rename(from, to string) error
	Remove(at string) error
	Exists(at string) (bool, error)
}

// Rights are what an account may do with files that it has written.
type Rights struct{ Rename, Remove bool }

// Trial finds out what an account may do, once for a store: if it may neither rename nor remove, each attempt to write
// under a temporary name would leave another whole copy.
type Trial struct {
	turn  chan struct{}
	found atomic.Bool // the account may do both
}

// NewTrial returns a trial without a result yet.
func NewTrial() *Trial { return &Trial{turn: make(chan struct{}, 1)} }

// Rights tries with an empty file in a folder, at each call until the account may do both. If it may not, one or two empty
// files of fixed names stay. Other processes may be trying at the same time.
func (t *Trial) Rights(ctx context.Context, f Renamer, folder string) (Rights, error) {
	all := Rights{Rename: true, Remove: true}
	if t.found.Load() {
		return all, nil
	}
	select {
	case t.turn <- struct{}{}:
	case <-ctx.Done():
		return Rights{}, ctx.Err()
	}
	defer func() { <-t.turn }()
	if t.found.Load() {
		return all, nil
	}
	r, err := try(f, path.Join(folder, ".waybill-before.tmp"), path.Join(folder, ".waybill-renamed.tmp"))
	t.found.Store(err == nil && r == all)
	return r, err
}

// try ignores a failure to create its file: writing the real file will report why.
func try(f Renamer, from, to string) (r Rights, err error) {
	there, err := f.Exists(from)
	if err == nil && !there {
		err = f.Create(from)
	}
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return r, err
	}
	if r.Rename, err = moved(f, from, to); err != nil {
		return r, err
	}
	left := from
	if r.Rename {
		left = to
	}
	if err = f.Remove(left); errors.Is(err, fs.ErrPermission) {
		there, err = f.Exists(left)
	} else {
		there = false
	}
	r.Remove = !there
	return r, err
}

// moved also counts a file that another process renamed, and an account that may rename but not remove.
func moved(f Renamer, from, to string) (bool, error) {
	if err := f.Rename(from, to); !errors.Is(err, fs.ErrPermission) {
		return err == nil, err
	}
	renamed, err := f.Exists(to)
	if err != nil {
		return false, err
	}
	if renamed {
		if err = f.Remove(from); errors.Is(err, fs.ErrPermission) {
			err = nil
		}
		return true, err
	}
	there, err := f.Exists(from)
	return !there, err
}
