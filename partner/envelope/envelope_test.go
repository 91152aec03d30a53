package envelope_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waybill/lab/gnupg"
	"waybill/partner/envelope"
	"waybill/partner/format/container"
	"waybill/partner/format/record"
)

const deaths = "ID;NAME;DIED\r\n7;Müller;2026-11-30\r\n"

// open opens a file as an intake does, and returns its content or the reason why it is refused.
func open(t *testing.T, o *envelope.Opening, file, signature string) (content, refused string) {
	t.Helper()
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	keys, err := o.Read()
	if err != nil {
		t.Fatal(err)
	}
	to, err := os.Create(filepath.Join(t.TempDir(), "content"))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	var packets []byte
	if signature != "" {
		if packets, err = envelope.Signature([]byte(signature)); err != nil {
			return "", err.Error()
		}
	}
	source, err := keys.Open(strings.NewReader(file), packets, to, container.Limits{}, time.Now())
	if bad, is := errors.AsType[*record.Malformed](err); is {
		return "", bad.Reason
	}
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, source.Size())
	if _, err := source.ReadAt(data, 0); err != nil && len(data) > 0 {
		t.Fatal(err)
	}
	return string(data), ""
}

func opens(t *testing.T, o *envelope.Opening, file, signature, want string) {
	t.Helper()
	if got, refused := open(t, o, file, signature); got != want || refused != "" {
		t.Errorf("%q, %s", got, refused)
	}
}

func refuses(t *testing.T, o *envelope.Opening, file, signature, why string) {
	t.Helper()
	if got, refused := open(t, o, file, signature); !strings.Contains(refused, why) || got != "" {
		t.Errorf("%q, %q; want %s", got, refused, why)
	}
}

// What Debian's gpg encrypts and signs is opened, in each of its forms.
func TestWhatGnuPGMakesIsOpened(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ed25519", "rsa2048"} {
		g := gnupg.New(t)
		ours, theirs := g.Key("us@example.org", algorithm, "never"), g.Key("them@example.org", algorithm, "never")
		both := &envelope.Opening{OpenPGP: []string{g.Private(ours)}, SignedBy: []string{g.Public(theirs)}}
		for _, how := range [][]string{
			{}, {"--armor"}, {"-z", "0"}, {"--compress-algo", "bzip2"}, {"--throw-keyids"}, {"-r", theirs}, {"--textmode"}, {"--force-mdc"},
		} {
			file := g.GPG(deaths, append(how, "-u", theirs, "-r", ours, "--sign", "--encrypt", "-o", "-")...)
			want := deaths
			if len(how) > 0 && how[0] == "--textmode" { // gpg takes line ends as this machine's
				want = strings.ReplaceAll(deaths, "\r\n", "\n")
				if got, refused := open(t, both, file, ""); strings.ReplaceAll(got, "\r\n", "\n") != want {
					t.Errorf("%q %s", got, refused)
				}
				continue
			}
			opens(t, both, file, "", want)
		}
		opens(t, &envelope.Opening{SignedBy: both.SignedBy}, g.GPG(deaths, "-u", theirs, "--sign", "-o", "-"), "", deaths)
		detached := &envelope.Opening{SignedBy: both.SignedBy, Signature: "{name}.sig"}
		opens(t, detached, deaths, g.Detached(theirs, deaths), deaths)
		opens(t, detached, deaths, g.Detached(theirs, deaths, "--armor"), deaths)
		sealed := g.GPG(deaths, "-r", ours, "--encrypt", "-o", "-")
		opens(t, &envelope.Opening{OpenPGP: both.OpenPGP, SignedBy: both.SignedBy, Signature: "{name}.sig"}, sealed, g.Detached(theirs, sealed), deaths)
		opens(t, &envelope.Opening{OpenPGP: both.OpenPGP}, sealed, "", deaths)
		large := strings.Repeat(deaths, 1<<16)
		opens(t, both, g.GPG(large, "-z", "0", "-u", theirs, "-r", ours, "--sign", "--encrypt", "-o", "-"), "", large)
	}
}

