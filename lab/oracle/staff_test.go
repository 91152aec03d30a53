package oracle_test

import (
	"time"

	. "waybill/lab/oracle"
)

// book makes an appointment and returns its number, or 0 where the slot is taken.
func (w *world) book(p Patient, kind string, resource int, start, length Minute) int {
	w.Helper()
	a := Appointment{Patient: p, Kind: kind, Resource: resource, Start: start, End: start + length}
	if w.clinic().Taken(0, resource, a.Start, a.End) {
		return 0
	}
	w.bookings++
	w.said("w.book(%d, %q, %d, %d, %d) // appointment %d", p, kind, resource, start, length, w.bookings)
	w.clinic().Book(w.bookings, a)
	w.exec("appointments", `INSERT INTO appointment (id, patient_id, kind, resource, starts_at, ends_at) VALUES ($1, $2, $3, $4, $5, $6)`,
		id(w.bookings), uuid(p), kind, some(resource), at(a.Start), at(a.End))
	return w.bookings
}

// set gives an appointment another status, unless its slot is taken.
func (w *world) set(n int, status string) {
	w.Helper()
	a := w.clinic().Calendar[n]
	if (status == "booked" || status == "arrived") && w.clinic().Taken(n, a.Resource, a.Start, a.End) {
		return
	}
	w.said("w.set(%d, %q)", n, status)
	reason := ""
	if status == "cancelled" {
		reason = "staff"
	}
	w.clinic().Write(n, func(a *Appointment) { a.Status, a.Reason = status, reason })
	w.exec("appointments", `UPDATE appointment SET status = $2, cancellation_reason = $3 WHERE id = $1`, id(n), status, text(reason))
}

// move gives an appointment to another patient.
func (w *world) move(n int, p Patient) {
	w.Helper()
	w.said("w.move(%d, %d)", n, p)
	w.clinic().Write(n, func(a *Appointment) { a.Patient = p })
	w.exec("appointments", `UPDATE appointment SET patient_id = $2 WHERE id = $1`, id(n), uuid(p))
}

// postpone moves an appointment to another time, unless that slot is taken.
func (w *world) postpone(n int, start Minute) {
	w.Helper()
	a := w.clinic().Calendar[n]
	end := start + a.End - a.Start
	if w.clinic().Taken(n, a.Resource, start, end) {
		return
	}
	w.said("w.postpone(%d, %d)", n, start)
	w.clinic().Write(n, func(a *Appointment) { a.Start, a.End = start, end })
	w.exec("appointments", `UPDATE appointment SET starts_at = $2, ends_at = $3 WHERE id = $1`, id(n), at(start), at(end))
}

func (w *world) remove(n int) {
	w.Helper()
	w.said("w.remove(%d)", n)
	w.clinic().Remove(n)
	w.exec("appointments", `DELETE FROM appointment WHERE id = $1`, id(n))
}

func (w *world) deal(item Item) {
	w.Helper()
	w.said("w.deal(%#v)", item)
	w.clinic().Resolve(item)
	w.exec("appointments", `UPDATE worklist SET resolved_at = clock_timestamp(), resolved_by = 'person'
		WHERE reason = $1 AND appointment_id IS NOT DISTINCT FROM $2 AND patient_id = $3 AND death_no = $4`,
		item.Reason, appointmentID(item.Appointment), uuid(item.Patient), item.No)
}

func appointmentID(n int) any {
	if n == 0 {
		return nil
	}
	return id(n)
}

// decideKind has a person say whether a kind stays after a death, by the database's clock, as staff do. What lies ahead
// in the history must lie ahead for them.
func (w *world) decideKind(kind string, stays bool) {
	w.Helper()
	w.said("w.decideKind(%q, %t)", kind, stays)
	w.now = max(w.now, today()+1)
	w.clinic().Decide(kind, stays, today())
	w.exec("appointments", `UPDATE kind SET post_mortem = nullif($2, false) WHERE code = $1`, kind, stays)
}

// today is the database's time.
func today() Minute { return Minute(time.Since(base)/time.Minute) + 1 }

// stranger is the first number of the bodies without a notice. Their ids are random.
const stranger = 1000

// uuid returns a patient's id.
func (w *world) uuid(p Patient) string {
	if p >= stranger {
		return w.strangers[p-stranger]
	}
	return uuid(p)
}

const caseOf = ` WHERE patient_id = $1 AND death_no = $2`

func (w *world) receive(d Death) {
	w.Helper()
	w.said("w.receive(%#v)", d)
	w.tags++
	w.morgue().Receive(d, today(), w.model["morgue"].Known)
	w.exec("morgue", `CALL receive($1, $2, 'person')`, w.caseID(d), some(w.tags))
}

