package exchange_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"waybill/exchange"
	"waybill/internal/fault"
	"waybill/lab/exchangetest"
	"waybill/schemas"
)

func putPart(t *testing.T, store exchange.WriteStore, data []byte) (string, error) {
	t.Helper()
	return exchange.NewWriter(store).Part(t.Context(), schemas.Died, epoch, 42, false, bytes.NewReader(data), int64(len(data)), schemas.Hash(data))
}

func TestPartIsStoredUnderItsHash(t *testing.T) {
	for name, store := range map[string]exchange.Store{
		"with overwrite":    newStore(t),
		"without overwrite": exchangetest.WithoutOverwrite(newStore(t)),
	} {
		for range 2 { // a retry gives the same
			got, err := putPart(t, store, content)
			must(t, err)
			if want := partOf(content).Name; got != want {
				t.Errorf("%s: %s, want %s", name, got, want)
			}
		}
		must(t, exchange.NewReader(store).Fetch(t.Context(), partOf(content), io.Discard))
	}
}

func TestPartPassesOverTornUploads(t *testing.T) {
	cuts := []int64{0, 1, 50_000}
	faulty := &exchangetest.Faulty{}
	faulty.Tear = func(op exchangetest.Op, _ string) (int64, bool) {
		if op != exchangetest.Put || len(cuts) == 0 {
			return 0, false
		}
		n := cuts[0]
		cuts = cuts[1:]
		return n, true
	}
	faulty.Store = newStore(t)
	store := exchangetest.WithoutOverwrite(faulty)
	for range 3 {
		if _, err := putPart(t, store, content); !errors.Is(err, exchangetest.ErrCut) {
			t.Fatalf("%v, want %v", err, exchangetest.ErrCut)
		}
	}
	name, err := putPart(t, store, content)
	must(t, err)
	part := partOf(content)
	if want := schemas.PartName(schemas.Died, epoch, 42, part.SHA256, 3); name != want {
		t.Errorf("%s, want %s", name, want)
	}
	part.Name = name
	must(t, exchange.NewReader(store).Fetch(t.Context(), part, io.Discard))
}

// A file that only begins with the part's bytes is not the part.
func TestPartPassesOverALongerFile(t *testing.T) {
	log := newLog(t, -1)
	part := partOf(content)
	log.place(part.Name, append(bytes.Clone(content), 'x'))
	name, err := putPart(t, exchangetest.WithoutOverwrite(log.store), content)
	if want := schemas.PartName(schemas.Died, epoch, 42, part.SHA256, 1); err != nil || name != want {
		t.Errorf("%s, %v, want %s", name, err, want)
	}
}

// A whole file that can't be read still counts as somebody's manifest.
func TestAppendRefusesAManifestOfALaterRelease(t *testing.T) {
	log := newLog(t, 2)
	log.place(schemas.ManifestName(3, 0), reseal(t, log.next(), `"version": "1.0.0"`, `"version": "2.0.0"`))
	if err := appendNext(t, log.store, log, log.next()); !errors.Is(err, exchange.ErrFork) {
		t.Errorf("%v, want %v", err, exchange.ErrFork)
	}
}

func TestPartReplacesATornUploadWhereItMay(t *testing.T) {
	log := newLog(t, -1)
	part := partOf(content)
	log.place(part.Name, content[:100])
	name, err := putPart(t, log.store, content)
	if err != nil || name != part.Name {
		t.Errorf("%s, %v, want %s", name, err, part.Name)
	}
	must(t, exchange.NewReader(log.store).Fetch(t.Context(), part, io.Discard))
}

func TestPartGivesUpAfterTenTornUploads(t *testing.T) {
	log := newLog(t, -1)
	for retry := range 10 {
		log.place(schemas.PartName(schemas.Died, epoch, 42, schemas.Hash(content), retry), nil)
	}
	name, err := putPart(t, exchangetest.WithoutOverwrite(log.store), content)
	if err == nil || fault.ClassOf(err) != fault.Transient || fault.HintOf(err) == "" || !strings.Contains(err.Error(), "10 torn uploads") {
		t.Errorf("%s, %v, want an error with a hint", name, err)
	}
}

func appendNext(t *testing.T, store exchange.WriteStore, log *testLog, data []byte) error {
	t.Helper()
	return exchange.NewWriter(store).Append(t.Context(), int64(len(log.files)), data)
}

func TestAppendPublishesOnce(t *testing.T) {
	log := newLog(t, 2)
	next := log.next()
	for range 2 { // having published it before is fine
		must(t, appendNext(t, log.store, log, next))
	}
	entry, err := exchange.NewReader(log.store).Next(t.Context(), log.at(2))
	must(t, err)
	if !bytes.Equal(entry.Data, next) {
		t.Error("what is read differs from what was appended")
	}
}

