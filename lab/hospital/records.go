package hospital

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// What the patients service's application does, in the SQL that it would send.

func insertPerson(ctx context.Context, tx pgx.Tx, p person) error {
	if _, err := tx.Exec(ctx, insertPatient, p.row()...); err != nil {
		return err
	}
	for _, i := range p.identifiers {
		if err := addIdentifier(ctx, tx, p.id, i); err != nil {
			return err
		}
	}
	return nil
}

var insertPatient = fmt.Sprintf("INSERT INTO patients.patient (%s) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
	strings.Join(patientColumns, ", "))

func addIdentifier(ctx context.Context, tx pgx.Tx, patient id, i identifier) error {
	_, err := tx.Exec(ctx, "INSERT INTO patients.identifier (patient_id, authority, type, value) VALUES ($1, $2, $3, $4)",
		patient, i.authority, i.kind, i.value)
	return err
}

// replaceRecordNumber withdraws the record numbers of another hospital and adds a new one.
func replaceRecordNumber(ctx context.Context, tx pgx.Tx, patient id, value string) error {
	_, err := tx.Exec(ctx, "DELETE FROM patients.identifier WHERE patient_id = $1 AND authority = $2", patient, formerAuthority)
	if err != nil {
		return err
	}
	return addIdentifier(ctx, tx, patient, identifier{formerAuthority, typeMedicalRecord, value})
}

func move(ctx context.Context, tx pgx.Tx, patient id, to address) error {
	_, err := tx.Exec(ctx, `UPDATE patients.patient
		SET address_line = $2, address_city = $3, address_postcode = $4, address_country = $5 WHERE id = $1`,
		patient, to.line, to.city, to.postcode, to.country)
	return err
}

func rename(ctx context.Context, tx pgx.Tx, patient id, family string) error {
	_, err := tx.Exec(ctx, "UPDATE patients.patient SET family_name = $2 WHERE id = $1", patient, family)
	return err
}

func setBirthDate(ctx context.Context, tx pgx.Tx, patient id, date string) error {
	_, err := tx.Exec(ctx, "UPDATE patients.patient SET birth_date = $2 WHERE id = $1", patient, text(date))
	return err
}

// touch writes a row without changing it, as applications do that save whole forms.
func touch(ctx context.Context, tx pgx.Tx, patient id) error {
	_, err := tx.Exec(ctx, "UPDATE patients.patient SET family_name = family_name, sex = sex WHERE id = $1", patient)
	return err
}

func setDeath(ctx context.Context, tx pgx.Tx, patient id, d death) error {
	_, err := tx.Exec(ctx, `UPDATE patients.patient
		SET death_status = $2, death_earliest = $3, death_latest = $4, death_precision = $5 WHERE id = $1`,
		append([]any{patient}, d.row()...)...)
	return err
}

// readDeath locks the record.
func readDeath(ctx context.Context, tx pgx.Tx, patient id) (death, error) {
	var d death
	var precision *string
	var earliest, latest *time.Time
	err := tx.QueryRow(ctx, `SELECT death_status, death_earliest, death_latest, death_precision
		FROM patients.patient WHERE id = $1 FOR NO KEY UPDATE`, patient).Scan(&d.status, &earliest, &latest, &precision)
	if err == nil && precision != nil {
		d.earliest, d.latest, d.precision = *earliest, *latest, *precision
	}
	return d, err
}

// recordDeath reports a death through the service's own function, which knows of merges.
func recordDeath(ctx context.Context, tx pgx.Tx, patient id, d death) error {
	_, err := tx.Exec(ctx, "SELECT patients.record_death($1, $2, $3, $4, $5)", append([]any{patient}, d.row()...)...)
	return err
}

func merge(ctx context.Context, tx pgx.Tx, retired, survivor id) error {
	_, err := tx.Exec(ctx, "INSERT INTO patients.alias (retired_id, survivor_id) VALUES ($1, $2)", retired, survivor)
	return err
}

// certificate is the identifier that a registrar gives to a death.
func certificate(r *rand.Rand) identifier {
	return identifier{"https://registrar.example/deaths", "DEATH", fmt.Sprintf("D%016X", r.Uint64())}
}
