// Package partner is for systems that exchange only files. A partner's file says what is taken in from the partner
// or delivered to it, and how. Package intake reads a partner's files for the patients service; package delivery
// follows the log and writes files for a partner.
package partner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"waybill/exchange/guard"
	"waybill/exchange/seal"
	"waybill/exchange/store"
	"waybill/exchange/trust"
	"waybill/internal/fault"
	"waybill/internal/setting"
	"waybill/partner/delivery"
	"waybill/partner/intake/inbox"
	"waybill/schemas"
)

// Partner is one partner's file.
type Partner struct {
	Name    string `yaml:"partner"` // the file's, without .yaml
	Service string `yaml:"service"` // whose database and log are used, instead of the next six
	Zone    string `yaml:"zone"`    // default: the service's

	Database        string `yaml:"database"`
	DatabaseFile    string `yaml:"database_file"`
	Log             string `yaml:"log"`
	LogPassword     string `yaml:"log_password"`
	LogPasswordFile string `yaml:"log_password_file"`

	Trust *trust.Policy `yaml:"trust"` // whose batches in that log are delivered
	Opens *seal.Opener  `yaml:"open"`  // what opens them

	Store             string `yaml:"store"` // the partner's folder
	StorePassword     string `yaml:"store_password"`
	StorePasswordFile string `yaml:"store_password_file"`
	AllowPlaintext    string `yaml:"allow_plaintext"`

	Deliver *delivery.Settings `yaml:"deliver"`
	Intake  *inbox.Settings    `yaml:"intake"`

	Path string `yaml:"-"`

	zone *time.Location // nil: the service's
}

const examples = "docs/legacy.md and docs/delivery.md show examples"

var namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,30}$`)

// Read reads and checks a partner's file. It connects to nothing.
func Read(path string) (*Partner, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.New(fault.Usage, "read", path, errors.Unwrap(err), examples)
	}
	p := &Partner{Path: path}
	if err := setting.Load(data, p); err != nil {
		return nil, fault.New(fault.Usage, "read", path, err, "docs/legacy.md and docs/delivery.md list the settings")
	}
	if err := p.check(); err != nil {
		return nil, fault.New(fault.Usage, "check", path, setting.WithLine(err, data), "")
	}
	return p, nil
}

func (p *Partner) check() (err error) {
	own := p.Database != "" || p.DatabaseFile != "" || p.Log != ""
	switch {
	case p.Name+".yaml" != filepath.Base(p.Path) || !namePattern.MatchString(p.Name):
		return setting.Errorf("partner", "must be the file's name without .yaml: small letters, digits and _, 31 at most")
	case (p.Service != "") == own:
		return setting.Errorf("service", "name the service whose database and log are used, or give database and log")
	case own && ((p.Database == "") == (p.DatabaseFile == "") || p.Deliver != nil && p.Log == ""):
		return setting.Errorf("database", "give either database or database_file, and log")
	case p.LogPassword != "" && p.LogPasswordFile != "":
		return setting.Errorf("log_password", "give either log_password or log_password_file")
	case p.Trust != nil && p.Log == "":
		return setting.Errorf("trust", "is for a log of its own; a service's file says whom the service trusts")
	case p.Opens != nil && p.Log == "":
		return setting.Errorf("open", "is for a log of its own; a service's file says what the service opens")
	case p.Store == "":
		return setting.Errorf("store", "name the partner's folder")
	case p.StorePassword != "" && p.StorePasswordFile != "":
		return setting.Errorf("store_password", "give either store_password or store_password_file")
	case (p.Deliver == nil) == (p.Intake == nil):
		return setting.Errorf("deliver", "there must be either `deliver:` or `intake:` settings")
	}
	if p.Zone != "" {
		if p.zone, err = setting.Zone(p.Zone); err != nil {
			return setting.In("zone", err)
		}
	}
	if err := p.Trust.Validate(); err != nil {
		return setting.In("trust", err)
	}
	if err := p.Opens.Validate(); err != nil {
		return setting.In("open", err)
	}
	if p.Intake != nil {
		return setting.In("intake", p.Intake.Check(p.Name, p.Zone))
	}
	return setting.In("deliver", p.Deliver.Check())
}

// List reads the partners' files of folders. It returns those that can be used next to the errors of the others.
func List(folders []string) (list []*Partner, failed error) {
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
		if err != nil {
			return nil, err
		}
		slices.Sort(files)
		for _, file := range files {
			p, bad := Read(file)
			if bad == nil {
				list = append(list, p)
			}
			failed = errors.Join(failed, bad)
		}
	}
	return list, failed
}

// names are the partners who have a file, good or not.
func names(folders []string) (list []string) {
	for _, folder := range folders {
		files, _ := filepath.Glob(filepath.Join(folder, "*.yaml")) // a pattern that is wrong matches nothing
		for _, file := range files {
			list = append(list, strings.TrimSuffix(filepath.Base(file), ".yaml"))
		}
	}
	return list
}

// Find reads the file of the partner of that name, and no other.
func Find(folders []string, name string) (*Partner, error) {
	if !namePattern.MatchString(name) { // the error does not repeat the name: it may be anything
		return nil, fault.New(fault.Usage, "find", "partner", errors.New("a partner's name has small letters, digits and _, 31 at most"), examples)
	}
	for _, folder := range folders {
		file := filepath.Join(folder, name+".yaml")
		if _, err := os.Stat(file); err == nil {
			return Read(file)
		}
	}
	return nil, fault.New(fault.Usage, "find", "partner "+name,
		fmt.Errorf("there is no %s/%s.yaml%s", strings.Join(folders, " or "), name, setting.DidYouMean(name, names(folders))), examples)
}

// Location returns the zone that the file names, or else the service's.
func (p *Partner) Location(service *time.Location) *time.Location {
	if p.zone != nil {
		return p.zone
	}
	return service
}

// Open opens the partner's folder.
func (p *Partner) Open(policy guard.Policy) (*store.Place, error) {
	source := setting.Source{Of: p.Path, Key: "store", Text: p.Store, Hint: "set it, or write the store out"}
	url, err := source.Read()
	if err != nil {
		return nil, err
	}
	password := setting.Source{
		Of: p.Path, Key: "store_password", Text: p.StorePassword, File: p.StorePasswordFile, Hint: "set it, or use store_password_file",
	}
	c := store.Config{URL: url, Secret: password.Optional(), AllowPlaintext: p.AllowPlaintext, Policy: policy, Partner: true}
	if p.Deliver != nil {
		c.Partial = p.Deliver.Partial
	}
	return store.Open(c)
}

// Inbox completes a configuration that has a database, a spool and a log, and returns the partner's
// inbox on an open folder. Files' times are in the given zone where the settings name none.
func (p *Partner) Inbox(folder *store.Place, zone *time.Location, c inbox.Config) *inbox.Inbox {
	p.Intake.Format.Zone = cmp.Or(p.Intake.Format.Zone, zone.String())
	c.Partner, c.Settings, c.Folder = p.Name, p.Intake, wholeReads{folder}
	return inbox.New(c)
}

// wholeReads reads each file in one piece. An interrupted read is not resumed, because another file may have taken
// the name by then.
type wholeReads struct{ *store.Place }

// Get implements [exchange.Getter].
func (r wholeReads) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	return r.Unguarded().Get(ctx, name)
}

// Consumer returns the folder of the consumer that queues events for the partner. name and events replace those in
// the folder's consumer.yaml.
func (p *Partner) Consumer() (files fs.FS, name string, events []string) {
	events = p.Deliver.Events
	if !slices.Contains(events, schemas.Erased) { // it deletes rows of the queue, even if the partner does not get it
		events = append(slices.Clone(events), schemas.Erased)
	}
	return delivery.Files(), delivery.Schema(p.Name), events
}
