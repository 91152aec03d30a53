// Command fetch unpacks the file servers that the demonstration and the tests run, from the
// packages of the system's own Debian release, into the user's cache folder.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"waybill/internal/fault"
	"waybill/lab/servers"
)

func main() {
	if err := fetch(); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, fault.HintOf(err))
		os.Exit(1)
	}
}

func fetch() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return servers.Fetch(ctx)
}
