package main_test

import (
	"path/filepath"
	"strings"
	"testing"

	"waybill/lab/gnupg"
)

// A day with partners who encrypt, as they have it from Debian: what a ward signs and encrypts with gpg opens a case, and what is
// delivered opens with the partners' keys alone, with our signature. Of files without envelope, or of a stranger's, nothing is taken.
func TestADayWithPartnersWhoEncrypt(t *testing.T) {
	t.Parallel()
	s, g := newSite(t), gnupg.New(t)
	ours, wards, gps := g.Key("us@example.org", "ed25519", "never"), g.Key("ward@example.org", "ed25519", "never"), g.Key("gp@example.org", "ed25519", "never")
	identity, recipient := g.Identity()
	ward := s.sender("ward", `name: "ward_{sequence:4}.hl7"
format: {kind: hl7}
open: {openpgp: [`+g.Private(ours)+`], signed_by: [`+g.Public(wards)+`]}
`)
	gp := s.partner("gp", strings.Replace(gpCSV, `.csv"`, `.csv.gpg"`, 1)+"seal: {openpgp: ["+g.Public(gps)+"], sign: "+g.Private(ours)+"}\n")
	lab := s.partner("lab", strings.Replace(gpCSV, `.csv"`, `.csv.age"`, 1)+"seal: {age: ["+recipient+"]}\n")
	sealed := func(by, message string) string {
		return g.GPG(message, "-u", by, "-r", ours, "--sign", "--encrypt", "-o", "-")
	}
	ward.leave("ward_0001.hl7.gpg", sealed(wards, admission(1, "Keller", false)))
	ward.leave("ward_0002.hl7.gpg", sealed(wards, strings.Replace(admission(1, "Keller", true), "|m1|", "|m1b|", 1)))
	s.says(s.do("partner", "check", "ward"), "ward_0001.hl7.gpg  ", "ready")
	s.says(s.do("intake", "ward"), "ward_0001.hl7.gpg  taken", "ward_0002.hl7.gpg  taken")
	s.do("export")
	s.do("import", "morgue")
	s.says(s.value("morgue", `SELECT string_agg(family_name, ' ') FROM morgue.case_file`), "Keller")

	s.says(s.do("deliver", "gp"), "IN/P0001.csv.gpg")
	s.says(s.do("deliver", "lab"), "IN/P0001.csv.age")
	for name, text := range gp.files() {
		if strings.Contains(text, "Otto") {
			t.Errorf("%s can be read by anybody", name)
		}
	}
	s.says(g.GPG("", "--status-fd", "1", "--decrypt", filepath.Join(gp.place.Path, "IN", "P0001.csv.gpg")), "died,", ",yes,Otto,", "VALIDSIG "+ours)
	s.says(g.Run("age", "", "-d", "-i", identity, filepath.Join(lab.place.Path, "IN", "P0001.csv.age")), "died,", ",yes,Otto,")

	ward.leave("ward_0003.hl7", admission(2, "Lang", false))
	s.fails(3, []string{"ward_0003.hl7", "it is not encrypted"}, "intake", "ward")
	ward.leave("ward_0003.hl7.gpg", sealed(gps, admission(2, "Lang", false)))
	s.fails(3, []string{"ward_0003.hl7.gpg", "signed_by"}, "intake", "ward")
	if got := s.value("patients", `SELECT count(*)::text FROM patients.patient`); got != "1" {
		t.Errorf("%s patients", got)
	}
	ward.leave("ward_0003.hl7.gpg", sealed(wards, admission(2, "Lang", false)))
	s.says(s.do("intake", "ward"), "ward_0003.hl7.gpg  taken")
}
