package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"waybill/exchange/store"
	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner"
	"waybill/partner/intake/inbox"
	"waybill/partner/kit"
)

// partnersFolder is the folder of partners' files, next to the configuration.
const partnersFolder = "partners"

// partner returns the partner of that name.
func (on *installation) partner(name string) (*partner.Partner, error) {
	p, err := partner.Find(on.partnerFolders(), name)
	if err == nil {
		on.service, on.log = name, on.log.With("partner", name)
	}
	return p, err
}

// partnerFolders returns the partners' folders.
func (on *installation) partnerFolders() []string { return on.folders(partnersFolder) }

// folders returns the folders of a name next to the configuration's files, each once.
func (on *installation) folders(name string) (folders []string) {
	for _, path := range on.paths {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			path = filepath.Dir(path)
		}
		if folder := filepath.Join(path, name); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// placeOf returns the partner's database and log: a service's, or separate ones. With a service's,
// it also returns the settings of the service's import, if there is one.
func (on *installation) placeOf(p *partner.Partner) (of place, settings importConfig, err error) {
	of = defaults().place
	of.path, of.zone = p.Path, time.UTC
	of.Database, of.DatabaseFile = p.Database, p.DatabaseFile
	of.Store, of.StorePassword, of.StorePasswordFile, of.AllowPlaintext = p.Log, p.LogPassword, p.LogPasswordFile, p.AllowPlaintext
	of.Trust, of.Open = p.Trust, p.Opens
	if p.Service != "" {
		list, err := on.configs(p.Service)
		if err != nil {
			return of, settings, err
		}
		of = list[0].place
		if list[0].Import != nil {
			settings = *list[0].Import
		}
	}
	of.zone = p.Location(of.zone)
	return of, settings, nil
}

// reach returns the partner's place and its database's URL, and opens the partner's folder.
func (on *installation) reach(p *partner.Partner) (of place, url string, folder *store.Place, err error) {
	if of, _, err = on.placeOf(p); err == nil {
		url, err = of.databaseURL()
	}
	if err == nil {
		folder, err = p.Open(on.policy)
	}
	if err == nil {
		on.opened = append(on.opened, folder)
	}
	return of, url, folder, err
}

type partnerCommand struct {
	List  partnerListCommand  `cmd:"" default:"1" help:"List the partners that have a file, and check those files."`
	Check partnerCheckCommand `cmd:"" help:"Compare a partner's settings with its folder: show which files match, which are ready and what they contain. Writes nothing."`
	Kit   partnerKitCommand   `cmd:"" help:"Write a folder for a partner to try files in: the rules in words, a right and a wrong sample, and this program. Connects to nothing."`
}

type partnerListCommand struct{}

// partnerRow is one partner as it is shown.
type partnerRow struct {
	Partner string `json:"partner"`
	Does    string `json:"does"` // intake or deliver
	Service string `json:"service,omitempty"`
	Store   string `json:"store"`
}

func (partnerListCommand) Run(env *environment) error {
	partners, bad := partner.List(env.partnerFolders())
	rows := []partnerRow{}
	t := env.out.table("PARTNER", "DOES", "SERVICE", "STORE")
	for _, p := range partners {
		row := partnerRow{Partner: p.Name, Does: "deliver", Service: p.Service}
		if p.Intake != nil {
			row.Does = "intake"
		}
		row.Store, _, _ = strings.Cut(p.Store, "?")
		rows = append(rows, row)
		t.row(row.Partner, row.Does, row.Service, row.Store)
	}
	if env.out.json {
		return errors.Join(env.out.printJSON(rows), bad)
	}
	return errors.Join(t.print(), bad)
}

type partnerCheckCommand struct {
	Partner string `arg:"" help:"The partner."`
}

func (c *partnerCheckCommand) Run(ctx context.Context, env *environment) error {
	p, err := env.partner(c.Partner)
	if err != nil {
		return err
	}
	if p.Intake == nil {
		return fault.New(fault.Usage, "check", c.Partner, errors.New("its file has no intake settings"), "`waybill deliver "+c.Partner+" --dry-run` shows what would be written")
	}
	in, err := env.inbox(p)
	if err != nil {
		return err
	}
	findings, err := in.Check(ctx)
	findings.Decisions = env.advisedFacts([]fact.Fact{findings.Decisions})[0]
	return errors.Join(env.out.printFindings(findings), err)
}

type partnerKitCommand struct {
	Partner string `arg:"" help:"The partner."`
	To      string `required:"" placeholder:"DIR" help:"A new folder."`
}

func (c *partnerKitCommand) Run(ctx context.Context, env *environment) error {
	p, err := env.partner(c.Partner)
	if err != nil {
		return err
	}
	of, _, err := env.placeOf(p)
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return fault.New(fault.Usage, "find", "this program", err, "")
	}
	noSamples, err := kit.Write(ctx, c.To, p, of.zone, program, time.Now())
	if err != nil {
		return err
	}
	if noSamples != nil {
		fmt.Fprintf(env.errors, "no samples: these rules set aside what Waybill can make up: %v; add some of your own\n", noSamples)
	}
	return env.out.answer(map[string]any{"partner": c.Partner, "folder": c.To, "samples": noSamples == nil}, "%s has the kit of %s; nothing of it is secret", c.To, c.Partner)
}

func (out *printer) printFindings(f inbox.Findings) error {
	if out.json {
		return out.printJSON(f)
	}
	if f.Decisions.Value != "" {
		fmt.Fprintf(out, "decisions: %s\n", f.Decisions.Value)
	}
	if f.Files != nil && len(f.Files) == 0 {
		fmt.Fprintln(out, "the folder is empty")
	}
	t := out.table("FILE", "SIZE", "STATE", "NUMBER", "BECAUSE")
	for _, file := range f.Files {
		number := ""
		if file.Number != nil {
			number = fmt.Sprint(*file.Number)
		}
		t.row(file.Name, size(file.Size), file.State, number, file.Why)
	}
	if err := t.print(); err != nil {
		return err
	}
	if f.Next != nil {
		fmt.Fprintf(out, "next number: %d\n", *f.Next)
	}
	if len(f.Missing) > 0 {
		fmt.Fprintf(out, "missing numbers: %v\n", f.Missing)
	}
	if f.Format == nil {
		return nil
	}
	fmt.Fprintf(out, "%s: of the first %s %d can be taken\n", f.Format.File, humanize.Plural(int64(f.Format.Records), "record", "records"), f.Format.Taken)
	refused := out.table("LINE", "CONTROL ID", "BECAUSE")
	for _, r := range f.Format.Refused {
		refused.row(inbox.Line(r.Member, int64(r.Line)), r.Control, r.Reason)
	}
	return refused.print()
}
