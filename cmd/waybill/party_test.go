package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Several streams fail for reasons of their own: each is reported with the stream's name.
func TestTheFailureOfEachStreamIsReported(t *testing.T) {
	for want, streams := range map[string][]string{"a: 1\nb: 2": {"a", "b"}, "2": {"a"}} {
		c := &config{Export: &exportConfig{Streams: streams}}
		err := c.join(nil, c.on("a"), errors.New("1"))
		err = c.join(err, c.on("b"), errors.New("2"))
		if err = c.join(err, c.on("c"), nil); err == nil || err.Error() != want {
			t.Errorf("%v: %q, want %q", streams, err, want)
		}
	}
}

// A process that follows reads its keys again after any change of their files.
func TestAChangeOfAnyKeyIsSeen(t *testing.T) {
	folder := t.TempDir()
	p := &place{Sign: &signConfig{Keys: []string{folder}}}
	write := func(name, text string, at time.Time) {
		t.Helper()
		file := filepath.Join(folder, name)
		if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chtimes(file, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	write("1.key", "one", now)
	seen := map[string]string{p.keysNow(): "the first"}
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"another of the same size", func() { write("1.key", "two", now.Add(time.Second)) }},
		{"another of the same time", func() { write("1.key", "three", now.Add(time.Second)) }},
		{"one more", func() { write("2.key", "one", now) }},
		{"another name", func() { _ = os.Rename(filepath.Join(folder, "2.key"), filepath.Join(folder, "3.key")) }},
	} {
		c.change()
		if keys := p.keysNow(); seen[keys] != "" {
			t.Errorf("%s is not seen: as %s", c.name, seen[keys])
		} else {
			seen[keys] = c.name
		}
	}
}
