package main

import (
	"context"
	"fmt"
	"time"

	"waybill/lab/audit"
	"waybill/lab/hospital"
)

// liveDays fills the hospital and lives through the days, exchanging files between the steps of
// each as a scheduled job would.
func liveDays(ctx context.Context, w *world, opt options, p *progress, r *report) error {
	h := hospital.Options{Seed: opt.seed, Now: time.Now(), Patients: opt.patients, Appointments: opt.appointments, Progress: p.tick}
	p.step(fmt.Sprintf("admitting %d patients with %d appointments", opt.patients, opt.appointments))
	if err := hospital.Fill(ctx, w.conn["patients"], w.conn["appointments"], h); err != nil {
		return err
	}
	if err := w.remember(ctx); err != nil {
		return err
	}
	p.step("first exchange: everybody there is, as a baseline")
	if err := w.exchangeAll(ctx, r); err != nil {
		return err
	}
	for day := range opt.days {
		p.step(fmt.Sprintf("living day %d of %d", day+1, opt.days))
		h.Seed = opt.seed + uint64(day) + 1
		h.Now = time.Now()
		if err := w.liveDay(ctx, h, p, r); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) liveDay(ctx context.Context, h hospital.Options, p *progress, r *report) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	h.Progress = func(step string, done, total int) {
		p.tick(step, done, total)
		if done == total {
			if err := w.exchangeAll(ctx, r); err != nil {
				stop(err)
			}
		}
	}
	lived, err := hospital.Day(ctx, w.conn["patients"], h)
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	h.Progress = p.tick
	staff, err := hospital.Staff(ctx, w.conn["appointments"], h)
	if err != nil {
		return err
	}
	p.done()
	r.note("lived a day: %d registered, %d updated, %d died (%d certified later), %d corrected, %d retracted, %d merged; staff: %d arrived, %d cancelled, %d restored, %d booked",
		lived.Registered, lived.Updated, lived.Died, lived.Certified, lived.Corrected, lived.Retracted, lived.Merged,
		staff.Arrived, staff.Cancelled, staff.Restored, staff.Booked)
	if err := w.exchangeAll(ctx, r); err != nil {
		return err
	}
	p.step("playing rare situations")
	scenes, err := hospital.Play(ctx, w.conn, h, func(observe bool) error {
		if observe {
			return w.observeAll(ctx, r)
		}
		return w.exchangeAll(ctx, r)
	})
	if err != nil {
		return err
	}
	for _, scene := range scenes {
		r.scenes = append(r.scenes, scene.Name)
		if !scene.Shown {
			return fmt.Errorf("play %q: no consumer shows what follows from it", scene.Name)
		}
	}
	return nil
}

// remember notes the state before anything happens.
func (w *world) remember(ctx context.Context) (err error) {
	w.before, err = audit.Remember(ctx, w.conn["patients"], w.conn["appointments"])
	return err
}
