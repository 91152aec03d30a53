package intake

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"waybill/partner/format/record"
)

// vitalRecords is a message of US vital records: a death certificate, or its void.
func vitalRecords(event, at string, certificate int) string {
	const loinc = `{"coding":[{"system":"http://loinc.org","code":"%s"}]}`
	document := fmt.Sprintf(`,{"resource":{"resourceType":"Bundle","type":"document","entry":[
{"resource":{"resourceType":"Composition","status":"final","type":`+loinc+`,"subject":{"reference":"Patient/d"},"attester":[{"mode":"legal"}]}},
{"resource":{"resourceType":"Patient","id":"d","name":[{"family":"Quill"}]}},
{"resource":{"resourceType":"Observation","status":"final","code":`+loinc+`,"subject":{"reference":"Patient/d"},"valueDateTime":"2024-05-06"}}]}}`, "64297-5", "81956-5")
	if strings.HasSuffix(event, "void") {
		document = ""
	}
	return fmt.Sprintf(`{"resourceType":"Bundle","type":"message","timestamp":"2024-05-%s:00:00Z","entry":[{"resource":{"resourceType":"MessageHeader","eventUri":"http://nchs.cdc.gov/%s"}},
{"resource":{"resourceType":"Parameters","parameter":[{"name":"jurisdiction_id","valueString":"MA"},{"name":"death_year","valueUnsignedInt":2024},{"name":"cert_no","valueUnsignedInt":%d}]}}%s]}`, at, event, certificate, document)
}

// A void takes back the death of the certificate that it names, in any order of arrival. A later submission states
// it again.
func TestAVoidTakesADeathCertificateBack(t *testing.T) {
	conn := service(t)
	give := func(text string) (kinds []string) {
		t.Helper()
		opened, err := (&Format{Kind: "fhir", Zone: "UTC"}).Open("f", "registrar", time.Now(), strings.NewReader(strings.ReplaceAll(text, "\n", "")))
		if err != nil {
			t.Fatal(err)
		}
		err = pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			counts, err := Take(t.Context(), tx, "registrar", Dispute, opened.All(), func(o Outcome) error { kinds = append(kinds, o.Kind); return nil })
			expect(t, counts.Refused, int64(0))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return kinds
	}
	deaths := func() []string {
		return column(t, conn, "SELECT concat_ws(' ', i.value, p.family_name, p.death_status) FROM patients.patient p JOIN patients.identifier i ON i.patient_id = p.id ORDER BY 1")
	}
	give(vitalRecords("vrdr_submission", "07T01", 1))
	expect(t, deaths(), []string{"2024MA000001 Quill formal"})
	expect(t, give(vitalRecords("vrdr_submission_void", "07T02", 1)), []string{"changed"})
	expect(t, deaths(), []string{"2024MA000001 Quill void"})
	expect(t, column(t, conn, "SELECT event FROM patients.outbox ORDER BY position DESC LIMIT 1"), []string{"death_retracted"})
	give(vitalRecords("vrdr_submission_update", "07T03", 1))
	expect(t, deaths(), []string{"2024MA000001 Quill " + record.Formal})

	give(vitalRecords("vrdr_submission_void", "07T02", 2))
	expect(t, give(vitalRecords("vrdr_submission", "07T01", 2)), []string{"stale"})
	expect(t, deaths()[1], "2024MA000002 void")
}
