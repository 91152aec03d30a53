package window

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"waybill/exporter"
	"waybill/importer"
)

// looks are what the parties say, one after another.
type looks []error

func (l *looks) Look(context.Context) (*View, error) {
	err := (*l)[0]
	*l = (*l)[1:]
	if err != nil {
		return nil, err
	}
	return &View{}, nil
}

func (*looks) Trace(context.Context, uuid.UUID) ([]exporter.TracedEvent, []importer.Trace, error) {
	return nil, nil, nil
}

// Until the next look everybody is shown what the last one found, and a failure ends with the next that succeeds.
func TestAFailureIsShownUntilTheNextLook(t *testing.T) {
	failed := errors.New("the database is down")
	answers := looks{nil, failed, nil, failed}
	w := New(&answers, time.Hour, "", nil)
	for n, want := range []error{nil, failed, nil, failed} {
		w.begun = time.Time{} // an interval is over
		for range 2 {
			view, err := w.look(t.Context())
			if !errors.Is(err, want) || view == nil {
				t.Errorf("look %d: %v, %v, want %v", n, view, err, want)
			}
		}
	}
	if len(answers) != 0 {
		t.Errorf("%d looks were not taken", len(answers))
	}
}
