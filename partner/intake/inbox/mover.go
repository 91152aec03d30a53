package inbox

import (
	"context"
	"encoding/hex"
	"errors"
	"path"

	"waybill/exchange"
	"waybill/partner/intake/register"
)

// mover moves or deletes decided files.
type mover struct {
	folder   Folder
	settings *Settings
}

// clear moves or deletes a decided file, if it is still the same file: another may have taken its place. It moves
// the companion first. Without it, no file that takes the place is ready.
func (m mover) clear(ctx context.Context, f register.File) error {
	places := []string{path.Join(m.settings.Folder, f.Name)}
	if refused := m.settings.Errors; refused != "" && refused != *f.MovesTo {
		places = append(places, path.Join(refused, f.Name), path.Join(refused, f.Name+suffix(f)))
	}
	source, err := m.find(ctx, f, places...)
	if err != nil || source == "" { // it was moved before this run
		return err
	}
	if f.Companion != "" {
		if err := m.put(ctx, path.Join(m.settings.Folder, f.Companion), f); err != nil && !errors.Is(err, exchange.ErrNotFound) {
			return err
		}
	}
	if err := m.put(ctx, source, f); err != nil && !errors.Is(err, exchange.ErrNotFound) {
		return err
	}
	return nil
}

// find returns the first of the names that holds the file's bytes, or "".
func (m mover) find(ctx context.Context, f register.File, names ...string) (string, error) {
	for _, name := range names {
		sum, err := hashOf(ctx, m.folder, name)
		if err == nil && sum == f.SHA256 {
			return name, nil
		}
		if err != nil && !errors.Is(err, exchange.ErrNotFound) {
			return "", err
		}
	}
	return "", nil
}

// put moves a file to its folder, or deletes it. If the name is taken there by another file, it extends the name.
// If it is taken by the same file, it deletes the source: a store that copies in order to move may have crashed.
func (m mover) put(ctx context.Context, source string, f register.File) error {
	if *f.MovesTo == "" {
		return m.folder.Delete(ctx, source)
	}
	target := path.Join(*f.MovesTo, path.Base(source))
	for _, name := range []string{target, target + suffix(f)} {
		err := m.folder.Move(ctx, source, name)
		if !errors.Is(err, exchange.ErrExists) {
			return err
		}
		same, err := m.same(ctx, source, name)
		if err != nil {
			return err
		}
		if same {
			break
		}
	}
	return m.folder.Delete(ctx, source) // the target has the same bytes, or its name has their hash
}

// suffix extends a file's name by a hash of its content.
func suffix(f register.File) string { return "." + hex.EncodeToString(f.SHA256[:6]) }

func (m mover) same(ctx context.Context, a, b string) (bool, error) {
	sumA, err := hashOf(ctx, m.folder, a)
	if err != nil {
		return false, err
	}
	sumB, err := hashOf(ctx, m.folder, b)
	return sumA == sumB, err
}
