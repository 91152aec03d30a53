package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"waybill/exchange/store"
	"waybill/internal/fault"
	"waybill/internal/setting"
	"waybill/partner/delivery"
	"waybill/partner/intake/inbox"
)

// partnersFolder is where partners' files lie in the folder of the configuration.
const partnersFolder = "partners"

// partner is the file of somebody who knows only files.
type partner struct {
	Partner string `yaml:"partner"` // the file's name, without .yaml
	Service string `yaml:"service"` // whose database and log are used, in place of the next five
	Zone    string `yaml:"zone"`    // default: the service's

	Database        string `yaml:"database"`
	DatabaseFile    string `yaml:"database_file"`
	Log             string `yaml:"log"`
	LogPassword     string `yaml:"log_password"`
	LogPasswordFile string `yaml:"log_password_file"`

	Store             string `yaml:"store"` // the partner's folder
	StorePassword     string `yaml:"store_password"`
	StorePasswordFile string `yaml:"store_password_file"`
	AllowPlaintext    string `yaml:"allow_plaintext"`

	Deliver *delivery.Settings `yaml:"deliver"`
	Intake  *inbox.Settings    `yaml:"intake"`

	path string
	zone *time.Location // nil: the service's
}

var partnerName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// readPartner reads and checks one file; nothing is connected to.
func readPartner(path string) (*partner, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, errors.Unwrap(err), "docs/legacy.md and docs/delivery.md show some")
	}
	p := &partner{path: path}
	if err := yaml.Load(data, p, yaml.WithKnownFields()); err != nil {
		return nil, fault.New(fault.Usage, "read", path, errors.New(goType.ReplaceAllString(err.Error(), "")), "docs/legacy.md and docs/delivery.md list the settings")
	}
	if err := p.check(); err != nil {
		return nil, fault.New(fault.Usage, "check", path, setting.WithLine(err, data), "")
	}
	return p, nil
}

func (p *partner) check() (err error) {
	own := p.Database != "" || p.DatabaseFile != "" || p.Log != ""
	logless := p.Deliver != nil && p.Log == ""
	switch {
	case p.Partner+".yaml" != filepath.Base(p.path) || !partnerName.MatchString(p.Partner):
		return setting.Errorf("partner", "it is the file's name without .yaml: small letters, digits and _, 31 at most")
	case (p.Service != "") == own:
		return setting.Errorf("service", "name the service whose database and log are used, or give database and log")
	case own && ((p.Database == "") == (p.DatabaseFile == "") || logless):
		return setting.Errorf("database", "give either database or database_file, and log")
	case p.LogPassword != "" && p.LogPasswordFile != "":
		return setting.Errorf("log_password", "give either log_password or log_password_file")
	case p.Store == "":
		return setting.Errorf("store", "name the partner's folder")
	case p.StorePassword != "" && p.StorePasswordFile != "":
		return setting.Errorf("store_password", "give either store_password or store_password_file")
	case (p.Deliver == nil) == (p.Intake == nil):
		return setting.Errorf("deliver", "there must be either `deliver:` or `intake:` settings")
	}
	if p.Zone != "" {
		if p.zone, err = time.LoadLocation(p.Zone); err != nil || p.Zone == "Local" {
			return setting.Errorf("zone", "unknown zone %s", p.Zone)
		}
	}
	if p.Intake != nil {
		return setting.In("intake", p.Intake.Check(p.Partner, p.Zone))
	}
	return setting.In("deliver", p.Deliver.Check())
}

// partner returns the file of that name.
func (env *environment) partner(name string) (*partner, error) {
	if !partnerName.MatchString(name) { // which is not repeated: who knows what it is
		return nil, fault.New(fault.Usage, "find", "partner", errors.New("that is no partner's name"), "docs/delivery.md shows a partner's file")
	}
	list, err := env.partners()
	if err != nil {
		return nil, err
	}
	for _, p := range list {
		if p.Partner == name {
			env.service = name
			env.log = env.log.With("partner", name)
			return p, nil
		}
	}
	return nil, fault.New(fault.Usage, "find", "partner "+name, fmt.Errorf("there is no %s/%s.yaml beside the configuration in %s", partnersFolder, name, strings.Join(env.paths, ", ")),
		"docs/legacy.md and docs/delivery.md show some")
}

// partners returns all of them.
func (env *environment) partners() (list []*partner, err error) {
	for _, folder := range env.partnerFolders() {
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, file := range files {
			p, err := readPartner(file)
			if err != nil {
				return nil, err
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// deliveries returns the partner of that name to whom there are deliveries, if there is one, or for
// "" all of them.
func (env *environment) deliveries(name string) ([]*partner, error) {
	list, err := env.partners()
	return slices.DeleteFunc(list, func(p *partner) bool { return p.Deliver == nil || name != "" && p.Partner != name }), err
}

// partnerFolders are those beside the configuration's files, each once.
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

// party returns the configuration that says which database and log are the partner's: a service's, or
// the partner's own.
func (p *partner) party(env *environment) (*config, error) {
	c := defaults()
	if p.Service != "" {
		list, err := env.configs(p.Service)
		if err != nil {
			return nil, err
		}
		c = *list[0]
	} else {
		c.path, c.zone = p.path, time.UTC
		c.Database, c.DatabaseFile = p.Database, p.DatabaseFile
		c.Store, c.StorePassword, c.StorePasswordFile, c.AllowPlaintext = p.Log, p.LogPassword, p.LogPasswordFile, p.AllowPlaintext
	}
	c.Service = p.Partner
	if p.zone != nil {
		c.zone = p.zone
	}
	return &c, nil
}

// openFolder opens the partner's folder; files being written there are named by the suffix.
func (p *partner) openFolder(env *environment, partial string) (*store.Place, error) {
	c := &config{path: p.path, Store: p.Store, StorePassword: p.StorePassword, StorePasswordFile: p.StorePasswordFile}
	url, err := c.expand("store", p.Store, "set it, or write the store out")
	if err != nil {
		return nil, err
	}
	place, err := store.Open(store.Config{
		URL: url, Secret: c.storeSecret(), AllowPlaintext: p.AllowPlaintext, Policy: env.policy, Partner: true, Partial: partial,
	})
	if err != nil {
		return nil, err
	}
	env.opened = append(env.opened, place)
	return place, nil
}