// A rotation: files to the old key and to the new one are opened, and signatures of both count.
func TestSeveralKeys(t *testing.T) {
	t.Parallel()
	g := gnupg.New(t)
	old, fresh := g.Key("old@example.org", "ed25519", "never"), g.Key("new@example.org", "ed25519", "never")
	folder := t.TempDir()
	for _, key := range []string{old, fresh} {
		if err := os.Rename(g.Private(key), filepath.Join(folder, key)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	o := &envelope.Opening{OpenPGP: []string{folder}, SignedBy: []string{g.Public(old), g.Public(fresh)}}
	for _, pair := range [][2]string{{old, fresh}, {fresh, old}, {fresh, fresh}} {
		opens(t, o, g.GPG(deaths, "-u", pair[0], "-r", pair[1], "--sign", "--encrypt", "-o", "-"), "", deaths)
	}
	opens(t, o, g.GPG(deaths, "-u", old, "-u", fresh, "-r", old, "--sign", "--encrypt", "-o", "-"), "", deaths)
}

// A file is refused if it is less than what is demanded. The reason names keys, and nothing of the content.
func TestWhatIsLessThanDemandedIsRefused(t *testing.T) {
	t.Parallel()
	g := gnupg.New(t)
	ours, theirs, other := g.Key("us@example.org", "ed25519", "never"), g.Key("them@example.org", "ed25519", "never"), g.Key("other@example.org", "ed25519", "never")
	own, signers := []string{g.Private(ours)}, []string{g.Public(theirs)}
	both, detached := &envelope.Opening{OpenPGP: own, SignedBy: signers}, &envelope.Opening{SignedBy: signers, Signature: "{name}.sig"}
	seal := func(data string, arguments ...string) string {
		return g.GPG(data, append(arguments, "-r", ours, "--encrypt", "-o", "-")...)
	}
	sealed, good := seal(deaths), seal(deaths, "-u", theirs, "--sign")
	refuses(t, both, deaths, "", "it is not encrypted")
	refuses(t, both, "", "", "it is not encrypted")
	refuses(t, both, g.GPG(deaths, "-u", theirs, "--sign", "-o", "-"), "", "it is not encrypted")
	refuses(t, both, g.GPG(deaths, "-u", theirs, "--clearsign", "-o", "-"), "", "clear-signed")
	refuses(t, both, sealed, "", "it is not signed")
	refuses(t, both, seal(deaths, "-u", other, "--sign"), "", "it is signed by the key "+other+", which signed_by does not have")
	refuses(t, both, seal(deaths, "-u", ours, "--sign"), "", "it is signed by the key "+ours)
	refuses(t, both, g.GPG(deaths, "-u", theirs, "-r", other, "--sign", "--encrypt", "-o", "-"), "", "to none of our OpenPGP keys, but to ")
	refuses(t, both, g.GPG(deaths, "--passphrase", "secret", "--pinentry-mode", "loopback", "--symmetric", "-o", "-"), "", "none of our OpenPGP keys")
	refuses(t, &envelope.Opening{SignedBy: signers}, deaths, "", "it is not signed")
	refuses(t, detached, deaths, "", "it is not signed")
	refuses(t, detached, deaths+"8;Adler;\r\n", g.Detached(theirs, deaths), "the signature of the key "+theirs+" is not one of these bytes")
	refuses(t, detached, deaths, g.Detached(other, deaths), "it is signed by the key "+other)
	refuses(t, detached, deaths, deaths, "it is no signature")
	refuses(t, detached, deaths, g.Detached(theirs, deaths)[:40], "it is no signature")
	for _, at := range []int{len(good) / 2, len(good) - 1, len(good) - 30} { // cut off, and changed
		refuses(t, both, good[:at], "", "damaged, cut off or changed")
		changed := []byte(good)
		changed[at] ^= 1
		refuses(t, both, string(changed), "", "damaged, cut off or changed")
	}
	refuses(t, both, good+good, "", "damaged, cut off or changed")
}

// A key that has expired or was revoked signs nothing any more, not even what it signed before.
func TestAKeyThatIsNoLongerValidSignsNothing(t *testing.T) {
	t.Parallel()
	g := gnupg.New(t)
	old := g.Key("old@example.org", "ed25519", "20200101T000000", "--faked-system-time", "20190101T000000")
	revoked := g.Key("revoked@example.org", "ed25519", "never")
	o := &envelope.Opening{SignedBy: []string{g.Public(old)}, Signature: "{name}.sig"}
	refuses(t, o, deaths, g.Detached(old, deaths, "--faked-system-time", "20190601T000000"), "the key "+old+", which has expired")
	signature := g.Detached(revoked, deaths)
	o.SignedBy = []string{g.Public(revoked)}
	opens(t, o, deaths, signature, deaths)
	certificate, err := os.ReadFile(filepath.Join(g.Home, "openpgp-revocs.d", revoked+".rev"))
	if err != nil {
		t.Fatal(err)
	}
	_, certificate, _ = bytes.Cut(certificate, []byte("\n:-----BEGIN"))
	g.GPG("-----BEGIN"+string(certificate), "--import")
	o.SignedBy = []string{g.Public(revoked)}
	refuses(t, o, deaths, signature, "the key "+revoked+", which was revoked")
}

// What age encrypts is opened, and what is not encrypted to us is refused.
func TestWhatAgeMakesIsOpened(t *testing.T) {
	t.Parallel()
	g := gnupg.New(t)
	signer := g.Key("them@example.org", "ed25519", "never")
	ours, public := g.Identity()
	_, others := g.Identity()
	o := &envelope.Opening{Age: []string{ours}}
	sealed := g.Run("age", deaths, "-r", public)
	opens(t, o, sealed, "", deaths)
	opens(t, o, g.Run("age", deaths, "-r", others, "-r", public, "--armor"), "", deaths)
	refuses(t, o, deaths, "", "it is not encrypted")
	refuses(t, o, g.Run("age", deaths, "-r", others), "", "to none of our age keys")
	refuses(t, o, sealed[:len(sealed)-3], "", "damaged, cut off or changed")
	refuses(t, o, sealed+"x", "", "damaged, cut off or changed")
	signed := &envelope.Opening{Age: o.Age, SignedBy: []string{g.Public(signer)}, Signature: "{name}.sig"}
	opens(t, signed, sealed, g.Detached(signer, sealed), deaths)
	refuses(t, signed, sealed, "", "it is not signed")
}

// What is sealed for a partner is opened by the partner's programs, which find our signature.
func TestPartnersOpenWhatIsSealed(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{"ed25519", "rsa2048"} {
		g := gnupg.New(t)
		ours, first, second := g.Key("us@example.org", algorithm, "never"), g.Key("one@example.org", algorithm, "never"), g.Key("two@example.org", algorithm, "never")
		s := &envelope.Sealing{OpenPGP: []string{g.Public(first), g.Public(second)}, Sign: g.Private(ours)}
		for _, key := range []string{first, second} {
			one := gnupg.New(t)
			one.GPG(g.GPG("", "--export-secret-keys", key)+g.GPG("", "--export", ours), "--import")
			file := filepath.Join(t.TempDir(), "file.gpg")
			if err := os.WriteFile(file, seal(t, s), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := one.GPG("", "--decrypt", file); got != deaths {
				t.Errorf("%q", got)
			}
			if status := one.GPG("", "--status-fd", "1", "-o", "/dev/null", "--decrypt", file); !strings.Contains(status, "VALIDSIG "+ours) {
				t.Errorf("gpg finds no signature: %s", status)
			}
		}
	}
	g := gnupg.New(t)
	ours, public := g.Identity()
	if got := g.Run("age", string(seal(t, &envelope.Sealing{Age: []string{public}})), "-d", "-i", ours); got != deaths {
		t.Errorf("%q", got)
	}
}

func seal(t *testing.T, s *envelope.Sealing) []byte {
	t.Helper()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	sealed, err := s.Seal([]byte(deaths), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}
