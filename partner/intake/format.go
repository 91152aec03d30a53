package intake

import (
	"errors"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"waybill/internal/setting"
	"waybill/partner/format/adt"
	"waybill/partner/format/charset"
	"waybill/partner/format/container"
	"waybill/partner/format/fhir"
	"waybill/partner/format/fixed"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
)

// Format declares how a partner's files are to be read. It is part of a partner's configuration;
// nothing about a file is guessed.
type Format struct {
	// Kind is hl7, csv, fixed or fhir. The section of that name says more; hl7 and fhir can do without it.
	Kind  string        `yaml:"kind"`
	HL7   *adt.Options  `yaml:"hl7"`
	CSV   *table.Layout `yaml:"csv"`
	Fixed *fixed.Layout `yaml:"fixed"`
	FHIR  *fhir.Options `yaml:"fhir"`

	// Charset is utf-8 (default), utf-16 (with a byte order mark), utf-16le, utf-16be, windows-1252, iso-8859-1 or
	// iso-8859-15. What a file says about itself (MSH-18) is ignored.
	Charset string `yaml:"charset"`
	// Zone is the site's time zone, in which times without an offset are meant; default UTC.
	Zone string `yaml:"zone"`

	// Unended is refuse (default) or take. It is about the last record of a file that does not end with a line end:
	// a part of the record may be missing.
	Unended string `yaml:"unended"`

	// Fillers are texts that stand in place of an identifier, in addition to those that can't be anybody's.
	Fillers []string `yaml:"fillers"`
	// Placeholders are dates (YYYY-MM-DD), or texts as written in the file, which mean that no date is known.
	Placeholders []string `yaml:"placeholders"`
	// Forms say what identifiers of a kind look like. An identifier that looks different can't be a key, and is
	// left out elsewhere.
	Forms []Form `yaml:"forms"`

	// Container is none (default), zip, gzip or zstd.
	Container string `yaml:"container"`
	// Members is a pattern for the names of a zip's files that are read, in any letter case; default all.
	Members string `yaml:"members"`
	// Limits bound what comes out of a container.
	Limits container.Limits `yaml:"limits"`
	// MayBeEmpty takes an archive that holds nothing as a file without records.
	MayBeEmpty bool `yaml:"-"`
}

// Form says what identifiers of a kind look like.
type Form struct {
	record.Kind `yaml:",inline"`
	Pattern     string `yaml:"pattern"` // a regular expression of the whole value
}

// rules returns the rules by which records are judged.
func (f *Format) rules(now time.Time) (record.Rules, error) {
	r := record.Rules{Now: now, Fillers: f.Fillers, Placeholders: f.Placeholders}
	for i, form := range f.Forms {
		pattern, err := regexp.Compile("^(?:" + form.Pattern + ")$")
		if err != nil || form.Pattern == "" || form.Authority == "" {
			return r, setting.At("forms", i, errors.New("give authority, type and pattern, such as [0-9]{8}"))
		}
		r.Forms = append(r.Forms, record.Form{Kind: form.Kind, Pattern: pattern})
	}
	return r, nil
}

// Check says which setting can't be used. Errors are of package setting.
func (f *Format) Check() error {
	kinds := []string{"hl7", "csv", "fixed", "fhir"}
	if !slices.Contains(kinds, f.Kind) {
		return setting.Errorf("kind", "must be one of %s", strings.Join(kinds, ", "))
	}
	if err := f.checkSections(); err != nil {
		return err
	}
	set, err := charset.Of(f.Charset)
	if err != nil {
		return setting.In("charset", err)
	}
	if f.Kind == "fixed" && set.Wide() && f.Fixed.Unit != "characters" {
		return setting.Errorf("charset", "fields are cut by bytes: must be utf-8 or a charset of one byte for each character, or set fixed.unit to characters")
	}
	if _, err := setting.Zone(f.Zone); err != nil {
		return setting.In("zone", err)
	}
	if f.Container != "" && !slices.Contains(container.Kinds, f.Container) {
		return setting.Errorf("container", "must be one of %s", strings.Join(container.Kinds, ", "))
	}
	if _, err := f.rules(time.Time{}); err != nil {
		return err
	}
	if err := setting.OneOf("unended", f.Unended, "", "refuse", "take"); err != nil {
		return err
	}
	if _, err := path.Match(f.Members, ""); err != nil {
		return setting.Errorf("members", "must be a pattern, such as *.csv")
	}
	if f.Limits.Members < 0 || f.Limits.Bytes < 0 || f.Limits.Ratio < 0 {
		return setting.Errorf("limits", "must not be negative")
	}
	return nil
}

// checkSections checks the section of the kind, and that the file has no section of another kind.
func (f *Format) checkSections() error {
	given := map[string]bool{"hl7": f.HL7 != nil, "csv": f.CSV != nil, "fixed": f.Fixed != nil, "fhir": f.FHIR != nil}
	for name, is := range given {
		if is && name != f.Kind {
			return setting.Errorf(name, "the kind is %s; remove this section or change kind", f.Kind)
		}
	}
	switch {
	case f.Kind == "hl7":
		return f.hl7().Check()
	case f.Kind == "fhir":
		return f.fhir().Check()
	case !given[f.Kind]:
		return setting.Errorf(f.Kind, "missing")
	case f.Kind == "csv":
		return f.CSV.Check()
	}
	return f.Fixed.Check()
}

func (f *Format) hl7() *adt.Options {
	if f.HL7 == nil {
		return &adt.Options{}
	}
	return f.HL7
}

func (f *Format) fhir() *fhir.Options {
	if f.FHIR == nil {
		return &fhir.Options{}
	}
	return f.FHIR
}

// HasMessages reports whether records come in messages. Messages have numbers from their sender and can be
// acknowledged.
func (f *Format) HasMessages() bool { return f.Kind == "hl7" }

// HeadLines reports whether the lines before the first record name the columns.
func (f *Format) HeadLines() bool { return f.Kind == "csv" }

// OfOneRecord returns the format of a record that was cut out of a file. Such a record has no container, and no
// header or trailer that counts the file's records.
func (f *Format) OfOneRecord() *Format {
	one := *f
	one.Container, one.Members, one.Unended = "", "", "take"
	if set, err := charset.Of(f.Charset); err == nil && set.Wide() {
		one.Charset = ""
	}
	if f.CSV != nil {
		layout := *f.CSV
		layout.Trailer, one.CSV = nil, &layout
	}
	if f.Fixed != nil {
		layout := *f.Fixed
		layout.Header, layout.Trailer, one.Fixed = nil, nil, &layout
	}
	return &one
}
