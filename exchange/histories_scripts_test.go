package exchange_test

import (
	"time"

	"waybill/exchange"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// script says how a history comes about.
type script struct {
	about string
	run   func(*recording)
}

func patientAt(event string, n int, version int64) logtest.State {
	s := logtest.State{Event: event, Patient: logtest.Patient(n), Version: version}
	if event == schemas.Died {
		s.DeathNo, s.Status, s.Earliest, s.Latest, s.Precision = 1, "formal", epoch.Add(-time.Hour), epoch, "minute"
	}
	return s
}

func found(event string, n int, version int64) logtest.State {
	s := patientAt(event, n, version)
	s.Baseline = true
	return s
}

var scripts = map[string]script{
	"gap": {"A manifest arrives after the next one.", func(r *recording) {
		r.step("nothing new", "a log begins", func() { r.Changes(patientAt(schemas.Registered, 1, 1)) })
		var show func()
		r.step("gap", "batch 3 is there before batch 2", func() {
			r.Changes(patientAt(schemas.Died, 1, 2))
			r.Changes(patientAt(schemas.Registered, 2, 1))
			show = r.hide(schemas.ManifestName(2, 0))
		})
		r.step("nothing new", "batch 2 arrives", func() { show() })
	}},
	"parts": {"A part arrives after its manifest, and not at once.", func(r *recording) {
		var name string
		var show func()
		r.step("no-part", "the manifest is there before its part", func() {
			name = r.Changes(patientAt(schemas.Registered, 1, 1)).Parts[0].Name
			show = r.hide(name)
		})
		r.step("short", "a beginning of the part arrives", func() {
			show()
			r.write(name, []byte(tree(r.t, r.root)[name])[:100])
		})
		r.step("nothing new", "the rest arrives", func() { show() })
	}},
	"torn": {"A manifest breaks off, and its writer tries again under the retry name.", func(r *recording) {
		var whole []byte
		r.step("torn", "half a manifest is there", func() {
			r.Changes(patientAt(schemas.Registered, 1, 1))
			whole = []byte(tree(r.t, r.root)[schemas.ManifestName(1, 0)])
			r.write(schemas.ManifestName(1, 0), whole[:len(whole)/2])
		})
		r.step("nothing new", "the same bytes are published as its retry", func() { r.write(schemas.ManifestName(1, 1), whole) })
		r.step("nothing new", "the log continues", func() { r.Changes(patientAt(schemas.Updated, 1, 2)) })
	}},
	"fork": {"Somebody else writes the log, from a batch that the follower has applied.", func(r *recording) {
		var other *logtest.Producer
		r.step("nothing new", "a log begins", func() {
			other = r.Fork()
			r.Changes(patientAt(schemas.Registered, 1, 1))
		})
		r.step("fork", "another batch 1 is in its place", func() {
			other.Now = r.Now
			other.Changes(patientAt(schemas.Died, 1, 2))
		})
		r.step("fork", "a batch 2 follows it", func() {
			other.Now = r.Now
			other.Changes(patientAt(schemas.Died, 2, 1))
		})
	}},
	"prune": {"What the follower needs next is pruned; a person has it begin again at the snapshot.", func(r *recording) {
		r.step("nothing new", "a log begins", func() { r.Changes(patientAt(schemas.Registered, 1, 1)) })
		var snapshot int64
		r.step("pruned", "the log continues, a floor is published, and what is below it deleted", func() {
			r.Changes(patientAt(schemas.Updated, 1, 2))
			r.Changes(patientAt(schemas.Died, 1, 3))
			snapshot = r.Snapshot(1, found(schemas.Died, 1, 3)).Batch
			r.prune(snapshot)
		})
		r.stepFrom(&snapshot, "nothing new", "it begins at the snapshot", func() {})
	}},
	"false-floor": {"Somebody deletes a manifest and writes a floor for a snapshot that does not exist: the batch is missing, not pruned.", func(r *recording) {
		r.step("nothing new", "a log begins", func() { r.Changes(patientAt(schemas.Registered, 1, 1)) })
		r.step("gap", "the floor names another manifest than the snapshot's", func() {
			r.Changes(patientAt(schemas.Died, 1, 2))
			r.Changes()
			r.floor(3, 3, schemas.Hash([]byte("no snapshot")))
			r.hide(schemas.ManifestName(2, 0))
		})
	}},
	"erase": {"A patient is erased, and nothing that is stated later counts.", func(r *recording) {
		r.step("nothing new", "two patients are registered", func() {
			r.Changes(patientAt(schemas.Registered, 1, 1), patientAt(schemas.Registered, 2, 1))
		})
		r.step("nothing new", "the first one is erased", func() { r.Changes(patientAt(schemas.Erased, 1, 2)) })
		r.step("nothing new", "a greater triple of theirs comes", func() { r.Changes(patientAt(schemas.Registered, 1, 9), patientAt(schemas.Updated, 2, 2)) })
		r.step("nothing new", "an erasure with a lesser triple than the last state's counts", func() {
			r.Changes(patientAt(schemas.Updated, 2, 7))
			r.Changes(patientAt(schemas.Erased, 2, 3))
		})
	}},
	"generation": {"A restored database begins a new generation, which does not know a patient.", func(r *recording) {
		r.step("nothing new", "three patients, one of them erased", func() {
			r.Changes(patientAt(schemas.Registered, 1, 1), patientAt(schemas.Died, 2, 8), patientAt(schemas.Erased, 3, 2))
		})
		r.step("nothing new", "the snapshot of generation 2 has the first one alone", func() { r.Snapshot(2, found(schemas.Registered, 1, 1)) })
		r.step("nothing new", "the second one is registered after all", func() { r.Changes(patientAt(schemas.Registered, 2, 1)) })
	}},
	"late-joiner": {"A follower begins at the newest snapshot of a log that others have followed for long.", func(r *recording) {
		snapshot := int64(3)
		r.stepFrom(&snapshot, "nothing new", "it begins at batch 3", func() {
			r.Changes(patientAt(schemas.Registered, 1, 1), patientAt(schemas.Registered, 2, 1))
			r.Changes(patientAt(schemas.Died, 1, 2), patientAt(schemas.Erased, 2, 2))
			r.Snapshot(1, found(schemas.Died, 1, 2), found(schemas.Erased, 2, 2))
			r.Changes(patientAt(schemas.Registered, 4, 1))
		})
		r.step("nothing new", "it follows like others", func() { r.Changes(patientAt(schemas.Updated, 4, 2)) })
	}},
}

// prune publishes a floor at a snapshot, and deletes what is below.
func (r *recording) prune(snapshot int64) {
	reader := exchange.NewReader(r.Store)
	entry, err := reader.Open(r.Context(), snapshot)
	must(r.t, err)
	r.floor(snapshot, snapshot, entry.Hash)
	below, err := reader.Below(r.Context(), entry)
	must(r.t, err)
	must(r.t, exchange.Delete(r.Context(), r.Store.(exchange.Deleter), below.Files()))
}

// floor publishes a floor.
func (r *recording) floor(batch, snapshot int64, manifest string) {
	oldest, err := exchange.NewReader(r.Store).Open(r.Context(), batch)
	must(r.t, err)
	must(r.t, exchange.NewWriter(r.Store).Floor(r.Context(), &schemas.Floor{
		Format: schemas.Format, MinReader: 1, Stream: schemas.Stream, Log: oldest.Manifest.Log, Floor: 1, Batch: batch, Previous: oldest.Manifest.Previous,
		Snapshot: snapshot, Manifest: manifest, PublishedAt: schemas.At(r.Now), Producer: oldest.Manifest.Producer,
	}))
}
