package inbox

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"waybill/internal/fault"
	"waybill/partner/intake/register"
)

// heldError is a file that would do more to people than the brake allows.
type heldError struct {
	name    string
	hash    string // its first digits
	brake   int64
	effects map[string]int64
}

func (e *heldError) Error() string {
	var kinds []string
	for kind, count := range e.effects {
		if count > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", count, kind))
		}
	}
	slices.Sort(kinds)
	return fmt.Sprintf("held: %s, and the brake is at %d; its hash begins with %s", strings.Join(kinds, ", "), e.brake, e.hash)
}

func (e *heldError) fault(partner string) error {
	return fault.New(fault.Held, "take in", printable(e.name), e, fmt.Sprintf(
		"see `waybill intake %[1]s --dry-run`; if it is right, `waybill intake %[1]s --approve %[2]s@%[3]s --reason TEXT`", partner, e.name, e.hash))
}

// brake holds a file whose records would do more of one kind than a file may, unless a person approved
// its bytes. A dry run shows what would be held.
func (in *Inbox) brake(ctx context.Context, tx pgx.Tx, entry register.File, result *FileResult) error {
	var died, retracted, merged int64
	if err := tx.QueryRow(ctx, `SELECT died, death_retracted, merged FROM patients.intake_events()`).Scan(&died, &retracted, &merged); err != nil {
		return err
	}
	e := result.Effects
	e["died"], e["retracted"], e["merged"] = died, retracted, merged
	most := max(died, retracted, merged, e["rekeyed"])
	if *in.Settings.Brake == 0 || most <= *in.Settings.Brake {
		return nil
	}
	if approved, err := register.Approved(ctx, tx, in.Partner, entry); err != nil || approved {
		return err
	}
	held := in.Settings.heldAs(register.Held{Name: entry.Name, SHA256: entry.SHA256, Effects: e})
	if in.trial != nil {
		result.Warnings = append(result.Warnings, held.Error())
		return nil
	}
	return held
}

// heldAs is nil for a file that is not held.
func (s *Settings) heldAs(h register.Held) *heldError {
	if h.Name == "" {
		return nil
	}
	return &heldError{h.Name, hex.EncodeToString(h.SHA256[:4]), *s.Brake, h.Effects}
}

// Approve lets a held file be taken, named as the hint names it: with the first digits of its hash, so
// that what was looked at is what is taken.
func (in *Inbox) Approve(ctx context.Context, file string, d Decision) error {
	if err := d.check("approve"); err != nil {
		return err
	}
	at := strings.LastIndexByte(file, '@')
	name, hash := file[:max(at, 0)], strings.ToLower(file[at+1:])
	return in.alone(ctx, true, func() error {
		list, err := register.HeldFiles(ctx, in.conn, in.Partner)
		if err != nil {
			return in.failed(err)
		}
		held, is := list[name]
		if !is || len(hash) < 8 || !strings.HasPrefix(hex.EncodeToString(held.SHA256[:]), hash) {
			return fault.New(fault.Usage, "approve", printable(file), errors.New("no file with this name and hash is held"), "`waybill partner check "+in.Partner+"` shows those that are, as FILE@HASH")
		}
		return in.failed(register.Approve(ctx, in.conn, in.Partner, held, d.Person, d.Reason))
	})
}
