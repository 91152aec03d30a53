package exchange

import (
	"context"
	"errors"
	"fmt"
	"time"

	"waybill/internal/fault"
	"waybill/schemas"
)

// Pruned is the cause of a [fault.Poison] error: a batch lies below the floor, so it is gone for
// good. The producer decided this, and nothing is lost: a snapshot makes up for it.
type Pruned struct {
	Batch int64
	Floor *schemas.Floor
}

func (p *Pruned) Error() string {
	return fmt.Sprintf("it was pruned on %s: the log begins at batch %d now", p.Floor.PublishedAt.UTC().Format(time.DateOnly), p.Floor.Batch)
}

const prunedHint = "begin again at snapshot %[1]d, which has every patient's state: `waybill import SERVICE --from-snapshot %[1]d@%.8[2]s --reason TEXT`"

// ErrFalseFloor is a floor that does not count, because the files it names are missing or differ.
// It is [fault.Poison].
var ErrFalseFloor = errors.New("the floor is false")

// Floor returns the newest floor that counts, by opening known names: nothing is listed. A log that was
// never pruned has none: [ErrNotFound].
func (r *Reader) Floor(ctx context.Context) (*schemas.Floor, error) {
	floor, _, err := r.floor(ctx)
	return floor, err
}

// FalseFloors returns, for each floor that is newer than the valid one, why it does not count: an [ErrFalseFloor].
func (r *Reader) FalseFloors(ctx context.Context) ([]error, error) {
	_, wrong, err := r.floor(ctx)
	if errors.Is(err, ErrNotFound) {
		err = nil
	}
	return wrong, err
}

func (r *Reader) floor(ctx context.Context) (counts *schemas.Floor, wrong []error, err error) {
	newest, err := newestFloor(ctx, r.store)
	if err != nil {
		return nil, nil, err
	}
	for n := newest; n > 0; n-- {
		data, err := readFile(ctx, r.store, schemas.FloorName(n), maxSmallFile)
		if errors.Is(err, ErrNotFound) {
			break
		}
		if err != nil {
			return nil, wrong, err
		}
		floor, err := schemas.ParseFloor(data)
		if errors.Is(err, schemas.ErrTorn) { // the floor before is still valid
			continue
		}
		if err == nil && floor.Floor != n {
			err = fmt.Errorf("%w: the floor in its place is %d", ErrForeign, floor.Floor)
		}
		if err != nil {
			return nil, wrong, fault.New(fault.Poison, "read", fmt.Sprintf("floor %d", n), err, producerHint)
		}
		if err := r.untrustedFloor(floor, data); err != nil {
			wrong = append(wrong, fault.New(fault.Poison, "read", fmt.Sprintf("floor %d", n), fmt.Errorf("%w: %w", ErrFalseFloor, err), falseFloorHint))
			continue
		}
		why, err := r.falsehood(ctx, floor)
		if err != nil {
			return nil, wrong, err
		}
		if why == "" {
			return floor, wrong, nil
		}
		wrong = append(wrong, fault.New(fault.Poison, "read", fmt.Sprintf("floor %d", n), fmt.Errorf("%w: %s", ErrFalseFloor, why), falseFloorHint))
	}
	return nil, wrong, fmt.Errorf("read the floor: %w", ErrNotFound)
}

const falseFloorHint = "find out who wrote it: the producer prunes nothing below what it names; `waybill status` at the producer compares it with its own"

// falsehood returns why a floor doesn't count, or "". Anyone who can write to the store can write a false
// floor. So the files that a floor names must exist and match.
func (r *Reader) falsehood(ctx context.Context, floor *schemas.Floor) (string, error) {
	snapshot, err := r.Open(ctx, floor.Snapshot)
	switch {
	case errors.Is(err, ErrNotFound), IsTorn(err):
		return fmt.Sprintf("the snapshot %d that it names is not on the store", floor.Snapshot), nil
	case err != nil:
		return "", err
	case snapshot.Hash != floor.Manifest:
		return fmt.Sprintf("batch %d is not the snapshot that it names", floor.Snapshot), nil
	case snapshot.Manifest.Log != floor.Log:
		return "it is of another log", nil
	}
	oldest, err := r.Open(ctx, floor.Batch)
	switch {
	case errors.Is(err, ErrNotFound), IsTorn(err): // lost since then: the snapshot still makes up for it
		return "", nil
	case err != nil:
		return "", err
	case oldest.Manifest.Previous != floor.Previous:
		return fmt.Sprintf("batch %d does not follow the one that it names", floor.Batch), nil
	}
	return "", nil
}

// newestFloor returns the number of the newest floor, whole or not; 0: there is none. Floors have
// no gaps, so a few dozen requests find the newest among any number.
func newestFloor(ctx context.Context, store Getter) (int64, error) {
	there, beyond := int64(0), int64(1)
	for {
		found, err := exists(ctx, store, schemas.FloorName(beyond))
		if err != nil {
			return 0, err
		}
		if !found {
			break
		}
		there, beyond = beyond, 2*beyond
	}
	for there+1 < beyond {
		middle := there + (beyond-there)/2
		found, err := exists(ctx, store, schemas.FloorName(middle))
		if err != nil {
			return 0, err
		}
		if found {
			there = middle
		} else {
			beyond = middle
		}
	}
	return there, nil
}

// Begins returns the oldest batch that the log must still have: 0, or its floor's.
func (r *Reader) Begins(ctx context.Context) (int64, error) {
	floor, err := r.Floor(ctx)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return floor.Batch, nil
}

// orPruned returns why a batch, or a file of it, is missing: because it lies below the floor, or else err. It looks
// for the floor only now, so that a reader who misses nothing saves the requests.
func (r *Reader) orPruned(ctx context.Context, batch int64, err error) error {
	floor, failed := r.Floor(ctx)
	switch {
	case errors.Is(failed, ErrNotFound):
		return err
	case failed != nil:
		return failed
	case batch >= floor.Batch:
		return err
	}
	return poison("read", batch, &Pruned{Batch: batch, Floor: floor}, fmt.Sprintf(prunedHint, floor.Snapshot, floor.Manifest))
}
