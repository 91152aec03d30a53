package main

import (
	"io"

	"github.com/schollz/progressbar/v3"
)

// bars draw progress bars for people: one for each unit, one after the other.
type bars struct {
	out  io.Writer
	unit string
	bar  *progressbar.ProgressBar
}

func (b *bars) say(unit string, done, total int64) {
	if unit != b.unit {
		b.clear()
	}
	if total == 0 {
		total = -1 // a spinner
	}
	if b.bar == nil {
		b.unit = unit
		b.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(b.out), progressbar.OptionSetDescription(unit),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish())
	}
	if total > 0 {
		b.bar.ChangeMax64(total)
		done = min(done, total)
	}
	_ = b.bar.Set64(done)
}

// clear removes the bar before the answer is printed.
func (b *bars) clear() {
	if b.bar != nil {
		_ = b.bar.Clear()
		b.bar = nil
	}
}
