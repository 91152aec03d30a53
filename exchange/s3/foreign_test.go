package s3_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"waybill/lab/exchangetest"
	"waybill/lab/servers"
)

// Servers that differ from that of every other test.
func TestProofForeignServers(t *testing.T) {
	threaded := exchangetest.Capabilities{NativePublish: true, Overwrites: true, Slow: true, OneAtATime: true}
	raced := exchangetest.Capabilities{Overwrites: true, Slow: true, FailsAtFirst: true, OneAtATime: true}
	foreign := []exchangetest.Foreign{
		{Name: "moto", Start: servers.StartMoto, Caps: threaded, Remark: "keeps all in memory; on a busy machine two of several at once can win"},
		{Name: "rclone serve s3", Start: servers.StartRcloneS3, Caps: raced, Remark: "looks and then writes, in spite of `If-None-Match`: of several at once two can win, or none"},
	}
	exchangetest.ForeignServers(t, "S3 servers", *update, foreign, func(t *testing.T, server *servers.Foreign) exchangetest.Place {
		c := config()
		c.Bucket = fmt.Sprintf("hospital-%d", number.Add(1))
		must(t, server.S3.CreateBucket(t.Context(), c.Bucket, false))
		c.Endpoint = server.S3.Endpoint()
		put := plant(t, server.S3, c)
		return exchangetest.Place{Store: open(t, c), Plant: func(name string, data []byte) error {
			if strings.ContainsFunc(name, unicode.IsControl) { // moto refuses these
				return nil
			}
			return put(name, data)
		}}
	})
}
