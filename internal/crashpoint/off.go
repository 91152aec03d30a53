//go:build !crashpoints

// Package crashpoint names the places between the numbered steps of the export and import
// algorithms. In an ordinary build they do nothing; a binary built with the tag `crashpoints`
// kills or stops itself at the one that the environment names, so that tests can show what a
// crash exactly there leaves behind.
package crashpoint

// Here marks the place called name.
func Here(string) {}
