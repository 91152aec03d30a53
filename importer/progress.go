package importer

import (
	"context"

	"waybill/internal/progress"
)

// progress reports the batches that were loaded, and from the second transaction on also how many there are. Only
// then, and only if progress is shown, it lists the log, because most runs load one batch.
func (s *session) progress(ctx context.Context) {
	if !progress.Watched(ctx) {
		return
	}
	loaded := s.summary.Batches
	if s.loads++; s.loads == 2 {
		if last, err := s.reader.Last(ctx); err == nil {
			s.toLoad = int64(len(loaded)) + last.Manifest.Batch - loaded[len(loaded)-1].Batch
		}
	}
	progress.Say(ctx, "batches", int64(len(loaded)), s.toLoad)
}
