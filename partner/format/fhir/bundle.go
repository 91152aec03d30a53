package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"waybill/partner/format/record"
)

// bundle reads one Bundle. Its entries may depend on each other, so they are held until its end. If it has too many
// entries, each is read alone, and an entry that needs another is refused.
type bundle struct {
	*reader
	message *bundle // the message that has this Bundle as its content, or nil
	place   func(from, to int64) record.Where
	whole   []byte // its text
	span    record.Where
	alone   bool

	page
	kind, sent string
	numbers    []string // of the death certificate
	event      string   // of a message
	parameters *parameters
	held       []*held
	deaths     []*statement
	dead       map[string]bool // Patients whose death was handed out, by id and by fullUrl
}

// held is an entry that was read and waits for the others: a Patient, a Bundle, or one that asks for nothing.
type held struct {
	record.Where
	text    []byte
	url     string
	patient *patient
	nested  []byte
	deaths  []*statement // of the Patient
	err     error
}

const (
	maxHeld  = 1000 // entries; a death record has about 50
	maxDead  = 1 << 16
	maxDepth = 3
)

// tolerant makes a Bundle's decoder accept bad entries. The decoding of each entry is strict, so that a bad one
// costs only itself.
var tolerant = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

// bundle hands out the records of a Bundle that is in memory, alone or as the content of a message.
func (f *reader) bundle(text []byte, where record.Where, message *bundle) error {
	b := &bundle{reader: f, message: message, whole: text, span: where, place: func(_, _ int64) record.Where { return where }}
	if message != nil {
		b.whole = message.whole
	}
	before := f.met
	err := b.read(jsontext.NewDecoder(bytes.NewReader(text), tolerant))
	if err == nil || errors.Is(err, errStopped) {
		return err
	}
	f.met = before
	f.meet(text)
	return f.refuse(b.whole, where, plain(err))
}

var bundleNames = namesOf("resourceType", "id", "meta", "implicitRules", "language", "identifier", "type", "timestamp", "total", "link", "entry", "signature", "issues")

func (b *bundle) read(d *jsontext.Decoder) error {
	if err := open(d); err != nil {
		return err
	}
	var seen []string
	for d.PeekKind() == '"' {
		name, err := bundleNames.next(d)
		if err == nil && slices.Contains(seen, name) {
			err = jsontext.ErrDuplicateName
		}
		if err == nil {
			err = b.member(name, d)
		}
		if err != nil {
			return member(name, err)
		}
		seen = append(seen, name)
	}
	if err := end(d); err != nil {
		return err
	}
	if !slices.Contains(seen, "resourceType") {
		return errors.New("no FHIR resource")
	}
	b.turn(b.page)
	return b.settle()
}

func (b *bundle) member(name string, d *jsontext.Decoder) error {
	switch name {
	case "resourceType":
		var kind string
		err := json.UnmarshalDecode(d, &kind)
		if err == nil && kind != "Bundle" {
			err = fmt.Errorf("%s, neither Patient nor Bundle", nameOf(kind))
		}
		return err
	case "type":
		return json.UnmarshalDecode(d, &b.kind)
	case "timestamp":
		return json.UnmarshalDecode(d, &b.sent)
	case "identifier":
		var own identifier
		err := json.UnmarshalDecode(d, &own)
		b.number(own.Value)
		return err
	case "implicitRules":
		return errors.New("implicitRules may change what the Bundle means")
	case "total":
		return json.UnmarshalDecode(d, &b.total)
	case "link":
		return each(d, b.link)
	case "entry":
		return each(d, func(text []byte) error {
			to := d.InputOffset()
			return b.entry(text, b.place(to-int64(len(text)), to))
		})
	}
	return d.SkipValue()
}

// each reads an array, and calls take with each of its values.
func each(d *jsontext.Decoder, take func(text []byte) error) error {
	if d.PeekKind() != '[' {
		return errType
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		text, err := d.ReadValue()
		if err == nil {
			err = take(text)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.ReadToken()
	return err
}

type entry struct {
	FullURL  string         `json:"fullUrl"`
	Resource jsontext.Value `json:"resource"`
	Request  struct {
		Method string `json:"method"`
	} `json:"request"`
	Search struct {
		Mode string `json:"mode"`
	} `json:"search"`
	modifiers
}

// entry reads one entry. It treats resources other than Patients, remarks of the server, and deletions as asking
// for nothing. A deletion is neither a death nor a retraction.
func (b *bundle) entry(text []byte, where record.Where) error {
	e, h := entry{}, &held{Where: where, text: text}
	if h.err = b.unreadable(text); h.err == nil {
		h.err = decode(text, &e)
	}
	if h.err == nil {
		h.err = e.check()
	}
	b.count(e.Search.Mode)
	before := b.met
	if h.url = e.FullURL; h.err == nil && e.Resource != nil && e.Request.Method != http.MethodDelete {
		h.err = b.resource(h, e.Resource)
	}
	if before == b.met && h.nested == nil && b.meet(text) > 0 && h.err == nil && e.Request.Method != http.MethodDelete {
		h.err = errContained
	}
	if b.alone {
		return b.handHeld(h)
	}
	h.text = nil
	if h.err != nil || h.patient != nil {
		h.text = bytes.Clone(text)
	}
	b.held = append(b.held, h)
	if len(b.held) > maxHeld {
		err := b.settle()
		b.alone, b.held, b.deaths = true, nil, nil
		return err
	}
	return nil
}

func (b *bundle) resource(h *held, text []byte) (err error) {
	switch kind := kindOf(text); kind {
	case "":
		return errors.New("no FHIR resource")
	case "Patient":
		h.patient, err = b.patient(text)
		return err
	case "Bundle":
		if b.alone || b.depth() == maxDepth {
			return errors.New("a Bundle in a Bundle that is too large, or nested too deep")
		}
		h.nested = bytes.Clone(text)
		return nil
	default:
		return b.other(kind, h, text)
	}
}

func (b *bundle) depth() int {
	if b.message == nil {
		return 1
	}
	return b.message.depth() + 1
}

// settle hands out the records of the held entries, read together.
func (b *bundle) settle() error {
	if b.kind == "history" {
		return errors.New("a Bundle of type history has the newest first: have the current state sent")
	}
	if b.alone {
		return nil
	}
	if done, err := b.settleMessage(); done || err != nil {
		for _, h := range b.held {
			b.meet(h.nested)
		}
		return err
	}
	b.join()
	for _, h := range b.held {
		if err := b.handHeld(h); err != nil {
			return err
		}
	}
	return nil
}

func (b *bundle) handHeld(h *held) error {
	switch {
	case h.err != nil:
	case h.nested != nil:
		return b.bundle(h.nested, b.span, b)
	case h.patient == nil:
		return b.hand(record.Record{Where: h.Where, Act: record.Pass}, nil)
	default:
		all, err := b.records(h)
		if err == nil {
			return b.handAll(all)
		}
		h.err = err
	}
	return b.refuse(h.text, h.Where, h.err)
}
