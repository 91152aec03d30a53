package adt

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"slices"
	"strings"
	"time"

	"waybill/internal/setting"
	"waybill/partner/format/charset"
	"waybill/partner/format/pattern"
	"waybill/partner/format/record"
	"waybill/schemas"
)

// Config declares the dialect. The zero value of most is a default.
type Config struct {
	Version              string `yaml:"version"`    // of HL7: 2.3 to 2.8; default 2.5.1
	Delimiters           string `yaml:"delimiters"` // MSH-1 and MSH-2; default |^~\&
	SendingApplication   string `yaml:"sending_application"`
	SendingFacility      string `yaml:"sending_facility"`
	ReceivingApplication string `yaml:"receiving_application"`
	ReceivingFacility    string `yaml:"receiving_facility"`
	Processing           string `yaml:"processing"`    // MSH-11; default P
	Trigger              string `yaml:"trigger"`       // of what is no merge: A31 (default), A08
	CharacterSet         string `yaml:"character_set"` // MSH-18; default that of the charset
	SegmentEnd           string `yaml:"segment_end"`   // cr (default), lf, crlf
	Batch                *bool  `yaml:"batch"`         // FHS, BHS, BTS and FTS around the messages; default true
	// Absent says how a value that is allowed and not there is told: delete (default), as "", or
	// keep, as an empty field.
	Absent    string    `yaml:"absent"`
	PatientID PatientID `yaml:"patient_id"`
}

// PatientID is how PID-3 has the patient's id of the log.
type PatientID struct {
	Authority string `yaml:"authority"` // default WAYBILL
	Type      string `yaml:"type"`      // default PI
	Omit      bool   `yaml:"omit"`      // the partner knows patients by the allowed identifiers alone
}

// Writer writes the messages of files. Its methods append to a file in UTF-8.
type Writer struct {
	config  Config
	batch   bool
	end     string
	allowed *record.Allowed
	zone    *time.Location
	escape  *strings.Replacer
	field, component, repetition,
	subcomponent string
}

var (
	versions   = []string{"2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8"}
	ends       = map[string]string{"": "\r", "cr": "\r", "lf": "\n", "crlf": "\r\n"}
	charsets   = map[string]string{"utf-8": "UNICODE UTF-8", "iso-8859-1": "8859/1", "iso-8859-15": "8859/15"}
	structures = map[string]string{"A08": "ADT_A01", "A31": "ADT_A05", "A40": "ADT_A39", "A29": "ADT_A21"}
)

func (c *Config) defaults(charset string) {
	for value, otherwise := range map[*string]string{
		&c.Version: "2.5.1", &c.Delimiters: `|^~\&`, &c.Processing: "P", &c.Trigger: "A31", &c.CharacterSet: charsets[charset],
		&c.Absent: "delete", &c.PatientID.Authority: "WAYBILL", &c.PatientID.Type: "PI", &c.SendingApplication: "WAYBILL",
	} {
		if *value == "" {
			*value = otherwise
		}
	}
}

// New checks a configuration. Times are written in the zone.
func New(c Config, charset string, allowed *record.Allowed, zone *time.Location) (*Writer, error) {
	c.defaults(charset)
	end, known := ends[c.SegmentEnd]
	switch {
	case !slices.Contains(versions, c.Version):
		return nil, setting.Errorf("version", "one of %s", strings.Join(versions, ", "))
	case !validDelimiters(c.Delimiters):
		return nil, setting.Errorf("delimiters", `five different punctuation marks, like |^~\&`)
	case c.Trigger != "A31" && c.Trigger != "A08":
		return nil, setting.Errorf("trigger", "either A31 or A08")
	case !known:
		return nil, setting.Errorf("segment_end", "one of cr, lf, crlf")
	case c.Absent != "delete" && c.Absent != "keep":
		return nil, setting.Errorf("absent", "either delete or keep")
	case c.PatientID.Omit && len(allowed.Identifiers) == 0:
		return nil, setting.Errorf("patient_id.omit", "then the partner needs identifiers to know patients by (identifiers)")
	}
	d := c.Delimiters
	w := &Writer{
		config: c, batch: c.Batch == nil || *c.Batch, end: end, allowed: allowed, zone: zone,
		field: d[0:1], component: d[1:2], repetition: d[2:3], subcomponent: d[4:5],
	}
	w.escape = escapes(d)
	return w, nil
}

func validDelimiters(d string) bool {
	if len(d) != 5 {
		return false
	}
	for i, b := range []byte(d) {
		if b <= ' ' || b > '~' || b == '"' || isAlphanumeric(b) || strings.IndexByte(d, b) != i {
			return false
		}
	}
	return true
}

