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
	"waybill/internal/fault"
	"waybill/internal/humanize"
	"waybill/partner"
	"waybill/partner/intake/inbox"
)

// partnersFolder is where partners' files lie in the folder of the configuration.
const partnersFolder = "partners"

// partner returns the partner of that name.
func (env *environment) partner(name string) (*partner.Partner, error) {
	p, err := partner.Find(env.partnerFolders(), name)
	if err == nil {
		env.service, env.log = name, env.log.With("partner", name)
	}
	return p, err
}

// partnerFolders are those next to the configuration's files, each once.
func (env *environment) partnerFolders() (folders []string) {
	for _, path := range env.paths {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			path = filepath.Dir(path)
		}
		if folder := filepath.Join(path, partnersFolder); !slices.Contains(folders, folder) {
			folders = append(folders, folder)
		}
	}
	return folders
}

// placeOf returns the database and the log that are the partner's: a service's, or its own. With a
// service's come the settings of its import, if it has one.
func (env *environment) placeOf(p *partner.Partner) (place, *importConfig, error) {
	of, settings := defaults().place, (*importConfig)(nil)
	of.path, of.zone = p.Path, time.UTC
	of.Database, of.DatabaseFile = p.Database, p.DatabaseFile
	of.Store, of.StorePassword, of.StorePasswordFile, of.AllowPlaintext = p.Log, p.LogPassword, p.LogPasswordFile, p.AllowPlaintext
	if p.Service != "" {
		list, err := env.configs(p.Service)
		if err != nil {
			return place{}, nil, err
		}
		of, settings = list[0].place, list[0].Import
	}
	of.zone = p.Location(of.zone)
	return of, settings, nil
}

// reach returns the partner's place, its database's URL, and the partner's folder, opened.
func (env *environment) reach(p *partner.Partner) (of place, url string, folder *store.Place, err error) {
	if of, _, err = env.placeOf(p); err == nil {
		url, err = of.databaseURL()
	}
	if err == nil {
		folder, err = p.Open(env.policy)
	}
	if err == nil {
		env.opened = append(env.opened, folder)
	}
	return of, url, folder, err
}

type partnerCommand struct {
	List  partnerListCommand  `cmd:"" default:"1" help:"List the partners that have a file, and check those files."`
	Check partnerCheckCommand `cmd:"" help:"Compare a partner's settings with its folder: show which files match, which are ready and what they contain. Writes nothing."`
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
	t := env.table("PARTNER", "DOES", "SERVICE", "STORE")
	for _, p := range partners {
		row := partnerRow{Partner: p.Name, Does: "deliver", Service: p.Service}
		if p.Intake != nil {
			row.Does = "intake"
		}
		row.Store, _, _ = strings.Cut(p.Store, "?")
		rows = append(rows, row)
		t.row(row.Partner, row.Does, row.Service, row.Store)
	}
	if env.json {
		return errors.Join(env.printJSON(rows), bad)
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
	return errors.Join(env.printFindings(findings), err)
}

func (env *environment) printFindings(f inbox.Findings) error {
	if env.json {
		return env.printJSON(f)
	}
	if f.Decisions.Value != "" {
		fmt.Fprintf(env.out, "decisions: %s\n", f.Decisions.Value)
	}
	if f.Files != nil && len(f.Files) == 0 {
		fmt.Fprintln(env.out, "the folder is empty")
	}
	t := env.table("FILE", "SIZE", "STATE", "NUMBER", "BECAUSE")
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
		fmt.Fprintf(env.out, "next number: %d\n", *f.Next)
	}
	if len(f.Missing) > 0 {
		fmt.Fprintf(env.out, "missing numbers: %v\n", f.Missing)
	}
	if f.Format == nil {
		return nil
	}
	fmt.Fprintf(env.out, "%s: of the first %s %d can be taken\n", f.Format.File, humanize.Plural(int64(f.Format.Records), "record", "records"), f.Format.Taken)
	refused := env.table("LINE", "CONTROL ID", "BECAUSE")
	for _, r := range f.Format.Refused {
		refused.row(inbox.Line(r.Member, int64(r.Line)), r.Control, r.Reason)
	}
	return refused.print()
}
