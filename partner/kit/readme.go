package kit

import (
	"cmp"
	"fmt"
	"strings"

	"waybill/partner/envelope"
	"waybill/partner/format/fixed"
	"waybill/partner/format/mapping"
	"waybill/partner/format/record"
	"waybill/partner/format/table"
	"waybill/partner/intake/drop"
	"waybill/partner/intake/inbox"
)

// readme returns the rules in words.
func (r *Rules) readme(samples bool, sealed string) string {
	s, f := r.Intake, &r.Intake.Format
	var b strings.Builder
	say := func(format string, values ...any) { fmt.Fprintf(&b, format+"\n", values...) }
	say("# Files for us, from %s\n", r.Partner)
	say("These are the rules by which we read your files. You can try a file on your own machine before you send it: nothing is sent,")
	say("and the program needs no network and no password.\n")
	say("## Try a file\n\n    ./waybill validate FILE\n")
	say("in this folder, on Linux (elsewhere: `waybill validate FILE --rules PATH/%s`). It says for each record that we would set aside", RulesFile)
	say("its line and the reason, and ends with exit code 0 if all is in order, 3 if something must be corrected.")
	say("Its words are those of our answers. It repeats nothing of what a file says of a patient.\n")
	say("%s.\n", strings.ToUpper(Unknown[:1])+Unknown[1:])
	if samples {
		say("`right/` has a file as it should be, `wrong/` one with mistakes, and in `answer.txt` what we say to it. The people in them are made up.\n")
	}
	say("## The file\n\n- Its name is like `%s` (`%s`).", s.SampleName(), s.Name)
	say("- It is complete when %s.", complete(&s.Ready))
	if s.Folder != "" {
		say("- It lies in the folder `%s`.", s.Folder)
	}
	say("- %s, in the charset %s%s.", kinds[f.Kind], cmp.Or(f.Charset, "utf-8"), packed(f.Container))
	say("- Times without an offset are times in %s.", r.Zone)
	if f.Unended != "take" {
		say("- The last line ends in a line end. Without it nobody can know that the line is whole.")
	}
	say("- An empty file is %s.", map[string]string{"take": "fine: there was nothing to say"}[s.Empty]+map[string]string{"refuse": "refused"}[s.Empty])
	b.WriteString(sealed)
	b.WriteString(content(s))
	say("\n## What we set aside\n\nA record is set aside, and has no effect:\n")
	say("- without your number of the patient, or with one that is none: zeros, one digit repeated, `NULL`, `#N/A`, `9.43E+09` and their like")
	if len(f.Fillers) > 0 {
		say("- with one of these in its place: `%s`", strings.Join(f.Fillers, "`, `"))
	}
	for _, form := range f.Forms {
		say("- with a number of %s%s that does not look like `%s`", form.Authority, blankBefore(form.Type), form.Pattern)
	}
	say("- with a death in the future, or before the birth")
	say("- with a date that no calendar has, a birth before 1800 or after today (a death is taken without its birth date)")
	say("- with a code that is not in these rules")
	say("- that may be cut off, or joined with another\n")
	if len(f.Placeholders) > 0 {
		say("These stand for no date: `%s`.\n", strings.Join(f.Placeholders, "`, `"))
	}
	say("With more than %d of them the whole file is refused; correct it and send it again.", s.Quarantine)
	b.WriteString(afterwards(s))
	return b.String()
}

// complete says when a file is taken as complete.
func complete(r *drop.Ready) string {
	switch {
	case r.Trigger != "":
		return "`" + r.Trigger + "` is next to it: write that last"
	case r.Mesh != nil:
		return "its control file says that the transfer succeeded"
	case r.Unchanged > 0:
		return "it no longer changes"
	}
	return "it has its name: write it under another one, and rename it"
}

// sealedAs says how files are encrypted and signed, with our public keys.
func sealedAs(o *envelope.Opening) (string, error) {
	keys, err := o.Read()
	if keys == nil {
		return "", err
	}
	var b strings.Builder
	if public := keys.Public(); len(public) > 0 {
		fmt.Fprintf(&b, "- It is encrypted to `%s`; its name may then end in `%s`. One that is open is refused. Try it before you encrypt it.\n",
			strings.Join(public, "` or `"), strings.Join(o.Suffixes(), "` or `"))
	}
	switch {
	case o.Signature != "":
		fmt.Fprintf(&b, "- It is signed: `%s` has the OpenPGP signature of the file as you send it (`gpg --detach-sign`). Write the signature first.\n", o.Signature)
	case len(o.SignedBy) > 0:
		b.WriteString("- It is signed with your OpenPGP key (`gpg --sign`).\n")
	}
	return b.String(), err
}

var kinds = map[string]string{
	"csv": "A table (CSV)", "fixed": "Records of fixed width", "hl7": "HL7 version 2 messages", "fhir": "FHIR R4 Patients, as NDJSON, a resource or a Bundle",
}

func packed(container string) string {
	if container == "" || container == "none" {
		return ""
	}
	return ", packed as " + container
}

func blankBefore(text string) string {
	if text == "" {
		return ""
	}
	return " " + text
}

