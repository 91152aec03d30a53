package exchange_test

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	"waybill/exchange"
	"waybill/exchange/seal"
	"waybill/internal/fault"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// produced returns the manifest of a batch with one part, of two deaths, that may be sealed, spoilt after it was hashed, or
// described wrongly.
func produced(t *testing.T, log *testLog, to seal.Keys, spoil func([]byte) []byte, describe func(*schemas.Manifest)) *exchange.Entry {
	t.Helper()
	p := logtest.NewProducer(t, log.store, epoch)
	if p.Part, p.Manifest = spoil, describe; to != nil {
		p.Seal = to[0].Recipient()
	}
	p.Changes(logtest.State{Event: schemas.Died, Patient: logtest.Patient(1), Version: 1}, logtest.State{Event: schemas.Died, Patient: logtest.Patient(2), Version: 1})
	entry, err := exchange.NewReader(log.store).Open(t.Context(), 1)
	must(t, err)
	return entry
}

// A part is whole if its size, its hash and, for those who can open it, its rows are what the manifest says.
func TestPartsAreVerified(t *testing.T) {
	t.Parallel()
	ours, others := newKeys(t), newKeys(t)
	short := func(data []byte) []byte { return data[:len(data)-1] }
	turned := func(data []byte) []byte { data[len(data)/2] ^= 1; return data }
	gone := func([]byte) []byte { return nil }
	miscounted := func(m *schemas.Manifest) {
		if len(m.Parts) > 0 {
			m.Parts[0].Rows, m.Parts[0].Events = 3, map[string]int64{schemas.Died: 3}
			m.Totalled()
		}
	}
	for name, c := range map[string]struct {
		to, by   seal.Keys
		spoil    func([]byte) []byte
		describe func(*schemas.Manifest)
		class    fault.Class
		is       error
	}{
		"whole":                                     {},
		"read by one with keys":                     {by: ours},
		"missing":                                   {spoil: gone, class: fault.NotYet},
		"short":                                     {spoil: short, class: fault.NotYet},
		"a bit turned":                              {spoil: turned, class: fault.Poison, is: exchange.ErrDamaged},
		"other rows than announced":                 {describe: miscounted, class: fault.Poison},
		"sealed":                                    {to: ours, by: ours},
		"sealed for the second key":                 {to: ours, by: append(slices.Clone(others), ours...)},
		"sealed, other rows than announced":         {to: ours, by: ours, describe: miscounted, class: fault.Poison},
		"sealed, a bit turned":                      {to: ours, by: ours, spoil: turned, class: fault.Poison, is: exchange.ErrDamaged},
		"sealed to others":                          {to: ours, by: others},
		"sealed to others, read without keys":       {to: ours},
		"sealed to others, a bit turned":            {to: ours, by: others, spoil: turned, class: fault.Poison, is: exchange.ErrDamaged},
		"sealed to others, short":                   {to: ours, spoil: short, class: fault.NotYet},
		"sealed to others, other rows than it says": {to: ours, describe: miscounted}, // they can't know
	} {
		log, spool := newLog(t, -1), t.TempDir()
		entry := produced(t, log, c.to, c.spoil, c.describe)
		err := exchange.NewReader(log.store).Opening(c.by).VerifyParts(t.Context(), entry, spool)
		if (err == nil) != (c.class == 0) || err != nil && fault.ClassOf(err) != c.class || c.is != nil && !errors.Is(err, c.is) || c.class == fault.NotYet && fault.HintOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if left, err := os.ReadDir(spool); err != nil || len(left) != 0 {
			t.Errorf("%s: %v left in the spool, %v", name, left, err)
		}
	}
}

