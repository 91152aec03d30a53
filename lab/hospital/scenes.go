package hospital

import "fmt"

// rounds is how many exchanges a scene spans at most. In the last the importers only observe.
const rounds = 5

// scene is a rare story of a few people, played by what the services' staff write: of {a} and {b}, who are
// registered for it, and of {old}, who died long ago.
type scene struct {
	name string
	acts [rounds][]act // before each exchange
	// shown finds the story's result in a consumer's database.
	shown act
}

// act is a write by one service's staff.
type act struct{ service, sql string }

func registry(sql string) act { return act{"patients", sql} }
func mortuary(sql string) act { return act{"morgue", sql} }
func clinic(sql string) act   { return act{"appointments", sql} }

func scenes() []scene {
	return []scene{
		{"a theatre given away before the retraction", [rounds][]act{
			{books("{a}", "'surgery'", "48 hours", "2 hours")},
			{registry(dies("{a}", "formal", "-3 hours"))},
			{books("{b}", "'surgery'", "49 hours", "2 hours"), registry(livesOn)},
		}, listed("reason = 'not_restored' AND detail = 'slot taken'")},
		{"another booking before the retraction", [rounds][]act{
			{books("{a}", "'consultation'", "48 hours", "1 hour")},
			{registry(dies("{a}", "informal", "-3 hours"))},
			{books("{a}", "'consultation'", "96 hours", "1 hour"), registry(livesOn)},
		}, listed("reason = 'rebooked'")},
		{"dead, alive and dead again", [rounds][]act{
			{books("{a}", "'imaging'", "48 hours", "1 hour")},
			{registry(dies("{a}", "informal", "-3 hours"))},
			{registry(livesOn)},
			{registry(dies("{a}", "formal", "-2 hours"))},
		}, clinic(`SELECT FROM appointments.cancellation WHERE patient_id = {a} HAVING count(*) = 2 AND count(restored_at) = 1`)},
		{"a death in the future", [rounds][]act{
			{books("{a}", "'therapy'", "48 hours", "1 hour")},
			{registry(dies("{a}", "informal", "72 hours"))},
		}, listed("reason = 'future_death'")},
		{"attended after the time of death", [rounds][]act{
			{books("{a}", "'laboratory'", "-1 hour", "15 minutes")},
			{
				clinic(`UPDATE appointments.appointment SET status = 'fulfilled', touched_by = 'reception' WHERE patient_id = {a}`),
				registry(dies("{a}", "informal", "-3 hours")),
			},
		}, listed("reason = 'seen_after_death' AND urgent")},
		{"a kind that stays after all", [rounds][]act{
			{clinic(`INSERT INTO appointments.kind (code, description) VALUES ({a}, 'Farewell')`), books("{a}", "{a}", "48 hours", "1 hour")},
			{registry(dies("{a}", "formal", "-3 hours"))},
			{clinic(`UPDATE appointments.kind SET post_mortem = true WHERE code = {a}`)},
		}, listed("reason = 'kind_stays'")},
		{"long dead, merged into the living", [rounds][]act{
			{},
			{registry(merges("{old}", "{a}"))},
		}, mortuary(`SELECT FROM morgue.alert WHERE patient_id = {old} AND kind = 'merge_conflict'`)},
		{"living, merged into the long dead", [rounds][]act{
			{books("{a}", "'followup'", "48 hours", "1 hour")},
			{registry(merges("{a}", "{old}"))},
		}, clinic(`SELECT FROM appointments.worklist WHERE patient_id = {old} AND detail = 'historic'`)},
		{"a body whose patient is declared alive twice", [rounds][]act{
			{},
			{registry(dies("{a}", "formal", "-3 hours"))},
			{received("{a}"), registry(livesOn)},
			{
				mortuary(`UPDATE morgue.alert SET resolved_at = now(), resolved_by = 'attendant' WHERE patient_id = {a}`),
				registry(dies("{a}", "formal", "-3 hours")),
			},
			{registry(livesOn)},
		}, mortuary(`SELECT FROM morgue.alert WHERE patient_id = {a} AND kind = 'identity' HAVING count(*) = 2 AND count(resolved_at) = 1`)},
		{"a body under a retired record, renamed", [rounds][]act{
			{},
			{registry(dies("{a}", "formal", "-3 hours")), registry(dies("{b}", "formal", "-3 hours"))},
			{received("{a}"), registry(merges("{a}", "{b}"))},
			{registry(`UPDATE patients.patient SET family_name = 'Restated' WHERE id = {b}`)},
		}, mortuary(`SELECT FROM morgue.alert WHERE patient_id = {a} AND kind = 'identity_changed'`)},
		{"one fact edited, the death restated", [rounds][]act{
			{},
			{registry(dies("{a}", "informal", "-3 hours"))},
			{mortuary(`UPDATE morgue.case_file SET family_name = 'Edited' WHERE patient_id = {a}`)},
			{registry(dies("{a}", "formal", "-4 hours"))},
		}, mortuary(`SELECT FROM morgue.case_file WHERE patient_id = {a} AND family_name = 'Edited' AND death_status = 'formal'`)},
		{"a body without a notice, reassigned", [rounds][]act{
			{mortuary(`CALL morgue.take_in({a}, 'attendant', NULL)`)},
			{registry(dies("{a}", "formal", "-3 hours"))},
			{mortuary(`DO $$ DECLARE
				taken bigint := (SELECT id FROM morgue.case_file WHERE tag = {a});
				noticed bigint := (SELECT id FROM morgue.case_file WHERE patient_id = {a});
				BEGIN CALL morgue.reassign(taken, noticed, 'attendant'); END $$`)},
		}, mortuary(`SELECT FROM morgue.case_file WHERE patient_id = {a} AND state = 'received' AND tag = {a}`)},
		{"a retraction only observed at first", [rounds][]act{
			{books("{a}", "'surgery'", "48 hours", "2 hours")},
			{registry(dies("{a}", "formal", "-3 hours"))},
			{},
			{},
			{registry(livesOn)},
		}, clinic(`SELECT FROM appointments.appointment WHERE patient_id = {a} AND status = 'booked' AND revision = 2`)},
	}
}

