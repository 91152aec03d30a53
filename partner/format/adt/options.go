package adt

import (
	"cmp"
	"errors"
	"slices"

	"waybill/internal/setting"
	"waybill/partner/format/hl7"
	"waybill/partner/format/record"
)

// Options declare what a partner's HL7 v2 files don't say.
type Options struct {
	// Key says which of PID-3's identifiers the partner knows its patients by: the first of this
	// authority and type; what is empty matches any.
	Key record.Kind `yaml:"key"`
	// Identifiers are the fields of PID that have the patient's identifiers: pid-2, pid-3, pid-4, pid-19; default pid-3, or
	// pid-2 where that is empty.
	Identifiers []string `yaml:"identifiers"`
	// Authorities maps what the partner calls an authority (CX-4, its namespace or else its
	// universal id) to the name that it has here. Others keep theirs.
	Authorities map[string]string `yaml:"authorities"`
	// Messages are the message types from which patients are read. Default ADT and SIU; "*" means all.
	Messages []string `yaml:"messages"`
	// Deaths is the authority of the deaths the partner reports: informal (default) or formal.
	Deaths string `yaml:"deaths"`
	// Order is message (default): a patient's messages apply by EVN-2, EVN-6 or MSH-7, and a message older than one
	// seen before changes nothing; or file: they apply in the order of the file.
	Order string `yaml:"order"`
	// Totals says which odd headers and trailers refuse the whole file: by default those that show that something is
	// missing; strict: all; warn: none.
	Totals string `yaml:"totals"`
	// Sex maps further codes of PID-8 to male, female, other or unknown.
	Sex map[string]string `yaml:"sex"`
	// MaxMessage bounds a message, in bytes; default 16 MiB.
	MaxMessage int `yaml:"max_message"`
}

// identifierFields are the fields of PID that can have identifiers.
var identifierFields = map[string]int{"pid-2": 2, "pid-3": 3, "pid-4": 4, "pid-19": ssn}

// Check returns the first option that can't be used, as a [setting.Error].
func (o *Options) Check() error {
	for code, sex := range o.Sex {
		if err := setting.OneOf("hl7.sex."+code, sex, "male", "female", "other", "unknown"); err != nil {
			return err
		}
	}
	for i, field := range o.Identifiers {
		if identifierFields[field] == 0 {
			return setting.At("hl7.identifiers", i, errors.New("must be one of pid-2, pid-3, pid-4, pid-19"))
		}
	}
	if o.MaxMessage < 0 {
		return setting.Errorf("hl7.max_message", "must be 0 or more")
	}
	return cmp.Or(
		setting.OneOf("hl7.deaths", o.Deaths, "", record.Informal, record.Formal),
		setting.OneOf("hl7.order", o.Order, "", "message", "file"),
		setting.OneOf("hl7.totals", o.Totals, "", hl7.Warn, hl7.Strict),
	)
}

func (o *Options) takes(messageType string) bool {
	switch {
	case len(o.Messages) == 0:
		return messageType == "ADT" || messageType == "SIU"
	case slices.Contains(o.Messages, "*"):
		return true
	default:
		return slices.Contains(o.Messages, messageType)
	}
}
