package inbox

import (
	"context"
	"encoding/hex"
	"errors"
	"path"
	"slices"

	"waybill/exchange"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/register"
)

// finish does what is owed for files that were decided: replies first, then moving or deleting. That
// it can't be done now keeps no file from being taken; it is told at the end, and done by a later run.
func (in *Inbox) finish(ctx context.Context) {
	if in.trouble != nil || in.trial != nil {
		return
	}
	in.trouble = in.reply(ctx)
	if in.trouble == nil {
		in.trouble = in.clear(ctx)
	}
	if in.trouble != nil {
		in.Log.Warn("done files can't be answered or moved", "reason", in.trouble.Error())
	}
}

// clear moves or deletes what was decided.
func (in *Inbox) clear(ctx context.Context) error {
	files, err := register.Unmoved(ctx, in.conn, in.Partner)
	if err != nil {
		return in.failed(err)
	}
	for _, f := range files {
		if err := in.clearOne(ctx, f); err != nil {
			return err
		}
		if err := register.Moved(ctx, in.conn, f.ID); err != nil {
			return in.failed(err)
		}
	}
	return nil
}

// clearOne touches a file only as long as it is the one that was decided: another may have been put
// in its place. Its companion goes first: without it nothing that comes in the file's place is ready.
func (in *Inbox) clearOne(ctx context.Context, f register.File) error {
	source, err := in.find(ctx, f)
	if err != nil || source == "" { // it was moved before this run
		return err
	}
	if f.Companion != "" {
		if err := in.put(ctx, path.Join(in.Settings.Folder, f.Companion), f); err != nil && !errors.Is(err, exchange.ErrNotFound) {
			return err
		}
	}
	if err := in.put(ctx, source, f); err != nil && !errors.Is(err, exchange.ErrNotFound) {
		return err
	}
	return nil
}

// find returns where a decided file lies that is to be moved: mostly where it came from, or where
// refused ones go; "": nowhere.
func (in *Inbox) find(ctx context.Context, f register.File) (string, error) {
	places := []string{path.Join(in.Settings.Folder, f.Name)}
	if refused := in.Settings.Errors; refused != "" && refused != *f.MovesTo {
		places = append(places, path.Join(refused, f.Name), path.Join(refused, f.Name+suffix(f)))
	}
	for _, name := range places {
		sum, err := in.hashOf(ctx, name)
		if err == nil && sum == f.SHA256 {
			return name, nil
		}
		if err != nil && !errors.Is(err, exchange.ErrNotFound) {
			return "", err
		}
	}
	return "", nil
}

// put moves a file to where f goes, or deletes it. A name that is taken there is the same file's, after
// a crash of a store that copies in place of moving, or else another's, and the name is extended.
func (in *Inbox) put(ctx context.Context, source string, f register.File) error {
	if *f.MovesTo == "" {
		return in.Folder.Delete(ctx, source)
	}
	target := path.Join(*f.MovesTo, path.Base(source))
	for _, name := range []string{target, target + suffix(f)} {
		err := in.Folder.Move(ctx, source, name)
		if !errors.Is(err, exchange.ErrExists) {
			return err
		}
		same, err := in.same(ctx, source, name)
		if err != nil {
			return err
		}
		if same {
			return in.Folder.Delete(ctx, source)
		}
	}
	return in.Folder.Delete(ctx, source) // its bytes are part of the extended name
}

func suffix(f register.File) string { return "." + hex.EncodeToString(f.SHA256[:6]) }

func (in *Inbox) same(ctx context.Context, a, b string) (bool, error) {
	sumA, err := in.hashOf(ctx, a)
	if err != nil {
		return false, err
	}
	sumB, err := in.hashOf(ctx, b)
	return sumA == sumB, err
}

// again returns the files that a person wants read again and that have been moved away.
func (in *Inbox) again(ctx context.Context, found []exchange.Found) ([]drop.File, error) {
	in.elsewhere = map[string]string{}
	wanted, err := register.Again(ctx, in.db(), in.Partner)
	if err != nil {
		return nil, in.failed(err)
	}
	var files []drop.File
	for _, f := range wanted {
		if f.MovesTo == nil || *f.MovesTo == "" || slices.ContainsFunc(found, func(x exchange.Found) bool { return x.Name == f.Name }) {
			continue
		}
		for _, name := range []string{f.Name, f.Name + suffix(f)} {
			at := path.Join(*f.MovesTo, name)
			sum, err := in.hashOf(ctx, at)
			if err != nil && !errors.Is(err, exchange.ErrNotFound) {
				return nil, err
			}
			if err == nil && sum == f.SHA256 {
				in.elsewhere[f.Name] = at
				files = append(files, drop.File{
					Found: exchange.Found{Name: f.Name, Size: f.Bytes, Modified: f.Modified}, State: drop.Due, Number: -1, Ordinal: f.Ordinal,
				})
				break
			}
		}
	}
	return files, nil
}