func TestAppendRefusesAFork(t *testing.T) {
	for _, retry := range []int{0, 1} {
		log := newLog(t, 2)
		ours := log.next()
		theirs := log.next(func(m *schemas.Manifest) { m.Plan = "00000000-0000-4000-8000-000000000000" })
		if retry > 0 {
			log.place(schemas.ManifestName(3, 0), theirs[:100])
		}
		log.place(schemas.ManifestName(3, retry), theirs)
		err := appendNext(t, log.store, log, ours)
		if !errors.Is(err, exchange.ErrFork) || fault.ClassOf(err) != fault.Poison || !strings.Contains(fault.HintOf(err), "--new-generation") {
			t.Errorf("%v (%v, hint %q), want a fork", err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
}

func TestAppendRefusesBytesThatArentTheBatch(t *testing.T) {
	log := newLog(t, 2)
	for name, data := range map[string][]byte{
		"torn":    log.next()[:100],
		"another": log.files[1],
	} {
		if err := appendNext(t, log.store, log, data); err == nil {
			t.Errorf("%s: appended", name)
		}
	}
	if _, err := exchange.NewReader(log.store).Next(t.Context(), log.at(2)); !errors.Is(err, exchange.ErrNothingNew) {
		t.Errorf("%v, want %v", err, exchange.ErrNothingNew)
	}
}

// Wherever a publication is cut, the next attempt completes it and followers read these bytes.
func TestAppendGoesOnBehindATornManifest(t *testing.T) {
	log := newLog(t, 2)
	next := log.next()
	for _, n := range []int{0, 1, 2, 100, len(next) / 2, len(next) - 70, len(next) - 2, len(next) - 1, len(next)} {
		log := newLog(t, 2)
		faulty := &exchangetest.Faulty{Store: log.store, Tear: tearOnce(int64(n))}
		if err := appendNext(t, faulty, log, next); !errors.Is(err, exchangetest.ErrCut) {
			t.Fatalf("cut after %d bytes: %v, want %v", n, err, exchangetest.ErrCut)
		}
		must(t, appendNext(t, faulty, log, next))
		must(t, appendNext(t, faulty, log, next))
		entry, err := exchange.NewReader(log.store).Next(t.Context(), log.at(2))
		if err != nil || !bytes.Equal(entry.Data, next) {
			t.Fatalf("cut after %d bytes: %v", n, err)
		}
	}
}

func tearOnce(n int64) func(exchangetest.Op, string) (int64, bool) {
	var once sync.Once
	return func(op exchangetest.Op, _ string) (_ int64, torn bool) {
		if op == exchangetest.Publish {
			once.Do(func() { torn = true })
		}
		return n, torn
	}
}

func TestAppendGivesUpAfterTenTornManifests(t *testing.T) {
	log := newLog(t, 2)
	next := log.next()
	for retry := range 10 {
		log.place(schemas.ManifestName(3, retry), next[:retry])
	}
	if err := appendNext(t, log.store, log, next); err == nil || fault.ClassOf(err) != fault.Transient || fault.HintOf(err) == "" || !strings.Contains(err.Error(), "10 torn manifests") {
		t.Errorf("%v, want an error with a hint", err)
	}
	_, err := exchange.NewReader(log.store).Next(t.Context(), log.at(2))
	wantPending(t, err, exchange.Pending{Batch: 3, Reason: exchange.Torn, File: schemas.ManifestName(3, 0)})
}

func TestAppendFindsOutByReadingBackThatItLost(t *testing.T) {
	log := newLog(t, 2)
	ours := log.next()
	theirs := log.next(func(m *schemas.Manifest) { m.Plan = "00000000-0000-4000-8000-000000000000" })
	published := false
	faulty := &exchangetest.Faulty{}
	faulty.Store = exchangetest.WithoutNativePublish(log.store)
	faulty.Fail = func(op exchangetest.Op, name string) error {
		if op == exchangetest.Get && published { // between our publication and our reading it back
			log.place(name, theirs)
		}
		published = published || op == exchangetest.Publish
		return nil
	}
	if err := appendNext(t, faulty, log, ours); !errors.Is(err, exchange.ErrFork) {
		t.Errorf("%v, want %v", err, exchange.ErrFork)
	}
}

func TestOfEightWritersOneAppends(t *testing.T) {
	log := newLog(t, 2)
	errs := make([]error, 8)
	var all sync.WaitGroup
	for i := range errs {
		data := log.next(func(m *schemas.Manifest) { m.HeartbeatSeconds += int64(i) })
		all.Go(func() { errs[i] = exchange.NewWriter(log.store).Append(t.Context(), 3, data) })
	}
	all.Wait()
	winners := 0
	for i, err := range errs {
		if err == nil {
			winners++
		} else if !errors.Is(err, exchange.ErrFork) {
			t.Errorf("writer %d: %v, want %v", i, err, exchange.ErrFork)
		}
	}
	if winners != 1 {
		t.Errorf("%d writers appended, want 1", winners)
	}
}

func TestReadmeIsWrittenOnce(t *testing.T) {
	log := newLog(t, -1)
	writer := exchange.NewWriter(log.store)
	must(t, writer.Readme(t.Context()))
	log.place("README.txt", []byte("the site's own words"))
	must(t, writer.Readme(t.Context()))
	file, err := log.store.Get(t.Context(), "README.txt")
	must(t, err)
	defer file.Close()
	if got, err := io.ReadAll(file); err != nil || string(got) != "the site's own words" {
		t.Errorf("%q, %v", got, err)
	}
}
