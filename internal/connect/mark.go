package connect

import (
	"context"
	"fmt"
	"maps"
	"strings"
)

type markKey struct{}

// WithMark returns a context whose connections carry a number in their application_name: "waybill#7 import morgue".
// [Marked] finds these connections, so that everything that runs under the number can be ended.
func WithMark(ctx context.Context, number int64) context.Context {
	return context.WithValue(ctx, markKey{}, number)
}

// Marked returns the pattern, for LIKE, of the application_name of connections with that number.
func Marked(number int64) string { return fmt.Sprintf("waybill#%d %%", number) }

// marked returns the settings with the context's mark on them.
func marked(ctx context.Context, settings map[string]string) map[string]string {
	number, ok := ctx.Value(markKey{}).(int64)
	if !ok {
		return settings
	}
	all := map[string]string{}
	maps.Copy(all, settings)
	all["application_name"] = fmt.Sprintf("waybill#%d %s", number, strings.TrimPrefix(settings["application_name"], "waybill "))
	return all
}
