package main_test

import (
	"strings"
	"testing"
)

// A date that an intake or a delivery would misunderstand is refused with its line and what to write.
func TestPartnersDatesAreOneLanguage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const csv = "partner: gp\nservice: patients\nstore: /nowhere\n"
	const intake = csv + "intake:\n  name: NAME\n  format:\n    kind: csv\n    csv:\n      map:\n        key: {column: ID}\n" +
		"        birth_date: {column: BORN, format: FORMAT}\n"
	const delivery = csv + "deliver:\n  name: 'x{sequence}_NAME'\n  format: csv\n  csv:\n    columns:\n      - {field: event}\n" +
		"      - {field: recorded_at, date: FORMAT}\n"
	for _, c := range []struct{ text, name, format, says string }{
		{intake, "a.csv", "dd.mm.yyyy hh:mi", `line 11: intake.format.csv.map.birth_date.format: hh is no part of a date; write HH`},
		{intake, "a.csv", "dd.mm.yyyy HH:mm", "line 11: intake.format.csv.map.birth_date.format: mm and mm both give the month; write one of them (months are mm, minutes MM)"},
		{intake, "a.csv", "MM/dd/yyyy", "line 11: intake.format.csv.map.birth_date.format: MM is the minute and needs HH; write mm for the month"},
		{intake, "a{yyyy}{MM}.csv", "iso", "line 5: intake.name: MM is the minute and needs HH; write mm for the month"},
		{delivery, "a", "dd.mm.yyyy hh:mi", `line 10: deliver.csv.columns.1.date: hh is no part of a date; write HH`},
		{delivery, "a", "DD.mm.yyyy", `line 10: deliver.csv.columns.1.date: DD is no part of a date; write dd`},
		{delivery, "{yyyy}{yyyy}", "dd.mm.yyyy", "line 5: deliver.name: yyyy and yyyy both give the year; write one of them (months are mm, minutes MM)"},
	} {
		s.write(block{file: "partners/gp.yaml", text: strings.NewReplacer("NAME", "'"+c.name+"'", "'x{sequence}_NAME'", "'x{sequence}_"+c.name+"'", "FORMAT", "'"+c.format+"'").Replace(c.text)})
		s.fails(2, []string{c.says}, "partner", "list")
	}
}
