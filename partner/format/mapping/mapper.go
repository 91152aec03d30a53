package mapping

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"waybill/partner/format/record"
)

// Mapper makes rows of known columns into records. It belongs to one goroutine.
type Mapper struct {
	m    *Map
	site record.Site

	used  []int    // the columns that are read at all
	texts []string // of the current row, one per used column
	buf   []byte
	ends  []int

	key, merged, sequence, control int // places in texts; none: -1
	family, given, line            []int
	city, postcode, country        int
	sex, status, void, name        int
	names                          names
	sexes, statuses                map[string]string
	birth, died, recorded          dated
	identifiers                    []int
	trim                           string
	deletes                        []string
	emptyDeletes                   bool
}

// dated is a mapped date: places of its columns in texts.
type dated struct {
	column, year, month, day, time int
	layout                         layout
	unknown                        []string
}

const none = -1

// New returns a mapper for rows that have the named columns; trim are the bytes to remove
// from both ends of a field. It refuses columns that the map needs and the row lacks.
func (m *Map) New(columns []string, trim string, site record.Site) (*Mapper, error) {
	r := &Mapper{m: m, site: site, trim: trim, deletes: m.Delete, emptyDeletes: m.Empty == "deleted", sexes: m.Sex.Values, statuses: m.Death.Status.Values}
	c := &compiler{mapper: r, at: make(map[string]int, len(columns))}
	for i, name := range columns {
		c.at[Name(name)] = i
	}
	for _, name := range m.Optional {
		c.optional = append(c.optional, Name(name))
	}
	r.key, r.merged, r.sequence, r.control = c.place(m.Key.Column), c.place(m.Merged), c.place(m.Sequence), c.place(m.Control)
	r.family, r.given, r.line = c.places(m.Family), c.places(m.Given), c.places(m.Address.Line)
	r.city, r.postcode, r.country = c.place(m.Address.City), c.place(m.Address.Postcode), c.place(m.Address.Country)
	r.sex, r.status, r.void = c.place(m.Sex.Column), c.place(m.Death.Status.Column), c.place(m.Death.Void.Column)
	r.name, r.names = c.place(m.Name.Column), m.Name.parse()
	r.birth, r.died, r.recorded = c.date(m.BirthDate), c.date(m.Death.Date), c.date(m.Recorded)
	for _, i := range m.Identifiers {
		r.identifiers = append(r.identifiers, c.place(i.Column))
	}
	if len(c.missing) > 0 {
		return nil, record.Malformedf("the header lacks %s", strings.Join(c.missing, ", "))
	}
	r.texts = make([]string, len(r.used))
	return r, nil
}

// compiler finds places for columns.
type compiler struct {
	mapper   *Mapper
	at       map[string]int
	optional []string
	missing  []string
}

func (c *compiler) place(column string) int {
	if column == "" {
		return none
	}
	name := Name(column)
	i, found := c.at[name]
	if !found {
		if !slices.Contains(c.optional, name) && !slices.Contains(c.missing, name) {
			c.missing = append(c.missing, name)
		}
		return none
	}
	if place := slices.Index(c.mapper.used, i); place >= 0 {
		return place
	}
	c.mapper.used = append(c.mapper.used, i)
	return len(c.mapper.used) - 1
}

func (c *compiler) places(columns []string) (places []int) {
	for _, column := range columns {
		if place := c.place(column); place != none {
			places = append(places, place)
		}
	}
	return places
}

func (c *compiler) date(d Date) dated {
	f, _ := parseLayout(d.Format) // Check has found no error in it
	return dated{c.place(d.Column), c.place(d.Year), c.place(d.Month), c.place(d.Day), c.place(d.Time), f, d.Unknown}
}

// Record makes a row's fields, in the sender's charset, into a record. The fields must have only characters that
// the charset has. The error says why the row is refused; it never repeats what the row holds.
func (r *Mapper) Record(where record.Where, fields [][]byte) (record.Record, error) {
	r.read(fields)
	out := record.Record{Where: where, Key: record.Identifier{Authority: r.authority(r.m.Key), Type: r.m.Key.Type, Value: r.at(r.key)}}
	out.Control = r.at(r.control)
	out.Identifiers = make([]record.Identifier, 0, 1+len(r.identifiers))
	if !r.m.Key.None {
		out.Identifiers = append(out.Identifiers, out.Key)
	}
	void, err := r.isVoid()
	if err == nil {
		err = r.readOrder(&out)
	}
	if void {
		out.Death.Status = record.Void
	} else if err == nil {
		err = r.readPerson(&out)
	}
	if err != nil {
		return out, err
	}
	return out, out.Finish(&r.site)
}