// books gives a patient an appointment, in hours from now, in a separate room for the scene.
func books(patient, kind, in, length string) act {
	return clinic(fmt.Sprintf(`INSERT INTO appointments.appointment (patient_id, kind, resource, starts_at, ends_at)
		VALUES (%s, %s, 'Room ' || {a}, now() + interval '%s', now() + interval '%[3]s' + interval '%[4]s')`, patient, kind, in, length))
}

func dies(patient, status, in string) string {
	return fmt.Sprintf(`UPDATE patients.patient SET death_status = '%s', death_precision = 'minute',
			death_earliest = date_trunc('minute', now()) + interval '%s', death_latest = date_trunc('minute', now()) + interval '%[2]s 1 minute'
		WHERE id = %[3]s`, status, in, patient)
}

const livesOn = `UPDATE patients.patient SET death_status = 'void', death_precision = NULL, death_earliest = NULL, death_latest = NULL
		WHERE id = {a}`

func merges(retired, survivor string) string {
	return fmt.Sprintf(`INSERT INTO patients.alias (retired_id, survivor_id) VALUES (%s, %s)`, retired, survivor)
}

func received(patient string) act {
	return mortuary(fmt.Sprintf(`DO $$ DECLARE expected bigint := (SELECT id FROM morgue.case_file WHERE patient_id = %s);
		BEGIN CALL morgue.receive(expected, %[1]s, 'attendant'); END $$`, patient))
}

// listed finds an item of {a}'s.
func listed(where string) act {
	return clinic(`SELECT FROM appointments.worklist WHERE patient_id = {a} AND ` + where)
}
