// Command fetch installs the DuckDB that the tests run, from the npm registry, into the user's
// cache folder.
package main

import (
	"context"
	"fmt"
	"os"

	"waybill/internal/fault"
	"waybill/lab/duckdb"
)

func main() {
	if err := duckdb.Fetch(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, fault.HintOf(err))
		os.Exit(1)
	}
}