// content says what the records hold.
func content(s *inbox.Settings) string {
	f := &s.Format
	switch f.Kind {
	case "csv":
		return csvContent(f.CSV)
	case "fixed":
		return fixedContent(f.Fixed)
	case "hl7":
		key := record.Kind{}
		if f.HL7 != nil {
			key = f.HL7.Key
		}
		return fmt.Sprintf("\n## The messages\n\nADT messages. Your number of the patient is in PID-3, %s; names in PID-5, birth date in PID-7, sex in PID-8,\n"+
			"address in PID-11, date of death in PID-29, `Y` or `N` in PID-30; in a merge the number that ends is in MRG-1. MSH-10 is different in each message.\n", keyWords(key, "CX-4", "CX-5"))
	}
	key := record.Kind{}
	if f.FHIR != nil {
		key = f.FHIR.Key
	}
	if key.Authority == "" {
		return "\n## The resources\n\nYour number of the patient is the resource's `id`. A death is `deceasedDateTime` or `deceasedBoolean`.\n"
	}
	return fmt.Sprintf("\n## The resources\n\nYour number of the patient is the `identifier` %s. A death is `deceasedDateTime` or `deceasedBoolean`.\n", keyWords(key, "`system`", "`type`"))
}

func keyWords(key record.Kind, authority, kind string) string {
	var words []string
	if key.Authority != "" {
		words = append(words, fmt.Sprintf("with %s `%s`", authority, key.Authority))
	}
	if key.Type != "" {
		words = append(words, fmt.Sprintf("with %s `%s`", kind, key.Type))
	}
	return cmp.Or(strings.Join(words, " and "), "the first one")
}

func csvContent(l *table.Layout) string {
	var b strings.Builder
	columns := columnsOf(&l.Map)
	fmt.Fprintf(&b, "- Columns are separated by `%s`, text with it is in `%s`.\n", cmp.Or(l.Delimiter, ","), cmp.Or(l.Quote, `"`))
	switch l.Header {
	case "none":
		fmt.Fprintf(&b, "- There is no header. The columns are: %s.\n", strings.Join(l.Columns, ", "))
	case "exact":
		fmt.Fprintf(&b, "- The first line is the header, exactly: %s.\n", strings.Join(l.Columns, ", "))
	default:
		b.WriteString("- The first line is the header; columns may be in any order, and there may be more.\n")
	}
	if t := l.Trailer; t != nil {
		fmt.Fprintf(&b, "- The last line begins with `%s`%s. Without it the file is refused.\n", t.Starts, counted(t.Count, "column"))
	}
	b.WriteString(allDead(&l.Map))
	b.WriteString("\n## The columns\n\n| column | |\n|---|---|\n")
	for _, c := range columns {
		name := c.name
		for theirs, ours := range l.Renamed {
			if mapping.Name(ours) == mapping.Name(name) {
				name = theirs + " or " + name
			}
		}
		fmt.Fprintf(&b, "| %s | %s |\n", name, c.meaning)
	}
	return b.String()
}

func allDead(m *mapping.Map) string {
	if !m.Death.Always {
		return ""
	}
	return "- Each record is of a dead patient, also without a date.\n"
}

func counted(at int, unit string) string {
	if at == 0 {
		return ""
	}
	return fmt.Sprintf(" and has the number of records in %s %d", unit, at)
}

func fixedContent(l *fixed.Layout) string {
	var b strings.Builder
	unit := cmp.Or(l.Unit, "bytes")
	fmt.Fprintf(&b, "- A record has %d %s%s.\n", l.Length, unit, map[bool]string{true: "; blanks at its end may be missing"}[l.Short == "pad"])
	if l.Ends == "none" {
		b.WriteString("- There are no line ends.\n")
	}
	if n := l.Lines; n != nil {
		fmt.Fprintf(&b, "- A record has several lines: each has its code at place %d, the first `%s`, the others `%s`.\n", max(n.At, 1), n.Head, strings.Join(n.More, "`, `"))
	}
	for i, m := range []*fixed.Mark{l.Header, l.Trailer} {
		if m != nil {
			fmt.Fprintf(&b, "- The %s line begins with `%s`%s. Without it the file is refused.\n", []string{"first", "last"}[i], m.Starts, counted(m.Count.From, "place"))
		}
	}
	b.WriteString(allDead(&l.Map))
	fmt.Fprintf(&b, "\n## The fields\n\nPlaces count %s from 1.\n\n| field | line | from | length | |\n|---|---|---|---|---|\n", unit)
	columns := columnsOf(&l.Map)
	for _, f := range l.Fields {
		var meanings []string
		for _, c := range columns {
			if mapping.Name(c.name) == mapping.Name(f.Name) {
				meanings = append(meanings, c.meaning)
			}
		}
		if len(meanings) > 0 {
			fmt.Fprintf(&b, "| %s | %s | %d | %d | %s |\n", f.Name, f.Line, f.From, f.Length, strings.Join(meanings, "; "))
		}
	}
	return b.String()
}

// afterwards says what happens to files, and what comes back.
func afterwards(s *inbox.Settings) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## Afterwards\n\nA file that was taken %s.", map[string]string{"leave": "stays where it is", "delete": "is deleted", "archive": "is moved to `" + s.Archive + "`"}[s.Done])
	if s.Errors != "" {
		fmt.Fprintf(&b, " One that was refused is moved to `%s`.", s.Errors)
	}
	for i, reply := range []*inbox.Reply{s.Acks, s.Report} {
		if reply != nil {
			fmt.Fprintf(&b, " You find %s in `%s`.", []string{"acknowledgements", "a report"}[i], cmp.Or(reply.Folder, "the same folder"))
		}
	}
	b.WriteString("\n")
	return b.String()
}