// openByHand has a person open a case, unless the death has one.
func (w *world) openByHand(d Death, i Identity, f Fate) {
	w.Helper()
	w.said("w.openByHand(%#v, %#v, %#v)", d, i, f)
	w.morgue().Open(d, i, f, w.now)
	from, to, precision := period(f.Period)
	w.exec("morgue", `INSERT INTO case_file (patient_id, death_no, noticed_at, family_name, given_name, birth_date, address_city,
			death_status, death_earliest, death_latest, death_precision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		w.uuid(d.Patient), d.No, at(w.now), text(i.Family), text(i.Given), text(i.BirthDate), text(i.City), f.Status, from, to, precision)
}

// takeIn has a person tag a body without a notice.
func (w *world) takeIn() {
	w.Helper()
	w.said("w.takeIn()")
	w.tags++
	var id string
	if err := w.conns["morgue"].QueryRow(w.ctx, `CALL take_in($1, 'person', NULL)`, some(w.tags)).Scan(new(int64)); err != nil {
		w.Fatal(err)
	}
	if err := w.conns["morgue"].QueryRow(w.ctx, `SELECT patient_id FROM case_file WHERE tag = $1`, some(w.tags)).Scan(&id); err != nil {
		w.Fatal(err)
	}
	w.morgue().TakeIn(Death{Patient: Patient(stranger + len(w.strangers))}, today())
	w.strangers = append(w.strangers, id)
}

// reassign has a person move a body to another case.
func (w *world) reassign(from, to Death) {
	w.Helper()
	w.said("w.reassign(%#v, %#v)", from, to)
	w.morgue().Reassign(from, to, w.model["morgue"].Known)
	w.exec("morgue", `CALL reassign($1, $2, 'person')`, w.caseID(from), w.caseID(to))
}

func (w *world) caseID(d Death) (number int64) {
	w.Helper()
	if err := w.conns["morgue"].QueryRow(w.ctx, `SELECT id FROM case_file`+caseOf, w.uuid(d.Patient), d.No).Scan(&number); err != nil {
		w.Fatal(err)
	}
	return number
}

// release lets a body go, if the morgue lets it.
func (w *world) release(d Death) {
	w.Helper()
	w.said("w.release(%#v)", d)
	may := w.morgue().Release(d)
	_, err := w.conns["morgue"].Exec(w.ctx, `CALL release($1, 'person')`, w.caseID(d))
	if may != (err == nil) {
		w.Fatalf("release: %v, and the model says %t", err, may)
	}
}

// edit has a person write one fact by hand.
func (w *world) edit(d Death, name string, i Identity, f Fate) {
	w.Helper()
	w.said("w.edit(%#v, %q, %#v, %#v)", d, name, i, f)
	w.morgue().Edit(d, name, i, f)
	switch from, to, precision := period(f.Period); name {
	case "family_name":
		w.exec("morgue", `UPDATE case_file SET family_name = $3`+caseOf, w.uuid(d.Patient), d.No, text(i.Family))
	case "address":
		w.exec("morgue", `UPDATE case_file SET address_city = $3`+caseOf, w.uuid(d.Patient), d.No, text(i.City))
	case "death_status":
		w.exec("morgue", `UPDATE case_file SET death_status = $3`+caseOf, w.uuid(d.Patient), d.No, f.Status)
	case "death_time":
		w.exec("morgue", `UPDATE case_file SET death_earliest = $3, death_latest = $4, death_precision = $5`+caseOf, w.uuid(d.Patient), d.No, from, to, precision)
	}
}

func (w *world) void(d Death) {
	w.Helper()
	w.said("w.void(%#v)", d)
	w.morgue().Void(d)
	w.exec("morgue", `UPDATE case_file SET state = 'void', voided_by = 'person', void_reason = NULL`+caseOf, w.uuid(d.Patient), d.No)
}

func (w *world) reopen(d Death) {
	w.Helper()
	w.said("w.reopen(%#v)", d)
	w.morgue().Reopen(d)
	w.exec("morgue", `UPDATE case_file SET state = 'expected'`+caseOf, w.uuid(d.Patient), d.No)
}

func (w *world) resolve(a Alert) {
	w.Helper()
	w.said("w.resolve(%#v)", a)
	w.morgue().Resolve(a)
	w.exec("morgue", `UPDATE alert SET resolved_at = clock_timestamp(), resolved_by = 'person'
		WHERE kind = $1 AND patient_id = $2 AND death_no = $3 AND resolved_at IS NULL`, a.Kind, w.uuid(a.Patient), a.No)
}
