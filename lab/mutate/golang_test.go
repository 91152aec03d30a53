package main

import (
	"slices"
	"strings"
	"testing"
)

func TestMutationsOfGo(t *testing.T) {
	const head, tail = "package p\n\nfunc f() {\n", "\n}\n"
	for _, test := range []struct {
		text string
		want []string
	}{
		{"_ = a && b < c", []string{"_ = a || b < c", "_ = a", "_ = b < c", "_ = a && b >= c", "_ = a && b <= c"}},
		{"if ok {\n}", []string{"if !(ok) {\n}"}},
		{"if !ok {\n}", []string{"if ok {\n}"}},
		{"for a {\n}", []string{"for false {\n}"}},
		{"g()", []string{""}},
		{"_ = x + 1", []string{"_ = x - 1", "_ = x + 2"}},
		{"_ = 1000", nil},
		{"crashpoint.Call(x == y)", nil},
		{`_ = "a" + b`, nil},
		{"_ = `SELECT FROM a WHERE b = c`", []string{"_ = `SELECT FROM a WHERE b <> c`", "_ = `SELECT FROM a WHERE true`"}},
		{`_ = "the order of a, b = c"`, nil},
	} {
		found, err := mutateGo(head + test.text + tail)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range found {
			whole := head + test.text + tail
			whole = whole[:m.from] + m.text + whole[m.to:]
			got = append(got, strings.TrimSuffix(strings.TrimPrefix(whole, head), tail))
		}
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s:\n got %q\nwant %q", test.text, got, test.want)
		}
	}
}
