package intake

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

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
	// Kind is hl7, csv, fixed or fhir; its section says more, and may be left out for hl7 and fhir.
	Kind  string        `yaml:"kind"`
	HL7   *adt.Options  `yaml:"hl7"`
	CSV   *table.Layout `yaml:"csv"`
	Fixed *fixed.Layout `yaml:"fixed"`
	FHIR  *fhir.Options `yaml:"fhir"`

	// Charset is utf-8 (default), utf-16 (with a byte order mark), utf-16le, utf-16be,
	// windows-1252, iso-8859-1 or iso-8859-15. What a file says of it itself (MSH-18) does not count.
	Charset string `yaml:"charset"`
	// Zone is the site's time zone, in which times without an offset are meant; default UTC.
	Zone string `yaml:"zone"`

	// Container is none (default), zip, gzip or zstd.
	Container string `yaml:"container"`
	// Members is a pattern for the names of a zip's files that are read; default all.
	Members string `yaml:"members"`
	// Limits bound what comes out of a container.
	Limits container.Limits `yaml:"limits"`
}

// Check says what can't be understood, by its name in the configuration.
func (f *Format) Check() error {
	if !slices.Contains([]string{"hl7", "csv", "fixed", "fhir"}, f.Kind) {
		return errors.New("kind: none of hl7, csv, fixed and fhir")
	}
	if err := f.checkSections(); err != nil {
		return err
	}
	if _, err := charset.Of(f.Charset); err != nil {
		return record.Field("charset", err)
	}
	if _, err := f.zone(); err != nil {
		return err
	}
	if f.Container != "" && !slices.Contains(container.Kinds, f.Container) {
		return fmt.Errorf("container: none of %q", container.Kinds)
	}
	if _, err := path.Match(f.Members, ""); err != nil {
		return errors.New("members: not a pattern")
	}
	if f.Limits.Members < 0 || f.Limits.Bytes < 0 || f.Limits.Ratio < 0 {
		return errors.New("limits: one is below 0")
	}
	return nil
}

// checkSections looks at the section of the kind, and that no other is there.
func (f *Format) checkSections() error {
	given := map[string]bool{"hl7": f.HL7 != nil, "csv": f.CSV != nil, "fixed": f.Fixed != nil, "fhir": f.FHIR != nil}
	for name, there := range given {
		if there && name != f.Kind {
			return fmt.Errorf("%s: the kind is %s", name, f.Kind)
		}
	}
	switch f.Kind {
	case "hl7":
		return f.hl7().Check()
	case "fhir":
		return f.fhir().Check()
	}
	if !given[f.Kind] {
		return fmt.Errorf("%s: missing", f.Kind)
	}
	if f.Kind == "csv" {
		return f.CSV.Check()
	}
	if set, err := charset.Of(f.Charset); err == nil && set.Wide() {
		return errors.New("charset: a character of UTF-16 is no byte, and fields are cut by bytes")
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

func (f *Format) zone() (*time.Location, error) {
	if f.Zone == "Local" {
		return nil, errors.New("zone: that of one machine")
	}
	zone, err := time.LoadLocation(f.Zone)
	if err != nil {
		return nil, errors.New("zone: not a name of the time zone database, like Europe/London")
	}
	return zone, nil
}