// Each part that fails is reported, those before and after it notwithstanding, and VerifyParts reports the first.
func TestEachFailingPartIsReported(t *testing.T) {
	t.Parallel()
	log := newLog(t, -1)
	entry := produced(t, log, nil, nil, nil)
	whole := entry.Manifest.Parts[0]
	missing, damaged := partOf(content), partOf([]byte("abc"))
	log.place(damaged.Name, []byte("abd"))
	entry.Manifest.Parts = []schemas.Part{whole, missing, whole, damaged, whole}
	reader := exchange.NewReader(log.store).Opening(nil)
	var classes []fault.Class
	for err := range reader.FailingParts(t.Context(), entry, t.TempDir()) {
		classes = append(classes, fault.ClassOf(err))
	}
	if !slices.Equal(classes, []fault.Class{fault.NotYet, fault.Poison}) {
		t.Errorf("failing: %v", classes)
	}
	if err := reader.VerifyParts(t.Context(), entry, t.TempDir()); fault.ClassOf(err) != fault.NotYet {
		t.Errorf("the first: %v", err)
	}
}

// Who opens a part, and whether that is said before it is fetched.
func TestWhoOpensAPart(t *testing.T) {
	t.Parallel()
	ours, others := newKeys(t), newKeys(t)
	both := append(slices.Clone(others), ours...)
	for name, c := range map[string]struct {
		to, by   seal.Keys
		openable bool // as far as can be said before
		opens    bool
		keys     int // that open it
	}{
		"open":                   {nil, ours, true, true, 0},
		"open, no keys":          {nil, nil, true, true, 0},
		"ours":                   {ours, ours, true, true, 1},
		"ours is the second":     {ours, both, true, true, 1},
		"another's":              {ours, others, true, false, 0},
		"another's, and no keys": {ours, nil, false, false, 0},
	} {
		log, spool := newLog(t, -1), t.TempDir()
		p := produced(t, log, c.to, nil, nil).Manifest.Parts[0]
		reader := exchange.NewReader(log.store).Opening(c.by).Anew()
		if err := reader.Openable(p); (err == nil) != c.openable || err != nil && (!errors.Is(err, seal.ErrNotForUs) || fault.ClassOf(err) != fault.Usage) {
			t.Errorf("%s: openable: %v", name, err)
		}
		if err := reader.Opens(t.Context(), p); (err == nil) != c.opens || err != nil && !errors.Is(err, seal.ErrNotForUs) {
			t.Errorf("%s: opens: %v", name, err)
		}
		var file bytes.Buffer
		must(t, reader.Fetch(t.Context(), p, &file))
		opened, err := reader.Opened(p, bytes.NewReader(file.Bytes()))
		if (err == nil) != c.opens || err != nil && (!errors.Is(err, seal.ErrNotForUs) || fault.ClassOf(err) != fault.Usage) {
			t.Errorf("%s: opened: %v", name, err)
		}
		if err == nil && (opened.Size == p.Bytes) != (c.to == nil) {
			t.Errorf("%s: opened %d bytes of %d", name, opened.Size, p.Bytes)
		}
		public, err := reader.OpenedBy(t.Context(), p, spool)
		if err != nil || len(public) != c.keys || c.keys == 1 && public[0] != ours[0].Recipient().String() {
			t.Errorf("%s: opened by %v, %v", name, public, err)
		}
		if c.to == nil {
			continue
		}
		log.place(p.Name, content[:p.Bytes]) // somebody puts another file in its place
		if _, err := reader.OpenedBy(t.Context(), p, spool); !errors.Is(err, exchange.ErrDamaged) {
			t.Errorf("%s: of another file: %v", name, err)
		}
		spoilt := p
		spoilt.SHA256 = schemas.Hash(content[:p.Bytes])
		spoilt.Name = schemas.PartName(schemas.Mixed, epoch, 1, spoilt.SHA256, 0) + schemas.SealedSuffix
		log.place(spoilt.Name, content[:p.Bytes])
		if _, err := reader.OpenedBy(t.Context(), spoilt, spool); c.by != nil && fault.ClassOf(err) != fault.Poison {
			t.Errorf("%s: of what is not sealed: %v", name, err)
		}
	}
}
