package hdfs_test

import (
	"testing"

	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

// A gateway that does not heed a rename's options: of several publishers one creates the file, and the others wait until it is whole.
func TestProofForeignServers(t *testing.T) {
	foreign := []exchangetest.Foreign{{
		Name: "HttpFS", Start: servers.StartHttpFS, Caps: exchangetest.Capabilities{NativePublish: true, Overwrites: true, Slow: true},
		Remark: "ignores a rename's options: one publisher creates the file under its own name, where a death may leave it torn",
	}}
	exchangetest.ForeignServers(t, "HDFS gateways", *update, foreign, func(t *testing.T, server *servers.Foreign) exchangetest.Place {
		return place(t, server.HDFS, configAt(t, server.HDFS, server.Server))
	})
}
