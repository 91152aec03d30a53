package reconcile

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"waybill/exchange"
	"waybill/exchange/dir"
	"waybill/lab/logtest"
	"waybill/schemas"
)

// rowsOf writes states as parts and reads them back.
func rowsOf(t *testing.T, states ...logtest.State) (rows []row) {
	t.Helper()
	place, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := logtest.NewProducer(t, place, time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)).Changes(states...)
	l := &log{reader: exchange.NewReader(place).Opening(nil), contract: schemas.PatientEvents(), spool: t.TempDir(), scanner: newScanner(schemas.PatientEvents())}
	if _, err := l.read(t.Context(), m, nil, func(r row) error { rows = append(rows, r); return nil }); err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestRowsAreToldApartByWhatTheySay(t *testing.T) {
	a := logtest.State{Event: schemas.Died, Patient: logtest.Patient(1), Version: 2, DeathNo: 1, Status: "formal", Family: "A", Given: "B"}
	b, c, d := a, a, a
	b.Given, b.Family = "", "AB" // the same letters
	c.Event, c.Baseline = schemas.Registered, true
	d.Version = 3
	rows := rowsOf(t, a, b, c, d, a)
	want := row{
		event: schemas.Died, patient: logtest.Patient(1), order: order{1, 2, 0}, dead: true, whole: rows[0].whole, state: rows[0].state, nulls: rows[0].nulls,
		slimState: rows[0].slimState, slimNulls: rows[0].slimNulls,
	}
	if rows[0] != want || rows[4] != want {
		t.Errorf("read %+v and %+v, want %+v", rows[0], rows[4], want)
	}
	if rows[2].state != rows[0].state || rows[2].whole == rows[0].whole {
		t.Error("how a state came is part of the event, and not of the state")
	}
	if slim := rows[1].slim(); slim.state != rows[0].slim().state || slim.nulls != rows[0].slim().nulls || rows[3].slim().state == rows[0].slim().state {
		t.Error("slim, rows with other names are the same, and rows of other versions are not")
	}
	full, lacking := state{nulls: rows[0].nulls}, state{nulls: rows[1].nulls} // of the given name
	if !lacking.lacks(full) || full.lacks(lacking) || full.lacks(full) {
		t.Errorf("NULL columns: %b and %b", full.nulls, lacking.nulls)
	}
	for _, other := range []row{rows[1], rows[3]} {
		if other.state == rows[0].state || other.whole == rows[0].whole {
			t.Errorf("%+v has the hash of %+v", other, rows[0])
		}
	}
}

func TestRowsOfOtherColumnsAreRefused(t *testing.T) {
	s := newScanner(schemas.PatientEvents())
	whole := slices.Concat([]byte{0, byte(len(s.fields))}, bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff}, len(s.fields)))
	for _, tuple := range [][]byte{nil, {0}, {0, 1}, whole, whole[:len(whole)-1], append(whole, 0), {0, byte(len(s.fields)), 0x7f, 0xff, 0xff, 0xff}} {
		if r, err := s.scan(tuple); err == nil {
			t.Errorf("%x was read as %+v", tuple, r)
		}
	}
}

func TestEveryColumnCounts(t *testing.T) {
	contract := schemas.PatientEvents()
	fields := make([][]byte, len(contract.Columns))
	for i, c := range contract.Columns {
		switch c.Type {
		case schemas.UUID:
			fields[i] = make([]byte, 16)
		case schemas.Int32:
			fields[i] = make([]byte, 4)
		default:
			fields[i] = make([]byte, 8)
		}
	}
	fields[contract.Index("event")] = []byte(schemas.Died)
	tuple := func() []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(len(fields)))
		for _, field := range fields {
			b = append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
		}
		return b
	}
	scan := func() row {
		r, err := newScanner(schemas.PatientEvents()).scan(tuple())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	before := scan()
	for i, c := range contract.Columns {
		was := fields[i]
		fields[i] = slices.Clone(was)
		fields[i][len(was)-1]++
		if c.Name == "event" {
			fields[i] = []byte(schemas.Merged)
		}
		after := scan()
		if after.whole == before.whole {
			t.Errorf("%s is not part of the hash", c.Name)
		}
		if wayOfTelling := c.Name == "event" || c.Name == "baseline"; (after.state == before.state) != wayOfTelling {
			t.Errorf("%s: the state's hash changes: %t", c.Name, after.state != before.state)
		}
		fields[i] = was
	}
}
