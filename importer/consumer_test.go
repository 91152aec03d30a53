package importer_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"waybill/importer"
	"waybill/internal/fault"
)

// A consumer's folder is read whole, and each thing that is wrong with it is named.
func TestWhatAConsumersFolderMayHold(t *testing.T) {
	t.Parallel()
	const whole = "name: x\nevents: [died]\neffects: {a: {description: b}}\n"
	for name, c := range map[string]struct {
		yaml, files string // other files than apply.sql; "-" before one takes it away
		says        string // "": it is in order
	}{
		"whole":                {whole, "", ""},
		"without consumer":     {"", "", "read consumer.yaml"},
		"no such setting":      {whole + "colour: red\n", "", "colour"},
		"a name in capitals":   {strings.Replace(whole, "x", "X", 1), "", `name: "X"`},
		"a name of a letter":   {strings.Replace(whole, "x", strings.Repeat("x", 41), 1), "", ""},
		"a name too long":      {strings.Replace(whole, "x", strings.Repeat("x", 42), 1), "", "name:"},
		"no events":            {"name: x\n", "", "events: name at least one"},
		"an unknown event":     {"name: x\nevents: [died, born]\n", "", `events: the contract has no "born"`},
		"neither SQL nor rows": {whole, "-apply.sql", "either apply.sql or"},
		"rows":                 {whole + "append: event\n", "-apply.sql", ""},
		"both":                 {whole + "append: event\n", "", "either apply.sql or"},
		"rows of a bad name":   {whole + "append: an-event\n", "-apply.sql", `append: "an-event"`},
		"checks":               {whole + "checks: {a: b}\n", "reconcile.sql", ""},
		"checks without SQL":   {whole + "checks: {a: b}\n", "", "both or neither"},
		"SQL without checks":   {whole, "reconcile.sql", "both or neither"},
		"a bad check":          {whole + "checks: {a-b: c}\n", "reconcile.sql", `checks: "a-b"`},
		"a bad effect":         {"name: x\nevents: [died]\neffects: {a-b: {description: c}}\n", "", `effects: "a-b"`},
		"an unknown stream":    {whole + "stream: y\n", "", `not "y"`},
	} {
		folder := fstest.MapFS{"apply.sql": {Data: []byte("SELECT")}}
		if c.yaml != "" {
			folder["consumer.yaml"] = &fstest.MapFile{Data: []byte(c.yaml)}
		}
		if file, gone := strings.CutPrefix(c.files, "-"); gone {
			delete(folder, file)
		} else if file != "" {
			folder[file] = &fstest.MapFile{Data: []byte("SELECT")}
		}
		consumer, err := importer.LoadConsumer(folder)
		switch {
		case c.says == "" && err == nil:
			if got := fmt.Sprint(consumer.Events); got != "[died erased]" {
				t.Errorf("%s: it takes %s, want erasures too", name, got)
			}
		case c.says == "" || fault.ClassOf(err) != fault.Usage || !strings.Contains(fmt.Sprint(err), c.says):
			t.Errorf("%s: %v (%s), want %q", name, err, fault.ClassOf(err), c.says)
		}
	}
}

// Each bound of a configuration is the first value that is allowed.
func TestWhatAConfigurationMayBe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*importer.Config)
		fine   bool
	}{
		"nothing set":             {func(*importer.Config) {}, true},
		"an instance":             {func(c *importer.Config) { c.Instance = strings.Repeat("a", 41) }, true},
		"an instance too long":    {func(c *importer.Config) { c.Instance = strings.Repeat("a", 42) }, false},
		"an instance in capitals": {func(c *importer.Config) { c.Instance = "East" }, false},
		"an instance of a hyphen": {func(c *importer.Config) { c.Instance = "-a" }, false},
		"a negative grace":        {func(c *importer.Config) { c.Grace = -1 }, false},
		"a lease of a second":     {func(c *importer.Config) { c.Lease = time.Second }, true},
		"a lease under it":        {func(c *importer.Config) { c.Lease = time.Second - 1 }, false},
		"a wait of a millisecond": {func(c *importer.Config) { c.LockWait = time.Millisecond }, true},
		"a wait under it":         {func(c *importer.Config) { c.LockWait = time.Millisecond - 1 }, false},
		"a negative brake":        {func(c *importer.Config) { c.Brake = -1 }, false},
		"a negative quarantine":   {func(c *importer.Config) { c.QuarantineRows = -1 }, false},
	} {
		config := importer.Config{Consumer: morgueConsumer(t)}
		c.change(&config)
		if _, err := importer.New(config); (err == nil) != c.fine || err != nil && fault.ClassOf(err) != fault.Usage {
			t.Errorf("%s: %v (%s)", name, err, fault.ClassOf(err))
		}
	}
}
