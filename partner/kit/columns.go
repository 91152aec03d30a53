package kit

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"waybill/partner/format/date"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
)

// column is what a column or field of a partner's rows is for.
type column struct {
	name    string
	meaning string
	text    func(e *record.Event) string // how an example's value is written in it; "": not at all
}

// columnsOf returns the columns that a map reads, each once for each of its purposes.
func columnsOf(m *mapping.Map) (all []column) {
	add := func(name, meaning string, text func(*record.Event) string) {
		if name != "" {
			all = append(all, column{name, meaning, text})
		}
	}
	several := func(names mapping.Columns, meaning string, text func(*record.Event) string) {
		for i, name := range names {
			if i > 0 {
				meaning, text = meaning+", continued", nothing
			}
			add(name, meaning, text)
		}
	}
	add(m.Key.Column, "your number of the patient; never empty", key)
	for _, i := range m.Identifiers {
		add(i.Column, "a number of the patient, of "+cmp.Or(i.Authority, "your own system"), nothing)
	}
	several(m.Family, "family name", func(e *record.Event) string { return e.Family })
	several(m.Given, "given name", func(e *record.Event) string { return e.Given })
	add(m.Name.Column, "both names, as "+m.Name.Pattern, func(e *record.Event) string {
		return strings.NewReplacer("{family}", e.Family, "{given}", e.Given).Replace(m.Name.Pattern)
	})
	all = append(all, dated(m.BirthDate, "date of birth", func(e *record.Event) string { return e.BirthDate })...)
	add(m.Sex.Column, "sex: "+codes(m.Sex), func(e *record.Event) string { return code(m.Sex, e.Sex) })
	several(m.Address.Line, "street and house", func(e *record.Event) string { return e.Address.Line })
	add(m.Address.City, "city", func(e *record.Event) string { return e.Address.City })
	add(m.Address.Postcode, "postcode", func(e *record.Event) string { return e.Address.Postcode })
	add(m.Address.Country, "country", func(e *record.Event) string { return e.Address.Country })
	add(m.Death.Status.Column, "whether the patient is dead: "+codes(m.Death.Status), func(e *record.Event) string {
		return cmp.Or(code(m.Death.Status, e.Status), code(m.Death.Status, map[bool]string{true: record.Formal}[e.Dead()]))
	})
	all = append(all, dated(m.Death.Date, "date of death", died)...)
	add(m.Death.Void.Column, "whether the row is void, and retracts the death: "+codes(m.Death.Void), func(*record.Event) string { return code(m.Death.Void, "valid") })
	add(m.Merged, "the number of a record that was merged into this one", nothing)
	add(m.Sequence, "your own number of the row, which grows", func(e *record.Event) string { return fmt.Sprint(e.Version) })
	all = append(all, dated(m.Recorded, "when you recorded the row", func(e *record.Event) string { return e.RecordedAt.Format("2006-01-02") })...)
	add(m.Control, "your own name of the row, which reports repeat", func(e *record.Event) string { return fmt.Sprint("R", e.Version) })
	return all
}

func nothing(*record.Event) string { return "" }

func key(e *record.Event) string { return e.Identifiers[0].Value }

// died returns an example's day of death.
func died(e *record.Event) string {
	if e.Death.Precision == "" {
		return ""
	}
	return e.Death.Earliest.Add(e.Death.Latest.Sub(e.Death.Earliest) / 2).Format("2006-01-02")
}

// dated returns the columns of a date; iso returns an example's as YYYY-MM-DD.
func dated(d mapping.Date, meaning string, iso func(*record.Event) string) (all []column) {
	unknown := ""
	if len(d.Unknown) > 0 {
		unknown = fmt.Sprintf(" (%s where it is not known)", strings.Join(d.Unknown, " or "))
	}
	part := func(name, what string, from, to int) {
		if name != "" {
			all = append(all, column{name, meaning + what + unknown, func(e *record.Event) string {
				if text := iso(e); len(text) == len("2006-01-02") {
					return text[from:to]
				}
				return ""
			}})
		}
	}
	part(d.Year, ", year of four digits", 0, 4)
	part(d.Month, ", month of two digits", 5, 7)
	part(d.Day, ", day of two digits", 8, 10)
	written := cmp.Or(d.Format, "iso")
	if d.Column != "" {
		all = append(all, column{d.Column, fmt.Sprintf("%s, as %s%s", meaning, strings.Replace(written, "iso", "yyyy-mm-dd", 1), unknown), func(e *record.Event) string { return writtenAs(written, iso(e)) }})
	}
	if d.Time != "" {
		all = append(all, column{d.Time, meaning + ", time of day as HHMM" + unknown, nothing})
	}
	return all
}

// writtenAs returns a date as a layout has it. A date that the calendar lacks is written in the same way.
func writtenAs(format, iso string) string {
	layout, err := date.ParseLayout(format)
	if err != nil || iso == "" { // the layout is iso, or the example has no date
		return iso
	}
	var d date.Date
	if _, err := fmt.Sscanf(iso, "%d-%d-%d", &d.Year, &d.Month, &d.Day); err != nil {
		return iso
	}
	if d.Exists() {
		return layout.Format(d)
	}
	const stands = 11 // for the day; replaced below
	day := fmt.Sprint(d.Day)
	d.Day = stands
	return strings.Replace(layout.Format(d), fmt.Sprint(stands), day, 1)
}

// inWords are the vital statuses in a partner's words.
var inWords = map[string]string{
	record.Alive: "not dead", record.Informal: "dead", record.Formal: "dead, as registered", record.Void: "reported dead by mistake, or void",
}

// codes lists the codes of a column and what they mean.
func codes(c mapping.Code) string {
	var list []string
	for _, code := range slices.Sorted(maps.Keys(c.Values)) {
		shown := code
		if code == "" {
			shown = "empty"
		}
		list = append(list, fmt.Sprintf("%s = %s", shown, cmp.Or(inWords[c.Values[code]], c.Values[code], "not said")))
	}
	if list == nil {
		return "in our words"
	}
	return strings.Join(list, ", ")
}

// code returns the code of a meaning; a column without codes has the meaning itself.
func code(c mapping.Code, meaning string) string {
	if len(c.Values) == 0 {
		return meaning
	}
	for _, code := range slices.Sorted(maps.Keys(c.Values)) {
		if c.Values[code] == meaning {
			return code
		}
	}
	return ""
}
