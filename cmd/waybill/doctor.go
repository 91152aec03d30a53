package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"waybill/doctor"
	"waybill/exporter"
	"waybill/importer"
	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/internal/humanize"
)

type doctorCommand struct {
	Service string `arg:"" optional:"" help:"One service (default: all that are configured)."`
}

// diagnosis has the findings on one service.
type diagnosis struct {
	Service  string      `json:"service"`
	Place    string      `json:"place"`
	Files    []fact.Fact `json:"files"` // of the configuration
	Keys     []fact.Fact `json:"keys,omitempty"`
	Store    []fact.Fact `json:"store"`
	Database []fact.Fact `json:"database"`
}

// Run tries everything that the configured parties will do, and fails if a party can't do its work.
func (c *doctorCommand) Run(ctx context.Context, env *environment) error {
	parties, err := env.configs(c.Service)
	if err != nil {
		return err
	}
	var list []*diagnosis
	failed := 0
	var streams []*config
	for _, party := range parties {
		streams = append(streams, party.each()...)
	}
	for _, party := range streams {
		d := &diagnosis{
			Service: party.label(), Place: printable(party.Store), Files: env.advisedFacts(party.examineFiles()), Keys: env.advisedFacts(party.examineKeys(ctx, env)),
			Store: env.advisedFacts(party.examineStore(ctx, env)), Database: env.advisedFacts(party.examineDatabase(ctx)),
		}
		list = append(list, d)
		for _, f := range slices.Concat(d.Files, d.Keys, d.Store, d.Database) {
			if f.Fails {
				failed++
			}
		}
	}
	if err := env.out.printDiagnoses(list); err != nil {
		return err
	}
	if failed > 0 {
		return fault.New(fault.Usage, "examine", humanize.Plural(int64(len(list)), "service", "services"),
			fmt.Errorf("%s", humanize.Plural(int64(failed), "thing fails", "things fail")), "follow the advice next to each FAIL")
	}
	return nil
}

// printable returns a store's URL without its options and without a password, which an operator may
// have put there.
func printable(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if at := strings.LastIndex(rest, "@"); ok && at >= 0 {
		if user, _, secret := strings.Cut(rest[:at], ":"); secret {
			url = scheme + "://" + user + ":***" + rest[at:]
		}
	}
	place, _, _ := strings.Cut(url, "?")
	return place
}

// examineFiles finds secrets in files that every user of this machine can read.
func (c *config) examineFiles() []fact.Fact {
	var facts []fact.Fact
	for _, file := range c.secretFiles() {
		info, err := os.Stat(file)
		f := fact.Fact{Name: "secrets", Value: file + " is closed to others"}
		switch {
		case err != nil:
			f.Value, f.Fails = err.Error(), true
		case info.Mode().Perm()&0o004 != 0:
			f.Value, f.Advice, f.Fails = file+" holds a secret, and every user of this machine can read it", "chmod o= "+file, true
		}
		facts = append(facts, f)
	}
	return facts
}

// secretFiles returns the files with secrets: those that the settings for secrets name, and the
// configuration itself if it has a URL or a password.
func (c *config) secretFiles() []string {
	files := []string{c.DatabaseFile, c.StorePasswordFile}
	written := func(text string) string { return os.Expand(text, func(string) string { return "" }) }
	if passwordInURL.MatchString(written(c.Database)) || written(c.StorePassword) != "" {
		files = append(files, c.path)
	}
	return slices.DeleteFunc(files, func(file string) bool { return file == "" })
}

// passwordInURL finds a password in both forms of a database's URL.
var passwordInURL = regexp.MustCompile(`://[^/@]*:[^@]+@|password\s*=\s*[^\s&]`)

func (c *config) examineStore(ctx context.Context, env *environment) []fact.Fact {
	place, err := c.openStore(&env.installation)
	if err != nil {
		return []fact.Fact{fact.Failed("open", err)}
	}
	id := strings.ToLower(rand.Text()[:8])
	if c.Import != nil {
		// An importer only needs the right to write receipts.
		return doctor.Probe(ctx, place.Unguarded(), doctor.Importer, "receipts/"+c.instance()+"/doctor-"+id)
	}
	defer place.Tidy(ctx, "doctor")
	return doctor.Probe(ctx, place.Unguarded(), doctor.Exporter, "doctor/"+id)
}

func (c *config) instance() string {
	return c.consumer.Name + "@" + importer.Config{Instance: c.Import.Instance}.WithDefaults().Instance
}

func (c *config) examineDatabase(ctx context.Context) []fact.Fact {
	url, err := c.databaseURL()
	if err != nil {
		return []fact.Fact{fact.Failed("open", err)}
	}
	var facts []fact.Fact
	if c.Export != nil {
		facts, err = exporter.Examine(ctx, url)
	} else {
		facts, err = importer.Examine(ctx, url, c.consumer)
	}
	if err != nil {
		facts = append(facts, fact.Failed("reach", err))
	}
	return facts
}

func (out *printer) printDiagnoses(list []*diagnosis) error {
	if out.json {
		return out.printJSON(list)
	}
	var err error
	for i, d := range list {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if len(d.Files) > 0 {
			fmt.Fprintf(out, "%s: configuration\n", d.Service)
			err = errors.Join(err, out.facts(d.Files).print())
		}
		if len(d.Keys) > 0 {
			fmt.Fprintf(out, "%s: keys\n", d.Service)
			err = errors.Join(err, out.facts(d.Keys).print())
		}
		fmt.Fprintf(out, "%s: store %s\n", d.Service, d.Place)
		err = errors.Join(err, out.facts(d.Store).print())
		fmt.Fprintf(out, "%s: database\n", d.Service)
		err = errors.Join(err, out.facts(d.Database).print())
	}
	return err
}

func (out *printer) facts(list []fact.Fact) *table {
	t := out.table()
	for _, f := range list {
		mark := "ok"
		switch {
		case f.Fails:
			mark = "FAIL"
		case f.Advice != "":
			mark = "note"
		}
		t.row("  "+mark, f.Name, f.Value)
		if f.Advice != "" {
			t.row("", "", "-> "+f.Advice)
		}
	}
	return t
}
