// Package docs holds the documentation, for the program to print where there is no web and no checkout.
package docs

import "embed"

// Pages are the Markdown files of this folder.
//
//go:embed *.md
var Pages embed.FS
