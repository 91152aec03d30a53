package chronicle

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"waybill/schemas"
)

// ledger checks that a ledger has each batch once and in order, and as in the log.
func (k *checker) ledger(l *Ledger) {
	var before *Row
	var applied latest
	for i := range l.Rows {
		r := &l.Rows[i]
		name := fmt.Sprintf("%s's ledger: batch %d", l.Consumer, r.Batch)
		if r.Rerun == 0 {
			if before != nil && r.Batch != before.Batch+1 && !before.Passed {
				k.find("%s comes after %d", name, before.Batch)
			}
			if before != nil && r.Generation < before.Generation {
				k.find("%s goes back to generation %d", name, r.Generation)
			}
			if applied.backwards(r.Applied, k.Slack) {
				k.find("%s was applied before an earlier one", name)
			}
			before = r
		} else if before == nil || before.Batch != r.Batch || l.Rows[i-1].Rerun != r.Rerun-1 {
			k.find("%s has re-run %d without the one before it", name, r.Rerun)
		}
		if r.StartedAt.Sub(r.Applied) > k.Slack {
			k.find("%s was applied before it was begun", name)
		}
		if !r.Passed {
			k.asLogged(name, l, r)
		}
	}
	if before != nil && (l.Checkpoint != before.Batch || l.Hash != before.Hash && !before.Passed) {
		k.find("%s's checkpoint is at batch %d, and its ledger at %d", l.Consumer, l.Checkpoint, before.Batch)
	}
	k.decisions(l)
}

// asLogged compares a row with the manifest that it names.
func (k *checker) asLogged(name string, l *Ledger, r *Row) {
	s := k.log[r.Batch]
	if s == nil {
		k.find("%s is not in the log", name)
		return
	}
	m := s.Manifest
	if r.Hash != s.SHA256 {
		k.find("%s is of another manifest than the log's", name)
		return
	}
	if r.Kind != m.Kind || r.Generation != m.Generation {
		k.find("%s is a batch of %s of generation %d, and in the log of %s of %d", name, r.Kind, r.Generation, m.Kind, m.Generation)
	}
	if r.Rows+r.Quarantined != subscribed(m, l.Events) && !r.madeUp() {
		k.find("%s loaded %d events and set %d aside, of %d", name, r.Rows, r.Quarantined, subscribed(m, l.Events))
	}
	if m.Window.To.Sub(r.Applied) > 2*k.Slack {
		k.find("%s was applied before it was planned", name)
	}
}

// madeUp reports whether the row is of effects that mode observe only recorded. Such a row loads no events.
func (r *Row) madeUp() bool { return r.Rerun > 0 && r.Rows == 0 }

func subscribed(m *schemas.Manifest, events []string) (n int64) {
	for event, rows := range m.Totals.Events {
		if slices.Contains(events, event) {
			n += rows
		}
	}
	return n
}

// decisions checks that a batch was loaded after a person's approval, and that no batch over the brake was
// loaded without one.
func (k *checker) decisions(l *Ledger) {
	for _, d := range l.Decisions {
		if d.Kind != "approve" {
			continue
		}
		i := slices.IndexFunc(l.Rows, func(r Row) bool { return r.Hash == d.Seen })
		switch {
		case i < 0:
			k.find("%s's ledger lacks a batch that was approved", l.Consumer)
		case d.At.Sub(l.Rows[i].Applied) > k.Slack:
			k.find("%s's ledger: batch %d was applied before it was approved", l.Consumer, l.Rows[i].Batch)
		}
	}
	for _, r := range l.Rows {
		for _, kind := range slices.Sorted(maps.Keys(r.Effects)) {
			approved := slices.ContainsFunc(l.Decisions, func(d Decision) bool { return d.Kind == "approve" && d.Seen == r.Hash })
			if l.Brake > 0 && r.Effects[kind] > l.Brake && slices.Contains(l.Braked, kind) && !approved {
				k.find("%s's ledger: batch %d had %d times %s, which nobody approved", l.Consumer, r.Batch, r.Effects[kind], kind)
			}
		}
	}
}

// receipts checks that an instance's position never goes back, and is never beyond its consumer's ledger.
func (k *checker) receipts() {
	newest, files := map[string]int64{}, map[string]string{}
	for i := range k.Sightings {
		s := &k.Sightings[i]
		r := s.Receipt
		if r == nil {
			continue
		}
		name := fmt.Sprintf("the receipt of %s for batch %d", r.Instance, r.Batch)
		if hash, known := files[s.Name]; known {
			if hash != s.SHA256 {
				k.find("%s was changed", name)
			}
			continue
		}
		files[s.Name] = s.SHA256
		if before, said := newest[r.Instance]; said && r.Batch < before {
			k.find("%s came after that for %d", name, before)
		}
		newest[r.Instance] = max(newest[r.Instance], r.Batch)
		consumer, _, _ := strings.Cut(r.Instance, "@")
		at := slices.IndexFunc(k.Ledgers, func(l Ledger) bool { return l.Consumer == consumer })
		if at >= 0 {
			k.inLedger(name, s, &k.Ledgers[at])
		}
	}
}

// inLedger compares a receipt with the rows that it sums up.
func (k *checker) inLedger(name string, s *Sighting, l *Ledger) {
	r := s.Receipt
	var rows, batches int64
	effects := map[string]int64{}
	var last *Row
	saidAt := false
	for i := range l.Rows {
		row := &l.Rows[i]
		if row.Rerun > 0 || row.Batch > r.Batch {
			continue
		}
		last = row
		if row.Batch <= r.Batch-r.Batches {
			continue
		}
		rows, batches = rows+row.Rows, batches+1
		saidAt = saidAt || row.Applied.Equal(r.AppliedAt.Time)
		for kind, n := range row.Effects {
			effects[kind] += n
		}
	}
	switch {
	case last == nil || last.Batch != r.Batch:
		k.find("%s is ahead of the ledger", name)
	case last.Hash != r.Manifest:
		k.find("%s names another manifest than the ledger", name)
	case last.Applied.Sub(s.At) > k.Slack:
		k.find("%s was there before the batch was applied", name)
	case rows != r.Rows || batches != r.Batches || !maps.Equal(effects, r.Effects):
		k.find("%s sums up %d events in %d batches, and the ledger has %d in %d, or other effects", name, r.Rows, r.Batches, rows, batches)
	case !saidAt:
		k.find("%s was applied at a time that the ledger does not have", name)
	}
}
