// Command fetch installs from PyPI what the second reader reads parts and checks signatures with, into the user's cache folder.
package main

import (
	"context"
	"fmt"
	"os"

	"waybill/internal/fault"
	"waybill/lab/secondreader"
)

func main() {
	if err := secondreader.Fetch(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, fault.HintOf(err))
		os.Exit(1)
	}
}
