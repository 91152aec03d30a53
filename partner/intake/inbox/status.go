package inbox

import (
	"context"

	"waybill/partner/intake/register"
)

// ReadStatus returns where a partner's intake stands, with numbers as the partner has them. It looks at no file.
func ReadStatus(ctx context.Context, databaseURL, partner string, settings *Settings) (register.Status, error) {
	s, err := register.ReadStatus(ctx, databaseURL, partner)
	if s.First != nil {
		*s.First = settings.rules.Sequence.Number(*s.First)
	}
	return s, err
}

// HeldFault is the error with which a run ended that held the file.
func HeldFault(partner string, settings *Settings, h register.Held) error {
	return settings.heldAs(h).fault(partner)
}
