package exchange

import (
	"context"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	"waybill/schemas"
)

// listing reads, from names alone, what a store holds of a log. No file is opened.
type listing struct{ Lister }

// names returns what is directly in a folder, in order.
func (l listing) names(ctx context.Context, folder string) ([]string, error) {
	var names []string
	for name, err := range l.List(ctx, folder) {
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// batches returns the numbers of the batches in one folder of the log, in order.
func (l listing) batches(ctx context.Context, folder string) ([]int64, error) {
	names, err := l.names(ctx, folder)
	if err != nil {
		return nil, err
	}
	var batches []int64
	for _, name := range names {
		if batch, _, ok := schemas.ParseManifestName(path.Join(folder, name)); ok {
			batches = append(batches, batch)
		}
	}
	slices.Sort(batches)
	return slices.Compact(batches), nil
}

// backwards yields the numbers of the batches that have a manifest, whole or not, newest first.
// It lists one folder of the log at a time.
func (l listing) backwards(ctx context.Context) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		folders, err := l.names(ctx, "log")
		if err != nil {
			yield(0, err)
			return
		}
		for _, folder := range slices.Backward(folders) {
			batches, err := l.batches(ctx, path.Join("log", folder))
			if err != nil {
				yield(0, err)
				return
			}
			for _, batch := range slices.Backward(batches) {
				if !yield(batch, nil) {
					return
				}
			}
		}
	}
}

// listedAfter returns the number of the first batch after the given one that has a manifest.
func (l listing) listedAfter(ctx context.Context, batch int64) (int64, error) {
	folders, err := l.names(ctx, "log")
	if err != nil {
		return 0, err
	}
	for _, folder := range folders {
		folder = path.Join("log", folder)
		if folder < schemas.LogFolder(batch) {
			continue
		}
		batches, err := l.batches(ctx, folder)
		if err != nil {
			return 0, err
		}
		if at, _ := slices.BinarySearch(batches, batch+1); at < len(batches) {
			return batches[at], nil
		}
	}
	return 0, ErrNotFound
}

// partsBelow lists the folders of days up to the one on which the batch's window began: earlier
// windows ended by then.
func (l listing) partsBelow(ctx context.Context, batch int64, until time.Time) (parts []string, err error) {
	lastDay := "date=" + until.UTC().Format(time.DateOnly)
	types, err := l.names(ctx, "parts")
	if err != nil {
		return nil, err
	}
	for _, event := range types {
		folder := path.Join("parts", event)
		days, err := l.names(ctx, folder)
		if err != nil {
			return nil, err
		}
		for _, day := range days {
			if day = strings.TrimSuffix(day, "/"); day > lastDay {
				break
			}
			names, err := l.names(ctx, path.Join(folder, day))
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				name = path.Join(folder, day, name)
				if ref, ok := schemas.ParsePartName(name); ok && ref.Batch < batch {
					parts = append(parts, name)
				}
			}
		}
	}
	return parts, nil
}

func (l listing) manifestsBelow(ctx context.Context, batch int64) (manifests []string, err error) {
	folders, err := l.names(ctx, "log")
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		if folder = path.Join("log", folder); folder > schemas.LogFolder(batch) {
			break
		}
		names, err := l.names(ctx, folder)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			name = path.Join(folder, name)
			if n, _, ok := schemas.ParseManifestName(name); ok && n < batch {
				manifests = append(manifests, name)
			}
		}
	}
	return manifests, nil
}

// receipts lists the names of an instance's receipts, newest first.
func (l listing) receipts(ctx context.Context, folder string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		thousands, err := l.names(ctx, folder)
		if err != nil {
			yield("", err)
			return
		}
		for _, thousand := range slices.Backward(thousands) {
			if thousand = strings.TrimSuffix(thousand, "/"); !schemas.IsThousand(thousand) {
				continue
			}
			names, err := l.names(ctx, path.Join(folder, thousand))
			if err != nil {
				yield("", err)
				return
			}
			for _, name := range slices.Backward(names) {
				name = path.Join(folder, thousand, name)
				if _, _, ok := schemas.ParseReceiptName(name); ok && !yield(name, nil) {
					return
				}
			}
		}
	}
}
