package wire

import "context"

type patienceKey struct{}

// WithPatience returns a context for calls that are watched for headway. A call that may make
// none for long has grant called, and what grant returns once that is over.
func WithPatience(ctx context.Context, grant func() (over func())) context.Context {
	return context.WithValue(ctx, patienceKey{}, grant)
}

// BePatient tells who watches the call, if anybody does, that it may make no headway for long:
// it waits for others to give back a connection, or hands a listing on only when all has come.
// Calling over ends that.
func BePatient(ctx context.Context) (over func()) {
	if grant, watched := ctx.Value(patienceKey{}).(func() func()); watched {
		return grant()
	}
	return func() {}
}
