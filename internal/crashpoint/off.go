//go:build !crashpoints

// Package crashpoint names the places between the numbered steps of the export and import
// algorithms. In an ordinary build they do nothing; a binary built with the tag `crashpoints`
// kills or stops itself at the one that the environment names, so that tests can show what a
// crash exactly there leaves behind.
package crashpoint

import "net"

// Here marks the place called name.
func Here(string) {}

// Call marks a call of one kind, "store" or "db", before it is made; made marks it again afterwards.
func Call(string) (made func()) { return func() {} }

// Report writes down how many calls were marked.
func Report() {}

// Conn returns c with its writes marked as calls of a kind.
func Conn(c net.Conn, _ string) net.Conn { return c }
