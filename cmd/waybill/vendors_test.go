package main_test

import (
	"os"
	"strings"
	"testing"

	"waybill/lab/servers"
	"waybill/lab/servers/hosttest"
)

// The three services live two days over each server of another vendor that docs/servers.md lists.
func TestProofADayOnServersOfOthers(t *testing.T) {
	page, err := os.ReadFile("../../docs/servers.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, vendor := range servers.Vendors() {
		t.Run(vendor.Name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(string(page), "| "+vendor.Name+" | ") {
				t.Error("docs/servers.md does not list it")
			}
			host := hosttest.StartBy(t, vendor.NewHost)
			made, err := host.NewExchange(t.Context(), "exchange")
			if err != nil {
				t.Fatal(err)
			}
			newSiteAt(t, hosttest.Exchange{Exchange: made, Kind: vendor.Scheme, Environment: host.Environment}).wholeDay()
		})
	}
}