// readPerson reads what a row that is valid says about the patient.
func (r *Mapper) readPerson(out *record.Record) error {
	out.All = r.m.Complete
	out.Family, out.Given = r.joined(r.family, " "), r.joined(r.given, " ")
	out.Address = record.Address{Line: r.joined(r.line, ", "), City: r.said(r.city), Postcode: r.said(r.postcode), Country: r.said(r.country)}
	r.identify(out)
	if err := r.readDeath(out); err != nil {
		return err
	}
	if err := r.readName(out); err != nil {
		return err
	}
	if err := r.readBirth(out); err != nil {
		return err
	}
	if err := r.readSex(out); err != nil {
		return err
	}
	if merged := r.at(r.merged); merged != "" && !r.isDelete(merged) {
		out.Act = record.Merge
		out.Retired = record.Identifier{Authority: out.Key.Authority, Type: out.Key.Type, Value: merged}
	}
	return nil
}

// read decodes the fields that are used, with one allocation for all of them.
func (r *Mapper) read(fields [][]byte) {
	r.buf, r.ends = r.buf[:0], r.ends[:0]
	for _, i := range r.used {
		if i < len(fields) {
			r.buf, _ = r.site.Charset.Append(r.buf, r.trimmed(fields[i]))
		}
		r.ends = append(r.ends, len(r.buf))
	}
	all, from := string(r.buf), 0
	for i, end := range r.ends {
		r.texts[i], from = all[from:end], end
	}
}

func (r *Mapper) trimmed(field []byte) []byte {
	if n := len(field); n == 0 || field[0] > ' ' && field[n-1] > ' ' {
		return field
	}
	return bytes.Trim(field, r.trim)
}

func (r *Mapper) at(place int) string {
	if place == none {
		return ""
	}
	return r.texts[place]
}

func (r *Mapper) isDelete(text string) bool {
	return len(r.deletes) > 0 && slices.Contains(r.deletes, text)
}

func (r *Mapper) said(place int) record.Text {
	if place == none {
		return record.Text{}
	}
	return r.saying(r.texts[place])
}

// saying returns what a column's text says.
func (r *Mapper) saying(text string) record.Text {
	if text == "" && r.emptyDeletes || r.isDelete(text) {
		return record.Deleted
	}
	return record.Of(text)
}

func (r *Mapper) joined(places []int, separator string) record.Text {
	switch len(places) {
	case 0:
		return record.Text{}
	case 1:
		return r.said(places[0])
	}
	var out strings.Builder
	deleted := true
	for _, place := range places {
		text := r.said(place)
		deleted = deleted && text.Deleted
		if text.Value != "" {
			if out.Len() > 0 {
				out.WriteString(separator)
			}
			out.WriteString(text.Value)
		}
	}
	if deleted {
		return record.Deleted
	}
	return record.Of(out.String())
}

func (r *Mapper) authority(i Identifier) string {
	if i.Authority == "" {
		return r.site.Source
	}
	return i.Authority
}

func (r *Mapper) identify(out *record.Record) {
	for n, place := range r.identifiers {
		i := r.m.Identifiers[n]
		if value := r.at(place); value != "" && !r.isDelete(value) {
			out.Identifiers = append(out.Identifiers, record.Identifier{Authority: r.authority(i), Type: i.Type, Value: value})
		}
	}
}

func (r *Mapper) readSex(out *record.Record) error {
	text := r.said(r.sex)
	if r.sex == none || text.Deleted {
		out.Sex = text
		return nil
	}
	if len(r.sexes) == 0 && (text.Value == "" || slices.Contains(sexes, text.Value)) {
		out.Sex = text
		return nil
	}
	value, known := r.sexes[text.Value]
	if !known && text.Value != "" {
		return undeclared(r.m.Sex.Column)
	}
	out.Sex = record.Of(value)
	return nil
}

func (r *Mapper) readOrder(out *record.Record) error {
	if r.sequence != none && r.at(r.sequence) != "" {
		n, err := strconv.ParseInt(r.at(r.sequence), 10, 64)
		if err != nil || n < 1 {
			return fmt.Errorf("%s: not a number of at least 1", Name(r.m.Sequence))
		}
		out.Order.Sequence = n
	}
	t, err := r.instant(r.recorded)
	if err != nil {
		return record.Field(r.m.Recorded.name(), err)
	}
	out.Order.Event = t
	return nil
}

func (r *Mapper) instant(d dated) (time.Time, error) {
	known, err := r.known(d)
	if err != nil || known.IsZero() {
		return time.Time{}, err
	}
	return record.InstantOf(known, r.site.Zone)
}
