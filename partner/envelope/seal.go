package envelope

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"waybill/internal/fault"
	"waybill/internal/setting"
)

// Sealing says how files for a partner are encrypted and signed. It is the section `seal` of `deliver`.
type Sealing struct {
	Age     []string `yaml:"age"`     // the partner's public keys, age1…
	OpenPGP []string `yaml:"openpgp"` // files of the partner's public keys, or folders of them
	Sign    string   `yaml:"sign"`    // the file of our OpenPGP private key; "": files are not signed
}

// Check returns what is wrong. It reads no file.
func (s *Sealing) Check() error {
	if s == nil {
		return nil
	}
	if (len(s.Age) > 0) == (len(s.OpenPGP) > 0) {
		return setting.Errorf("openpgp", "give either openpgp, files of the partner's public keys, or age, the keys themselves")
	}
	if len(s.Age) == 0 {
		return nil
	}
	if s.Sign != "" {
		return setting.Errorf("sign", "an age file holds no signature: use openpgp, or leave sign out")
	}
	_, err := s.recipients()
	return setting.In("age", err)
}

func (s *Sealing) recipients() ([]age.Recipient, error) {
	return age.ParseRecipients(strings.NewReader(strings.Join(s.Age, "\n")))
}

// Seal returns a file for the partner: encrypted to each of the keys, and different each time. Without settings it
// returns the content.
func (s *Sealing) Seal(content []byte, now time.Time) ([]byte, error) {
	if s == nil {
		return content, nil
	}
	var sealed bytes.Buffer
	w, err := s.writer(&sealed, now)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(content)
	err = errors.Join(err, w.Close())
	return sealed.Bytes(), err
}

func (s *Sealing) writer(to io.Writer, now time.Time) (io.WriteCloser, error) {
	if len(s.Age) > 0 {
		recipients, err := s.recipients()
		if err != nil {
			return nil, err
		}
		return age.Encrypt(to, recipients...)
	}
	config := &packet.Config{Time: func() time.Time { return now }}
	partners, err := readPublic(s.OpenPGP)
	if err != nil {
		return nil, err
	}
	for _, partner := range partners {
		if _, err := partner.EncryptionKeyWithError(now, config); err != nil {
			return nil, fault.New(fault.Usage, "encrypt to", hex(partner.PrimaryKey.Fingerprint), err, "ask the partner for a key that is valid")
		}
	}
	var signers openpgp.EntityList
	if s.Sign != "" {
		if signers, err = readPrivate(s.Sign); err != nil {
			return nil, err
		}
		if len(signers) != 1 {
			return nil, unusable(s.Sign, errors.New("it holds several keys: one signs"), privateHint)
		}
		if _, valid := signers[0].SigningKey(now, config); !valid {
			return nil, unusable(s.Sign, errors.New("its key can't sign now: it has expired, was revoked, or is for other uses"), privateHint)
		}
	}
	return openpgp.Encrypt(to, partners, nil, signers, &openpgp.FileHints{}, config)
}
