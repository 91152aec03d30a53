package adt

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"strings"
	"time"

	"waybill/internal/setting"
	"waybill/partner/format/charset"
	"waybill/partner/format/hl7"
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
	Trigger              string `yaml:"trigger"`       // of all events but merges: A31 (default), A08
	CharacterSet         string `yaml:"character_set"` // MSH-18; default that of the charset
	SegmentEnd           string `yaml:"segment_end"`   // cr (default), lf, crlf
	Batch                *bool  `yaml:"batch"`         // FHS, BHS, BTS and FTS around the messages; default true
	// Absent says how a missing value that is allowed is written: delete (default), as "", or keep, as
	// an empty field.
	Absent    string    `yaml:"absent"`
	PatientID PatientID `yaml:"patient_id"`
	// Authorities maps the names of authorities to what the partner has in CX-4: a namespace, or &ID&TYPE.
	Authorities map[string]string `yaml:"authorities"`
}

// PatientID says how PID-3 holds the patient's id from the log.
type PatientID struct {
	Authority string `yaml:"authority"` // default WAYBILL
	Type      string `yaml:"type"`      // default PI
	Omit      bool   `yaml:"omit"`      // the partner knows patients by the allowed identifiers alone
}

// Writer writes the messages of files. Its methods append to a file in UTF-8.
type Writer struct {
	*hl7.Writer
	config  Config
	batch   bool
	allowed *record.Allowed
	zone    *time.Location
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
	end := ends[c.SegmentEnd]
	separators, err := hl7.ParseSeparators(c.Delimiters)
	if err != nil || len(c.Delimiters) != 5 {
		return nil, setting.Errorf("delimiters", `must be five different punctuation marks, like |^~\&`)
	}
	if c.PatientID.Omit && len(allowed.Identifiers) == 0 {
		return nil, setting.Errorf("patient_id.omit", "needs `identifiers`: the partner would have no key")
	}
	for name, theirs := range c.Authorities {
		if parts := universal(theirs); len(parts) != 1 && (len(parts) != 3 || parts[1] == "" || parts[2] == "") || theirs == "" {
			return nil, setting.Errorf("authorities."+name, "must be a namespace, such as NHS, or a universal id and its type, such as &2.16.840.1.113883.2.1.4.1&ISO")
		}
	}
	w := &Writer{Writer: hl7.NewWriter(separators, end), config: c, batch: c.Batch == nil || *c.Batch, allowed: allowed, zone: zone}
	return w, cmp.Or(
		setting.OneOf("version", c.Version, versions...),
		setting.OneOf("trigger", c.Trigger, "A31", "A08"),
		setting.OneOf("segment_end", c.SegmentEnd, "", "cr", "lf", "crlf"),
		setting.OneOf("absent", c.Absent, "delete", "keep"),
	)
}

// universal divides an authority of the settings, as HL7 usually does.
func universal(authority string) []string { return strings.Split(authority, "&") }

// Begin appends the envelope's headers.
func (w *Writer) Begin(to []byte, v pattern.Values) ([]byte, error) {
	if !w.batch {
		return to, nil
	}
	id := fmt.Sprint(v.Sequence)
	for _, name := range []string{"FHS", "BHS"} {
		to = w.Segment(to, name+w.config.Delimiters, w.Text(w.config.SendingApplication), w.Text(w.config.SendingFacility),
			w.Text(w.config.ReceivingApplication), w.Text(w.config.ReceivingFacility), w.stamp(v.At), "", "", "", id)
	}
	return to, nil
}

// End appends the trailers: the messages in the batch, the batches in the file.
func (w *Writer) End(to []byte, v pattern.Values) ([]byte, error) {
	if !w.batch {
		return to, nil
	}
	to = w.Segment(to, "BTS", fmt.Sprint(v.Rows))
	return w.Segment(to, "FTS", "1"), nil
}

// ErrNobody is a patient, or a survivor, without an identifier that the partner may see.
var ErrNobody = fmt.Errorf("a message would have no identifier of its patient; allow one (identifiers), or don't omit patient_id")

// Event appends an event's message. A record that was merged into another gets no message: HL7 has none
// for it.
func (w *Writer) Event(to []byte, e *record.Event, v pattern.Values, carry *charset.Encoder) ([]byte, error) {
	if e.Afterlife() {
		return to, nil
	}
	m := &message{Writer: w, event: e, carry: carry}
	retired := m.identifiers(e.Patient.String(), e.Identifiers)
	if m.err == nil && retired == "" {
		return nil, ErrNobody
	}
	switch e.Type {
	case schemas.Merged:
		return m.merge(w.header(to, "A40", e, v.At), retired)
	case schemas.Erased:
		to = w.Segment(w.header(to, "A29", e, v.At), "PID", "1", "", retired)
	default:
		to = m.pid(w.header(to, w.config.Trigger, e, v.At), retired, &e.Person, m.deathTime(), m.deathIndicator())
	}
	return w.Segment(to, "PV1", "1", "N"), m.err
}

// header appends MSH and EVN.
func (w *Writer) header(to []byte, trigger string, e *record.Event, at time.Time) []byte {
	kind := []string{"ADT", trigger}
	if w.config.Version != "2.3" {
		kind = append(kind, structures[trigger])
	}
	to = w.Segment(to, "MSH"+w.config.Delimiters, w.Text(w.config.SendingApplication), w.Text(w.config.SendingFacility),
		w.Text(w.config.ReceivingApplication), w.Text(w.config.ReceivingFacility), w.stamp(at), "",
		w.Components(kind...), ControlID(e), w.config.Processing, w.config.Version, "", "", "", "", "", w.Text(w.config.CharacterSet))
	return w.Segment(to, "EVN", trigger, e.RecordedAt.In(w.zone).Format("20060102150405.0000-0700"))
}

func (w *Writer) stamp(t time.Time) string { return t.Format("20060102150405-0700") }

// ControlID returns an event's MSH-10. An event always has the same one, and no other event has it.
func ControlID(e *record.Event) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %s %d %d %d", schemas.Stream, e.Patient, e.Generation, e.Version, e.Revision))
	return base32.StdEncoding.EncodeToString(sum[:])[:20]
}
