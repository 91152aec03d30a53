package mapping

import "waybill/partner/format/date"

// layout is how a column's dates are written.
type layout struct {
	iso bool // as FHIR writes them
	date.Layout
}

func parseLayout(text string) (l layout, err error) {
	if text == "" || text == "iso" {
		return layout{iso: true}, nil
	}
	if l.Layout, err = date.ParseLayout(text); err == nil {
		err = l.CheckRead()
	}
	return l, err
}

// Parse reads a date. A part that is 0 or in unknown is not known.
func (l layout) Parse(text string, unknown ...string) (date.Date, error) {
	if l.iso {
		return date.ParseFHIR(text)
	}
	return l.Layout.Parse(text, unknown...)
}

// birth returns a date as FHIR writes it, as exactly as it is known.
func birth(d date.Date) (string, error) {
	if !d.Exists() {
		return "", date.ErrFormat
	}
	return d.ISO(), nil
}
