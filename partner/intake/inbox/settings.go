package inbox

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"waybill/exchange"
	"waybill/internal/setting"
	"waybill/partner/envelope"
	"waybill/partner/format/pattern"
	"waybill/partner/intake"
	"waybill/partner/intake/drop"
)

// Settings are the section `intake:` of a partner's file. docs/legacy.md explains them.
type Settings struct {
	Folder    string     `yaml:"folder"` // below the store's; "": the store's own
	Name      string     `yaml:"name"`   // pattern, see [pattern.Names]
	Ready     drop.Ready `yaml:"ready"`
	Temporary []string   `yaml:"temporary"` // suffixes; default [drop.TemporarySuffixes]

	Open *envelope.Opening `yaml:"open"` // how files are encrypted and signed; nil: they are not

	Source string        `yaml:"source"` // the system whose ids the files hold; default: the partner
	Format intake.Format `yaml:"format"`

	Order    string   `yaml:"order"` // sequence, name or none; default: sequence if names have one
	Sequence Sequence `yaml:"sequence"`

	Resend     string `yaml:"resend"`      // refuse (default) or take: a file with other bytes under the name of a taken one
	ControlIDs string `yaml:"control_ids"` // quarantine (default) or take: another message under the number of a taken one
	// IdentityChange is dispute (default) or allow. It is about a death or merge that comes with another person's
	// birth date, sex or names.
	IdentityChange intake.IdentityChange `yaml:"identity_change"`

	Empty      string           `yaml:"empty"` // refuse (default) or take: files without a byte, also in an archive
	Quarantine int64            `yaml:"quarantine_records"`
	Brake      *int64           `yaml:"brake"`   // deaths, retractions, merges or changes of key of one file; default 50, 0: no brake
	MaxMiB     int64            `yaml:"max_mib"` // of a file; default 4096
	Done       string           `yaml:"done"`    // leave (default), delete or archive
	Archive    string           `yaml:"archive"` // folder, from the store's; default "archive"
	Errors     string           `yaml:"errors"`  // folder for refused files; "": they stay
	Acks       *Reply           `yaml:"acks"`
	Report     *Reply           `yaml:"report"`
	Grace      setting.Duration `yaml:"grace"`   // how long a file may stay undecided before it is reported; default 1h
	Silence    setting.Duration `yaml:"silence"` // how long no file may come before that is reported; 0: never reported

	rules *drop.Rules
}

// Sequence is how files are numbered, and what happens if a number is missing.
type Sequence struct {
	First int64  `yaml:"first"` // default 1
	Last  int64  `yaml:"last"`  // after it comes First; 0: there is no last
	Start *int64 `yaml:"start"` // the very first number that is expected; default: the lowest in the folder
	Gap   string `yaml:"gap"`   // hold (default) or alarm
}

// Reply says where files for the sender go, and their names.
type Reply struct {
	Folder string `yaml:"folder"` // from the store's; "": the store's own
	// Name has {name} or {stem} (without the last extension) of the partner's file, and {id}, our number of the
	// file. Without {id}, the reply to a file that is sent again would overwrite the first reply, or be refused.
	Name string `yaml:"name"`
}

// of returns the name of the reply to a file.
func (r *Reply) of(name string, id int64) string {
	stem := name
	if dot := strings.LastIndexByte(name, '.'); dot > 0 {
		stem = name[:dot]
	}
	base := strings.NewReplacer("{name}", name, "{stem}", stem, "{id}", strconv.FormatInt(id, 10)).Replace(r.Name)
	return path.Join(r.Folder, base)
}

// doneFolder returns the folder for taken files. "" means that they are deleted, nil that they stay.
func (s *Settings) doneFolder() *string {
	switch s.Done {
	case archive:
		return &s.Archive
	case remove:
		return new(string)
	}
	return nil
}

// errorsFolder returns the folder for refused files; nil means that they stay.
func (s *Settings) errorsFolder() *string {
	if s.Errors == "" {
		return nil
	}
	return &s.Errors
}

// Choices of settings.
const (
	refuse     = "refuse"
	take       = "take"
	quarantine = "quarantine"
	leave      = "leave"
	remove     = "delete"
	archive    = "archive"
	hold       = "hold"
	alarm      = "alarm"
)

// Check completes the settings of a partner and returns what is wrong. zone is used for the files' times if the
// settings name none. Errors are of package setting.
func (s *Settings) Check(partner, zone string) error {
	s.complete(partner, zone)
	for _, choice := range []struct {
		key, value string
		of         []string
	}{
		{"order", s.Order, []string{drop.BySequence, drop.ByName, drop.Unordered}},
		{"sequence.gap", s.Sequence.Gap, []string{hold, alarm}},
		{"resend", s.Resend, []string{refuse, take}},
		{"control_ids", s.ControlIDs, []string{quarantine, take}},
		{"identity_change", string(s.IdentityChange), []string{string(intake.Dispute), string(intake.Allow)}},
		{"empty", s.Empty, []string{refuse, take}},
		{"done", s.Done, []string{leave, remove, archive}},
	} {
		if !slices.Contains(choice.of, choice.value) {
			return setting.Errorf(choice.key, "one of %s", strings.Join(choice.of, ", "))
		}
	}
	for _, err := range []error{s.checkName(partner), s.checkSequence(), s.checkFolders(), s.checkReplies()} {
		if err != nil {
			return err
		}
	}
	if s.Quarantine < 0 {
		return setting.Errorf("quarantine_records", "not below 0")
	}
	if *s.Brake < 0 {
		return setting.Errorf("brake", "not below 0")
	}
	if s.MaxMiB < 1 {
		return setting.Errorf("max_mib", "at least 1")
	}
	return setting.In("format", s.Format.Check())
}

