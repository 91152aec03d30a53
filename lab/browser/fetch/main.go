// Command fetch installs the accessibility checker that the tests of pages run, and looks for their browser.
package main

import (
	"context"
	"fmt"
	"os"

	"waybill/internal/fault"
	"waybill/lab/browser"
)

func main() {
	if err := browser.Fetch(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "%v: %s\n", err, fault.HintOf(err))
		os.Exit(1)
	}
}