func isAlphanumeric(b byte) bool {
	return '0' <= b && b <= '9' || 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z'
}

// escapes makes delimiters and control characters into escape sequences.
func escapes(d string) *strings.Replacer {
	esc := d[3:4]
	pairs := []string{d[0:1], esc + "F" + esc, d[1:2], esc + "S" + esc, d[2:3], esc + "R" + esc, esc, esc + "E" + esc, d[4:5], esc + "T" + esc}
	for b := 1; b < ' '; b++ {
		pairs = append(pairs, string(rune(b)), fmt.Sprintf("%sX%02X%s", esc, b, esc))
	}
	return strings.NewReplacer(pairs...)
}

// text makes a value one that can stand in a field. Two quotes alone would mean that it is deleted.
func (w *Writer) text(value string) string {
	if value == `""` {
		esc := w.config.Delimiters[3:4]
		return esc + "X2222" + esc
	}
	return w.escape.Replace(value)
}

// Begin appends the envelope's headers.
func (w *Writer) Begin(to []byte, v pattern.Values) ([]byte, error) {
	if !w.batch {
		return to, nil
	}
	id := fmt.Sprint(v.Sequence)
	for _, name := range []string{"FHS", "BHS"} {
		to = w.segment(to, name+w.config.Delimiters, w.text(w.config.SendingApplication), w.text(w.config.SendingFacility),
			w.text(w.config.ReceivingApplication), w.text(w.config.ReceivingFacility), w.stamp(v.At), "", "", "", id)
	}
	return to, nil
}

// End appends the trailers: the messages in the batch, the batches in the file.
func (w *Writer) End(to []byte, v pattern.Values) ([]byte, error) {
	if !w.batch {
		return to, nil
	}
	to = w.segment(to, "BTS", fmt.Sprint(v.Rows))
	return w.segment(to, "FTS", "1"), nil
}

// ErrNobody is a patient, or a survivor, of whom the partner may know no identifier.
var ErrNobody = fmt.Errorf("a message would have no identifier of its patient")

// Event appends an event's message, or nothing for what HL7 can't say: what happens to a record
// after it was merged into another.
func (w *Writer) Event(to []byte, e *record.Event, v pattern.Values, carry *charset.Encoder) ([]byte, error) {
	if e.Afterlife() {
		return to, nil
	}
	m := message{w, e, carry}
	retired := m.identifiers(e.Patient.String(), e.Identifiers)
	if retired == "" {
		return nil, ErrNobody
	}
	switch e.Type {
	case schemas.Merged:
		return m.merge(w.header(to, "A40", e, v.At), retired)
	case schemas.Erased:
		to = w.segment(w.header(to, "A29", e, v.At), "PID", "1", "", retired)
	default:
		to = m.pid(w.header(to, w.config.Trigger, e, v.At), retired, &e.Person, m.deathTime(), m.deathIndicator())
	}
	return w.segment(to, "PV1", "1", "N"), nil
}

// header appends MSH and EVN.
func (w *Writer) header(to []byte, trigger string, e *record.Event, at time.Time) []byte {
	kind := []string{"ADT", trigger}
	if w.config.Version != "2.3" {
		kind = append(kind, structures[trigger])
	}
	to = w.segment(to, "MSH"+w.config.Delimiters, w.text(w.config.SendingApplication), w.text(w.config.SendingFacility),
		w.text(w.config.ReceivingApplication), w.text(w.config.ReceivingFacility), w.stamp(at), "",
		strings.Join(kind, w.component), ControlID(e), w.config.Processing, w.config.Version, "", "", "", "", "", w.text(w.config.CharacterSet))
	return w.segment(to, "EVN", trigger, e.RecordedAt.In(w.zone).Format("20060102150405.0000-0700"))
}

// segment appends a segment without the empty fields at its end.
func (w *Writer) segment(to []byte, name string, fields ...string) []byte {
	last := len(fields)
	for last > 0 && fields[last-1] == "" {
		last--
	}
	to = append(to, name...)
	for _, f := range fields[:last] {
		to = append(append(to, w.field...), f...)
	}
	return append(to, w.end...)
}

func (w *Writer) stamp(t time.Time) string { return t.Format("20060102150405-0700") }

// ControlID is an event's MSH-10: always the same, and no other event's.
func ControlID(e *record.Event) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %d %d", schemas.Stream, e.Patient, e.Generation, e.Version, e.Revision))
	return base32.StdEncoding.EncodeToString(sum[:])[:20]
}
