package inbox

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"waybill/internal/fault"
	"waybill/partner/intake/register"
)

// heldError reports a file that would change more people than the brake allows.
type heldError struct {
	name    string
	hash    string // its first digits
	brake   int64
	effects map[string]int64
	most    int64 // the largest number of effects of one kind, with the run's earlier files, if known
}

func (e *heldError) Error() string {
	var kinds []string
	for kind, count := range e.effects {
		if count > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", count, kind))
		}
	}
	slices.Sort(kinds)
	sum := ""
	if alone := slices.Max(slices.Collect(maps.Values(e.effects))); e.most > alone {
		sum = fmt.Sprintf(" (%d of a kind with this run's earlier files)", e.most)
	}
	return fmt.Sprintf("held: %s%s, and the brake is at %d; its hash begins with %s", strings.Join(kinds, ", "), sum, e.brake, e.hash)
}

func (e *heldError) fault(partner string) error {
	return fault.New(fault.Held, "take in", Printable(e.name), e, fmt.Sprintf(
		"see `waybill intake %[1]s --dry-run`; if it is right, `waybill intake %[1]s --approve %[2]s@%[3]s --reason TEXT`", partner, e.name, e.hash))
}

// brake holds a file whose records, together with the run's earlier files, would do more of one kind than a run
// may. A person can approve the file's bytes. A dry run only warns.
func (l *loading) brake(ctx context.Context, entry register.File) error {
	var died, retracted, merged int64
	if err := l.tx.QueryRow(ctx, `SELECT died, death_retracted, merged FROM patients.intake_events()`).Scan(&died, &retracted, &merged); err != nil {
		return err
	}
	e := l.result.Effects
	e["died"], e["retracted"], e["merged"] = died, retracted, merged
	most := int64(0)
	for kind, count := range e {
		if count > 0 {
			most = max(most, l.tally[kind]+count)
		}
	}
	kept, err := register.HeldFiles(ctx, l.tx, l.Partner)
	if err != nil {
		return err
	}
	hold := most > *l.Settings.Brake || most > 0 && kept[entry.Name].SHA256 == entry.SHA256 // a held file stays held
	if *l.Settings.Brake == 0 || !hold {
		for kind, count := range e {
			l.tally[kind] += count
		}
		return nil
	}
	if approved, err := register.Approved(ctx, l.tx, l.Partner, entry); err != nil || approved {
		return err
	}
	held := l.Settings.heldAs(register.Held{Name: entry.Name, SHA256: entry.SHA256, Effects: e})
	held.most = most
	if l.trial != nil {
		l.result.Warnings = append(l.result.Warnings, held.Error())
		return nil
	}
	return held
}

// heldAs returns the error of a held file, or nil if the file is not held.
func (s *Settings) heldAs(h register.Held) *heldError {
	if h.Name == "" {
		return nil
	}
	return &heldError{name: h.Name, hash: hex.EncodeToString(h.SHA256[:4]), brake: *s.Brake, effects: h.Effects}
}

// Approve lets a held file be taken. The file is named as in the hint, with the first digits of its hash. So only
// the bytes that a person saw are taken.
func (in *Inbox) Approve(ctx context.Context, file string, d Decision) error {
	if err := d.check("approve"); err != nil {
		return err
	}
	at := strings.LastIndexByte(file, '@')
	name, hash := file[:max(at, 0)], strings.ToLower(file[at+1:])
	return in.locked(ctx, func(s *session) error {
		list, err := register.HeldFiles(ctx, s.conn, s.Partner)
		if err != nil {
			return s.failed(err)
		}
		held, is := list[name]
		if !is || len(hash) < 8 || !strings.HasPrefix(hex.EncodeToString(held.SHA256[:]), hash) {
			return fault.New(fault.Usage, "approve", Printable(file), errors.New("no file with this name and hash is held"), "`waybill partner check "+s.Partner+"` shows held files as FILE@HASH")
		}
		return s.failed(register.Approve(ctx, s.conn, s.Partner, held, d.Person, d.Reason))
	})
}
