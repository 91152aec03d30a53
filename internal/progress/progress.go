// Package progress reports how much of a long work is done, through the context: for most callers nobody
// watches.
package progress

import "context"

// Report is called with how many units are done in this run. A total of 0 is unknown. It must be cheap: it may be
// called for every row.
type Report func(unit string, done, total int64)

type key struct{}

// With returns a context whose work is reported.
func With(ctx context.Context, report Report) context.Context {
	return context.WithValue(ctx, key{}, report)
}

// Watched reports whether anybody watches.
func Watched(ctx context.Context) bool { return ctx.Value(key{}) != nil }

// Say reports progress, if anybody watches.
func Say(ctx context.Context, unit string, done, total int64) {
	if report, ok := ctx.Value(key{}).(Report); ok {
		report(unit, done, total)
	}
}
