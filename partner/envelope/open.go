package envelope

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	agearmor "filippo.io/age/armor"
	"github.com/ProtonMail/go-crypto/openpgp/armor"

	"waybill/internal/fault"
	"waybill/partner/format/container"
	"waybill/partner/format/record"
)

// Why a file is refused, next to reasons that name keys. Its own bytes say no more: who sends changed ones learns nothing.
var (
	errOpen     = record.Malformedf("it is not encrypted, and this partner's files must be")
	errUnsigned = record.Malformedf("it is not signed, and this partner's files must be")
	errDamaged  = record.Malformedf("it can't be opened: it is damaged, cut off or changed")
	errPlain    = record.Malformedf("it is encrypted without protection against changes (no MDC or AEAD)")
	errClear    = record.Malformedf("it is clear-signed: `gpg --sign` or `gpg --detach-sign` keep each byte as it is")
	errForOther = record.Malformedf("it is encrypted to none of our age keys")
)

// Clocks bounds how far the clock of a partner who signs may be ahead of ours.
const Clocks = 15 * time.Minute

// Content is where the content of a file goes.
type Content interface {
	io.Writer
	io.ReaderAt
}

// Open returns the content of a partner's file, as far as the limits allow. The signature is that of [Signature], or nil.
// Content that was encrypted or enclosed goes to the given place. An error is a [*record.Malformed] if the file is at
// fault; then nothing of the content may be used.
func (k *Keys) Open(file container.Source, signature []byte, to Content, limits container.Limits, now time.Time) (container.Source, error) {
	if k == nil {
		return file, nil
	}
	if k.detached {
		if err := k.verify(file, signature, now); err != nil {
			return nil, err
		}
		if len(k.age)+len(k.own) == 0 {
			return file, nil
		}
	}
	source := &source{Reader: io.NewSectionReader(file, 0, file.Size())}
	o := &opening{keys: k, to: to, limits: limits, packed: file.Size(), meter: &meter{left: mostOutside, running: true}}
	err := o.open(bufio.NewReaderSize(source, 64<<10))
	content := io.NewSectionReader(to, 0, o.written)
	if err == nil && len(k.signers) > 0 && !k.detached {
		err = k.verify(content, o.signatures.Bytes(), now)
	}
	if source.failed != nil {
		err = fault.New(fault.Transient, "read", "spool", source.failed, "")
	}
	return content, err
}

// opening is the opening of one file.
type opening struct {
	keys   *Keys
	to     io.Writer
	limits container.Limits
	packed int64 // the file's size
	meter  *meter

	written    int64        // of the content
	signatures bytes.Buffer // that follow it
	message
}

const (
	ageHead   = "age-encryption.org/v1\n"
	ageArmor  = agearmor.Header
	pgpArmor  = "-----BEGIN PGP "
	clearSign = "-----BEGIN PGP SIGNED MESSAGE-----"
)

// open judges a file by its first bytes, not by its name.
func (o *opening) open(r *bufio.Reader) error {
	head, err := r.Peek(len(clearSign))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	text := string(head)
	switch {
	case strings.HasPrefix(text, ageHead), strings.HasPrefix(text, ageArmor):
		return o.age(r, strings.HasPrefix(text, ageArmor))
	case strings.HasPrefix(text, clearSign):
		return errClear
	case strings.HasPrefix(text, pgpArmor):
		block, err := armor.Decode(o.meter.reader(r))
		if err != nil || block.Type != "PGP MESSAGE" {
			return errDamaged
		}
		return o.openPGP(block.Body)
	case len(head) > 0 && beginsMessage(head[0]):
		return o.openPGP(r)
	case len(o.keys.age)+len(o.keys.own) == 0:
		return errUnsigned
	}
	return errOpen
}

// Bounds on the bytes of a file before its content, and on those after it.
const (
	mostOutside = 1 << 20
	mostAge     = 64 << 10
)

// age opens an age file.
func (o *opening) age(r io.Reader, armored bool) error {
	if len(o.keys.age) == 0 {
		return record.Malformedf("it is an age file, and this partner's are not")
	}
	if armored {
		r = agearmor.NewReader(&lines{Reader: r})
	}
	o.meter.left = mostAge
	body, err := age.Decrypt(o.meter.reader(r), o.keys.age...)
	if _, other := errors.AsType[*age.NoIdentityMatchError](err); other {
		return errForOther
	}
	if err != nil {
		return errDamaged
	}
	return o.copy(body)
}

// copy takes the content, up to the limits.
func (o *opening) copy(body io.Reader) (err error) {
	o.meter.running = false
	o.written, err = io.Copy(o.to, o.limits.Bound(body, o.packed))
	o.meter.left, o.meter.running = mostOutside, true
	if _, known := errors.AsType[*record.Malformed](err); err != nil && !known {
		if _, ours := errors.AsType[*fault.Error](err); !ours { // writing has failed
			err = errDamaged
		}
	}
	return err
}

// meter bounds what is read of the innermost layer while it is running. The layers around it are read in larger pieces.
type meter struct {
	left    int
	running bool
	depth   int
}

func (m *meter) reader(r io.Reader) io.Reader { return metered{r, m, m.depth} }

type metered struct {
	io.Reader
	*meter
	at int
}

func (r metered) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.running && r.at == r.depth {
		if r.left -= n; r.left < 0 {
			return 0, errDamaged
		}
	}
	return n, err
}

// lines refuses lines without end, which the library of age's armor would read whole.
type lines struct {
	io.Reader
	length int
}

func (r *lines) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if at := bytes.LastIndexByte(p[:n], '\n'); at >= 0 {
		r.length = n - at
	} else if r.length += n; r.length > mostAge {
		return 0, errDamaged
	}
	return n, err
}

// source remembers that reading failed, to distinguish that from wrong bytes.
type source struct {
	io.Reader
	failed error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

// hex names keys by their fingerprints or ids.
func hex(keys ...[]byte) string {
	var names []string
	for _, key := range keys {
		names = append(names, fmt.Sprintf("%X", key))
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
