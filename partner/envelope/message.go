package envelope

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"waybill/partner/format/container"
	"waybill/partner/format/record"
)

// Bounds on an OpenPGP message. Each signature costs a pass over the content.
const (
	mostPackets    = 200
	mostSignatures = 8
	// MostSignature bounds the bytes of a detached signature.
	MostSignature = 64 << 10
)

// message is what was seen of an OpenPGP message: keys, then the encrypted data, in it compressed data or not, in that one
// literal packet, and signatures around it. Any other structure is refused.
type message struct {
	packets    int
	keys       []*packet.EncryptedKey
	encrypted  bool // the encrypted data has begun
	inside     bool // within the encrypted data
	compressed bool
	content    bool
	signed     int
}

// beginsMessage reports whether a byte begins a packet that begins a message.
func beginsMessage(first byte) bool {
	tag := first & 0x3f
	if first&0x40 == 0 {
		tag >>= 2
	}
	switch tag {
	case 1, 2, 3, 4, 8, 9, 11, 18, 20: // keys, signatures, compressed, encrypted and literal data
		return first&0x80 != 0
	}
	return false
}

// openPGP opens an OpenPGP message.
func (o *opening) openPGP(r io.Reader) error {
	if len(o.keys.own) == 0 && (o.keys.detached || len(o.keys.signers) == 0) {
		return record.Malformedf("it is an OpenPGP message, and this partner's files are not")
	}
	err := o.layer(r)
	switch {
	case err != nil:
		return err
	case !o.content:
		return errDamaged
	}
	return nil
}

// layer reads packets to the end, so that everything was authenticated when it returns.
func (o *opening) layer(r io.Reader) error {
	o.meter.depth++
	defer func() { o.meter.depth-- }()
	packets := packet.NewReader(o.meter.reader(r))
	for {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if o.packets++; err != nil || o.packets > mostPackets {
			return errDamaged
		}
		if err := o.packet(p); err != nil {
			return err
		}
	}
}

func (o *opening) packet(p packet.Packet) error {
	switch p := p.(type) {
	case *packet.EncryptedKey:
		o.message.keys = append(o.message.keys, p)
		return nil
	case *packet.SymmetricKeyEncrypted, *packet.OnePassSignature: // a passphrase opens it, too; a signature will follow
		return nil
	case *packet.SymmetricallyEncrypted:
		if !p.IntegrityProtected {
			return errPlain
		}
		return o.decrypt(p)
	case *packet.AEADEncrypted:
		return o.decrypt(p)
	case *packet.Compressed:
		if o.compressed || o.content {
			return errDamaged
		}
		o.compressed = true
		return o.layer(p.Body)
	case *packet.Signature:
		if o.signed++; o.signed > mostSignatures {
			return errDamaged
		}
		return p.Serialize(&o.signatures)
	case *packet.LiteralData:
		if len(o.keys.own) > 0 && !o.inside {
			return errOpen
		}
		if o.content {
			return errDamaged
		}
		o.content = true
		return o.copy(p.Body)
	}
	return errDamaged
}

// decrypt opens the encrypted data and reads all of it.
func (o *opening) decrypt(data packet.EncryptedDataPacket) error {
	if o.encrypted || o.content || o.compressed {
		return errDamaged
	}
	o.encrypted = true
	body, err := o.decrypted(data)
	if err != nil {
		return err
	}
	o.inside = true
	if err := o.layer(body); err != nil {
		return err
	}
	o.inside = false
	if body.Close() != nil { // it checks the MDC
		return errDamaged
	}
	return nil
}

func (o *opening) decrypted(data packet.EncryptedDataPacket) (io.ReadCloser, error) {
	var ids [][]byte
	for _, sealed := range o.message.keys {
		ids = append(ids, binary.BigEndian.AppendUint64(nil, sealed.KeyId))
		for _, entity := range o.keys.own {
			for _, key := range entity.DecryptionKeys(sealed.KeyId, time.Time{}, nil) { // of any age: an expired one still opens
				if key.PrivateKey == nil || sealed.Decrypt(key.PrivateKey, nil) != nil {
					continue
				}
				if body, err := data.Decrypt(sealed.CipherFunc, sealed.Key); err == nil {
					return body, nil
				}
			}
		}
	}
	return nil, record.Malformedf("it is encrypted to none of our OpenPGP keys, but to %s", hex(ids...))
}

// Signature reads the file of a detached signature, armored or not. An error says that it is none, or not all of one.
func Signature(data []byte) ([]byte, error) {
	var r io.Reader = bytes.NewReader(data)
	if bytes.HasPrefix(data, []byte(pgpArmor)) {
		block, err := armor.Decode(r)
		if err != nil || block.Type != openpgp.SignatureType {
			return nil, errors.New("it is no signature")
		}
		r = block.Body
	}
	var signatures bytes.Buffer
	packets := packet.NewReader(r)
	for n := 0; ; n++ {
		p, err := packets.Next()
		if errors.Is(err, io.EOF) && n > 0 {
			return signatures.Bytes(), nil
		}
		signature, is := p.(*packet.Signature)
		if err != nil || !is || n == mostSignatures {
			return nil, errors.New("it is no signature, or not whole")
		}
		if err := signature.Serialize(&signatures); err != nil {
			return nil, err
		}
	}
}

// verify reads all of a file or content, and returns nil if one of the partner's keys has signed it.
func (k *Keys) verify(file container.Source, signatures []byte, now time.Time) error {
	if len(signatures) == 0 {
		return errUnsigned
	}
	config := &packet.Config{Time: func() time.Time { return now.Add(Clocks) }}
	check, err := openpgp.VerifyDetachedSignatureReader(k.signers, io.NewSectionReader(file, 0, file.Size()), bytes.NewReader(signatures), config)
	if err != nil {
		return record.Malformedf("its signature can't be read")
	}
	if _, err := io.Copy(io.Discard, check.UnverifiedBody); err != nil {
		return err
	}
	var why error
	for _, candidate := range check.SignatureCandidates {
		if why = judge(candidate, config); why == nil {
			return nil
		}
	}
	return why
}

// judge returns why a signature does not count. A key that has expired or was revoked since signs nothing any more.
func judge(c *openpgp.SignatureCandidate, config *packet.Config) error {
	key := c.IssuerFingerprint
	if key == nil {
		key = binary.BigEndian.AppendUint64(nil, c.IssuerKeyId)
	}
	if c.SignedByEntity == nil {
		return record.Malformedf("it is signed by the key %s, which signed_by does not have", hex(key))
	}
	_, err := c.SignedByEntity.VerifyPrimaryKey(config.Now(), config)
	if err == nil {
		err = c.SignatureError
	}
	if _, valid := c.SignedByEntity.SigningKeyById(config.Now(), c.IssuerKeyId, config); !valid && !errors.Is(err, pgperrors.ErrKeyRevoked) {
		err = pgperrors.ErrKeyExpired
	}
	switch {
	case err == nil && c.SignedBy != nil:
		return nil
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return record.Malformedf("it is signed by the key %s, which was revoked", hex(key))
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return record.Malformedf("it is signed by the key %s, which has expired", hex(key))
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return record.Malformedf("the signature of the key %s has expired, or is of a time to come", hex(key))
	}
	return record.Malformedf("the signature of the key %s is not one of these bytes", hex(key))
}
