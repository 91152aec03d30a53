package inbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/internal/fault"
	"waybill/lab/gnupg"
	"waybill/partner/intake/inbox"
)

// sealedDesk is a desk whose partner encrypts and signs with gpg.
type sealedDesk struct {
	*desk
	*gnupg.Keyring
	ours, theirs, other string
}

func newSealedDesk(t *testing.T, settings string) *sealedDesk {
	t.Helper()
	g := gnupg.New(t)
	s := &sealedDesk{Keyring: g, ours: g.Key("us@example.org", "ed25519", "never"), theirs: g.Key("them@example.org", "ed25519", "never"), other: g.Key("other@example.org", "ed25519", "never")}
	s.desk = newDesk(t, hl7+strings.NewReplacer("OURS", g.Private(s.ours), "THEIRS", g.Public(s.theirs)).Replace(settings))
	return s
}

func (s *sealedDesk) seal(text string, arguments ...string) string {
	s.desk.Helper()
	return s.GPG(text, append(arguments, "-r", s.ours, "--encrypt", "-o", "-")...)
}

// A file counts only as what is demanded of the partner: nothing is taken of one that is open, not signed, signed by
// another or changed.
func TestNothingIsTakenUnlessItIsSealedAsDemanded(t *testing.T) {
	t.Parallel()
	d := newSealedDesk(t, "open: {openpgp: [OURS], signed_by: [THEIRS]}\nquarantine_records: 1\n")
	file := batch(adt("1", "7", "Adler", "20260228"))
	good := d.seal(file, "-u", d.theirs, "--sign")
	changed := []byte(d.seal(strings.Repeat(file, 1), "-z", "0", "-u", d.theirs, "--sign"))
	changed[len(changed)-100] ^= 1
	for name, sent := range map[string]struct{ text, why string }{
		"a.hl7":     {file, "it is not encrypted"},
		"b.hl7.gpg": {file, "it is not encrypted"},
		"c.hl7.gpg": {d.seal(file), "it is not signed"},
		"d.hl7.pgp": {d.seal(file, "-u", d.other, "--sign"), "it is signed by the key " + d.other},
		"e.hl7.asc": {string(changed), "damaged, cut off or changed"},
		"f.hl7.gpg": {good[:len(good)-5], "damaged, cut off or changed"},
	} {
		d.leave(name, sent.text)
		d.fails(name+" refused", fault.Poison, sent.why)
	}
	if got := d.people(); got != "" {
		t.Errorf("of refused files was taken: %s", got)
	}
	d.want(`SELECT count(*)::text FROM intake.quarantine WHERE reason ~ 'Adler'`, "0")
	d.leave("g.hl7.gpg", good)
	d.does("g.hl7.gpg taken")
	if got := d.people(); got != "Adler†" {
		t.Error(got)
	}
	d.does("")
	d.leave("h.hl7.gpg", good)
	d.does("h.hl7.gpg skipped")
}

// A file waits for its signature as for any companion, and both are moved together. One that was refused because of its
// signature is read again from where it lies.
func TestADetachedSignature(t *testing.T) {
	t.Parallel()
	d := newSealedDesk(t, "open: {signed_by: [THEIRS], signature: \"{name}.sig\"}\ndone: archive\nerrors: errors\n")
	file := batch(adt("1", "7", "Adler", ""))
	signature := d.Detached(d.theirs, file)
	d.leave("a.hl7", file)
	d.does("a.hl7 not ready")
	d.leave("a.hl7.sig", signature[:30])
	d.does("a.hl7 not ready")
	d.replace("a.hl7.sig", signature)
	d.does("a.hl7 taken")
	d.holds("archive/a.hl7", "archive/a.hl7.sig")

	second := batch(adt("2", "8", "Busch", ""))
	d.leave("b.hl7.sig", signature)
	d.does("b.hl7.sig orphan")
	d.leave("b.hl7", second)
	d.fails("b.hl7 refused", fault.Poison, "the signature of the key "+d.theirs+" is not one of these bytes")
	third := batch(adt("3", "9", "Clasen", ""))
	d.leave("c.hl7.sig", d.Detached(d.other, third))
	d.leave("c.hl7", third)
	d.fails("c.hl7 refused", fault.Poison, "it is signed by the key "+d.other)
	if got := d.people(); got != "Adler" {
		t.Error(got)
	}
	d.settings = strings.Replace(d.settings, "signed_by: [", "signed_by: ["+d.Public(d.other)+", ", 1)
	if _, err := d.inbox().Release(t.Context(), []int64{2}, inbox.Decision{Person: "k", Reason: "the partner's new key"}); err != nil {
		t.Fatal(err)
	}
	d.does("c.hl7 taken")
	if got := d.people(); got != "Adler Clasen" {
		t.Error(got)
	}
}

// Before anything is taken, a person sees that a file opens, and a partner validates what is to be sealed.
func TestSealedFilesAreTriedFirst(t *testing.T) {
	t.Parallel()
	d := newSealedDesk(t, "open: {openpgp: [OURS], signed_by: [THEIRS]}\n")
	file := batch(adt("1", "7", "Adler", ""))
	d.leave("a.hl7.gpg", d.seal(file, "-u", d.theirs, "--sign"))
	f, err := d.inbox().Check(t.Context())
	if err != nil || f.Format == nil || f.Format.Taken != 1 {
		t.Errorf("%+v %v", f.Format, err)
	}
	local := filepath.Join(t.TempDir(), "b.hl7")
	if err := os.WriteFile(local, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := d.inbox().Try(t.Context(), local); fault.ClassOf(err) != fault.Poison || !strings.Contains(fmt.Sprint(err), "it is not encrypted") {
		t.Errorf("%+v %v", s, err)
	}
	if v, err := d.inbox().Settings.Validate(t.Context(), "gp", local, time.Now()); err != nil || !v.Good() || v.Records != 1 {
		t.Errorf("%+v %v", v, err)
	}
	if err := os.WriteFile(local, []byte(d.seal(file, "--armor")), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := d.inbox().Settings.Validate(t.Context(), "gp", local, time.Now()); err != nil || !strings.Contains(v.Reason, "the file is a PGP message") {
		t.Errorf("%+v %v", v, err)
	}
	d.does("a.hl7.gpg taken")
	if err := os.Chmod(d.inbox().Settings.Open.OpenPGP[0], 0o640); err != nil {
		t.Fatal(err)
	}
	d.fails("", fault.Usage, "others may read this key")
}
