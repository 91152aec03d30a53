package main

import (
	"regexp"
	"strings"
)

// symbol is one of an SQL text: a word in upper case, a literal, an operator or a bracket.
type symbol struct {
	text     string
	from, to int
	depth    int // of brackets, CASE … END counts as a pair
}

// A format verb, such as %[1]s, stands for a word.
var lexeme = regexp.MustCompile(`(?s)^(?:` + strings.Join([]string{
	`--[^\n]*`, `/\*.*?\*/`, `\s+`, // dropped
	`'(?:[^']|'')*'`, `"(?:[^"]|"")*"`,
	`%\[?\d*\]?[a-z]\w*`, `[\pL_][\pL\d_.]*`, `\d[\d.]*`, `\$\d+`,
	`::|:=|->>|->|<>|!=|<=|>=|=>|\|\||&&|\$\w*\$`,
	`.`,
}, "|") + `)`)

// symbols cuts an SQL text. The body of a function is SQL too: its $$ are dropped.
func symbols(text string) (all []symbol) {
	depth := 0
	for at := 0; at < len(text); {
		found := lexeme.FindString(text[at:])
		t := symbol{strings.ToUpper(found), at, at + len(found), depth}
		at = t.to
		switch {
		case strings.TrimSpace(found) == "" || strings.HasPrefix(found, "--") || strings.HasPrefix(found, "/*"):
			continue
		case strings.HasPrefix(found, "$") && strings.HasSuffix(found, "$"):
			t.text = ";" // it ends what came before
		case t.text == "(" || t.text == "[" || t.text == "CASE":
			depth++
		case t.text == ")" || t.text == "]" || t.text == "END" && depth > 0:
			depth = max(0, depth-1)
			t.depth = depth
		}
		all = append(all, t)
	}
	return all
}
