package hdfs

import (
	"context"
	"errors"
	"io"
	"iter"
	"net/http"
	"time"

	"waybill/exchange"
	"waybill/exchange/wire"
)

// Get opens a file. It must have the length that the server announced: a transfer that breaks off is an error.
func (s *Store) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := exchange.CheckName(name); err != nil {
		return nil, err
	}
	at := s.at(name)
	err := s.Ready(ctx)
	if err == nil {
		var answer *http.Response
		if answer, err = s.open(ctx, at); err == nil {
			return &wire.Body{
				ReadCloser: answer.Body, Context: ctx, Length: answer.ContentLength,
				Failed: func(err error) error { return s.failed(ctx, "get", at, err) },
			}, nil
		}
	}
	return nil, s.failed(ctx, "get", at, err)
}

func (s *Store) open(ctx context.Context, at string) (*http.Response, error) {
	to, answer, err := s.locate(ctx, request{method: http.MethodGet, op: "OPEN", at: at})
	if err != nil || answer != nil {
		return answer, err
	}
	if answer, err = s.send(ctx, http.MethodGet, to, 0, nil); err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		return nil, unexpected(answer)
	}
	return answer, nil
}

// status is HDFS's description of a file or folder.
type status struct {
	PathSuffix       string // the name in the folder; "": it is what was asked for
	Type             string // FILE, DIRECTORY or SYMLINK
	Length           int64
	ModificationTime int64 // in milliseconds
}

func (s *Store) status(ctx context.Context, at string) (status, error) {
	var said struct{ FileStatus *status }
	err := s.call(ctx, request{method: http.MethodGet, op: "GETFILESTATUS", at: at}, &said)
	if err != nil {
		return status{}, err
	}
	if said.FileStatus == nil {
		return status{}, &foreignError{"its answer is not WebHDFS's"}
	}
	return *said.FileStatus, nil
}

// entries returns what is in a folder. A file counts as missing.
func (s *Store) entries(ctx context.Context, at string) ([]status, error) {
	defer wire.BePatient(ctx)()
	var said struct {
		FileStatuses *struct{ FileStatus []status }
	}
	err := s.call(ctx, request{method: http.MethodGet, op: "LISTSTATUS", at: at}, &said)
	if err != nil {
		return nil, err
	}
	if said.FileStatuses == nil {
		return nil, &foreignError{"its answer is not WebHDFS's"}
	}
	found := said.FileStatuses.FileStatus
	if len(found) == 1 && found[0].PathSuffix == "" {
		return nil, exchange.ErrNotFound
	}
	return found, nil
}

// List yields files and folders.
func (s *Store) List(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := exchange.CheckFolder(folder); err != nil {
			yield("", err)
			return
		}
		err := s.Ready(ctx)
		var found []status
		if err == nil {
			found, err = s.entries(ctx, s.at(folder))
		}
		if err != nil {
			if err = s.failed(ctx, "list", s.at(folder), err); !errors.Is(err, exchange.ErrNotFound) {
				yield("", err)
			}
			return
		}
		for _, entry := range found {
			if name, ok := entry.name(); ok && !yield(name, nil) {
				return
			}
		}
	}
}

// name returns the name to list, and whether it is one of an exchange.
func (e *status) name() (string, bool) {
	if exchange.CheckName(e.PathSuffix) != nil || e.Type == "SYMLINK" {
		return "", false
	}
	if e.Type == "DIRECTORY" {
		return e.PathSuffix + "/", true
	}
	return e.PathSuffix, true
}

// Survey returns the files in a folder, under any name but a hidden one.
func (s *Store) Survey(ctx context.Context, folder string) ([]exchange.Found, error) {
	if err := exchange.CheckFolder(folder); err != nil {
		return nil, err
	}
	err := s.Ready(ctx)
	var entries []status
	if err == nil {
		entries, err = s.entries(ctx, s.at(folder))
	}
	if err != nil {
		return nil, s.failed(ctx, "list", s.at(folder), err)
	}
	var files []exchange.Found
	for _, e := range entries {
		if e.Type != "DIRECTORY" && !exchange.IsHidden(e.PathSuffix) {
			files = append(files, exchange.Found{Name: e.PathSuffix, Size: e.Length, Modified: time.UnixMilli(e.ModificationTime), Link: e.Type == "SYMLINK"})
		}
	}
	return files, nil
}
