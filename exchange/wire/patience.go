package wire

import "context"

type patienceKey struct{}

// WithPatience returns a context for calls whose progress is watched. Before a long time without
// progress, a call calls grant; afterwards it calls the function that grant returned.
func WithPatience(ctx context.Context, grant func() (over func())) context.Context {
	return context.WithValue(ctx, patienceKey{}, grant)
}

// BePatient announces to the call's watcher, if there is one, a long time without progress: the
// call waits for a free connection, or for a whole listing. Calling over ends that time.
func BePatient(ctx context.Context) (over func()) {
	if grant, watched := ctx.Value(patienceKey{}).(func() func()); watched {
		return grant()
	}
	return func() {}
}