func (s *Settings) complete(partner, zone string) {
	s.Source = cmp.Or(s.Source, partner)
	s.Format.Zone = cmp.Or(s.Format.Zone, zone)
	if s.Temporary == nil {
		s.Temporary = drop.TemporarySuffixes
	}
	s.Resend, s.Empty, s.ControlIDs = cmp.Or(s.Resend, refuse), cmp.Or(s.Empty, refuse), cmp.Or(s.ControlIDs, quarantine)
	s.Format.MayBeEmpty = s.Empty == take
	s.IdentityChange = cmp.Or(s.IdentityChange, intake.Dispute)
	s.Done, s.Archive = cmp.Or(s.Done, leave), cmp.Or(s.Archive, "archive")
	s.Sequence.Gap, s.Sequence.First = cmp.Or(s.Sequence.Gap, hold), cmp.Or(s.Sequence.First, 1)
	s.Brake = cmp.Or(s.Brake, new(int64(50)))
	s.MaxMiB, s.Grace = cmp.Or(s.MaxMiB, 4096), cmp.Or(s.Grace, setting.Duration(time.Hour))
	if s.Order == "" {
		s.Order = drop.ByName
		if strings.Contains(s.Name, "{sequence") {
			s.Order = drop.BySequence
		}
	}
}

func (s *Settings) checkName(partner string) error {
	names, err := pattern.ParseNames(s.Name, partner)
	if err != nil {
		return setting.In("name", err)
	}
	if err := s.Open.Check(); err != nil {
		return setting.In("open", err)
	}
	ready := s.Ready
	if s.Open != nil && s.Open.Signature != "" { // it shows that the file is complete
		ready.Trigger = s.Open.Signature
	}
	if err := ready.Check(); err != nil {
		return setting.In("ready", err)
	}
	s.rules = &drop.Rules{
		Pattern: names.Followed(s.Open.Suffixes()), Ready: ready, Temporary: s.Temporary, Order: s.Order, Hold: s.Sequence.Gap == hold,
		Sequence: drop.Sequence{First: s.Sequence.First, Last: s.Sequence.Last},
	}
	return nil
}

func (s *Settings) checkSequence() error {
	n := s.Sequence
	switch {
	case s.Order != drop.BySequence && (n.Last != 0 || n.Start != nil):
		return setting.Errorf("sequence", "order is not sequence")
	case s.Order != drop.BySequence:
		return nil
	case !s.rules.Pattern.Numbered():
		return setting.Errorf("order", "name has no {sequence}")
	case n.First < 0, n.Last != 0 && n.Last < n.First+3:
		return setting.Errorf("sequence", "first is not below 0, and last above it")
	case n.Start != nil && !s.rules.Sequence.Fits(*n.Start):
		return setting.Errorf("sequence.start", "it is not among the numbers from first to last")
	case n.Last != 0 && s.Done == leave && !s.rules.Pattern.Dated():
		return setting.Errorf("done", "names come again when the numbers do, and nobody could tell an old file that was left from a new one: archive or delete files, or have dates in their names")
	}
	return nil
}

func (s *Settings) checkFolders() error {
	for _, folder := range []struct{ key, name string }{{"folder", s.Folder}, {"archive", s.Archive}, {"errors", s.Errors}} {
		if exchange.CheckFolder(folder.name) != nil {
			return setting.Errorf(folder.key, "folders are named below the store's, of A-Z a-z 0-9 = . _ @ - and /")
		}
	}
	if s.Archive == s.Folder && s.Done == archive || s.Errors != "" && s.Errors == s.Folder {
		return setting.Errorf("folder", "files that are done with can't go where they come from")
	}
	return nil
}

func (s *Settings) checkReplies() error {
	if s.Acks != nil && !s.Format.HasMessages() {
		return setting.Errorf("acks", "only HL7 messages are acknowledged")
	}
	return cmp.Or(s.checkReply("acks", s.Acks, "{stem}.{id}.ack"), s.checkReply("report", s.Report, "{stem}.{id}.report.txt"))
}

func (s *Settings) checkReply(key string, r *Reply, otherwise string) error {
	if r == nil {
		return nil
	}
	r.Name = cmp.Or(r.Name, otherwise)
	sample := r.of("a.b", 1)
	switch {
	case exchange.CheckFolder(r.Folder) != nil:
		return setting.Errorf(key+".folder", "folders are named below the store's, of A-Z a-z 0-9 = . _ @ - and /")
	case exchange.CheckName(sample) != nil || strings.Contains(r.Name, "/"):
		return setting.Errorf(key+".name", "it is made of A-Z a-z 0-9 = . _ @ - and {name}, {stem}, {id}")
	case !strings.Contains(r.Name, "{name}") && !strings.Contains(r.Name, "{stem}") && !strings.Contains(r.Name, "{id}"):
		return setting.Errorf(key+".name", "it has {name}, {stem} or {id} in it, or all files would have the same reply")
	case r.Folder == s.Folder && s.rules.Takes(path.Base(r.of(s.rules.Pattern.Sample(), 1))):
		return setting.Errorf(key+".name", "the partner's own pattern matches this name: name it otherwise, or put it into another folder")
	}
	return nil
}
