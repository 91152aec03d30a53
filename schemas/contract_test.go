package schemas_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waybill/lab/pg"
	"waybill/schemas"
)

var update = flag.Bool("update", false, "write generated files instead of comparing them")

// assertFile compares a generated file with the one in the repository.
func assertFile(t *testing.T, name string, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date: run go generate ./schemas\n%s", name, diff)
	}
}

func TestContractMarkdown(t *testing.T) {
	assertFile(t, "contract.md", markdown(schemas.PatientEvents()))
}

// A minor revision adds nullable columns behind those of 1.0, and changes nothing else.
func TestContractColumns(t *testing.T) {
	c := schemas.PatientEvents()
	if c.Name != schemas.Stream || len(c.SHA256) != 64 || c.Major() != "1" {
		t.Errorf("%s %s %s", c.Name, c.Version, c.SHA256)
	}
	want := "event text NOT NULL, baseline boolean NOT NULL, patient_id uuid NOT NULL, generation integer NOT NULL, " +
		"version bigint NOT NULL, revision integer NOT NULL, recorded_at timestamptz NOT NULL, death_no integer NOT NULL, " +
		"death_status text NOT NULL, death_earliest timestamptz, death_latest timestamptz, death_precision text, " +
		"merged_into uuid, identifiers jsonb NOT NULL, family_name text, given_name text, birth_date text, sex text, " +
		"address_line text, address_city text, address_postcode text, address_country text"
	if added, ok := strings.CutPrefix(pg.Columns(c), want); !ok || strings.Contains(added, "NOT NULL") {
		t.Errorf("columns: %s\nwant these, and nullable ones: %s", pg.Columns(c), want)
	}
	events := []string{
		schemas.Registered, schemas.Updated, schemas.Died, schemas.DeathRetracted,
		schemas.DeathCorrected, schemas.Merged, schemas.Erased,
	}
	if diff := cmp.Diff(events, c.Events()); diff != "" {
		t.Error(diff)
	}
}

// The contract's dates of birth are exactly the calendar's: years, months and days from year 1 on.
func TestDatesOfBirthAreOfTheCalendar(t *testing.T) {
	columns := schemas.PatientEvents().Columns
	pattern := columns[slices.IndexFunc(columns, func(c schemas.Column) bool { return c.Name == "birth_date" })].Pattern
	for year := range 10_000 {
		for month := range 14 {
			for _, day := range []int{0, 1, 9, 10, 19, 20, 28, 29, 30, 31, 32} {
				text := fmt.Sprintf("%04d-%02d-%02d", year, month, day)
				if _, err := time.Parse(time.DateOnly, text); pattern.MatchString(text) != (err == nil && year > 0) {
					t.Fatalf("%s is allowed: %t", text, pattern.MatchString(text))
				}
			}
		}
	}
	for text, want := range map[string]bool{"1950": true, "1950-12": true, "1950-00": false, "1950-13": false, "0000": false, "0000-01": false, "1950-": false, "1950-1-1": false} {
		if pattern.MatchString(text) != want {
			t.Errorf("%s is allowed: %t", text, !want)
		}
	}
}

// Everyone who masks or grants by classification must find all columns about a person.
// Slim parts say whether a patient died, and not who that is. They keep what orders events, and what rules need.
func TestSlimPartsNameNobody(t *testing.T) {
	for _, c := range schemas.Contracts() {
		got := strings.Join(c.Slim().ColumnNames(), " ")
		want := "event baseline patient_id generation version revision recorded_at death_no death_status death_earliest death_latest death_precision merged_into"
		if got != want {
			t.Errorf("slim parts of %s have %s", c.Name, got)
		}
	}
}

func TestPersonalDataIsClassified(t *testing.T) {
	internal := []string{"baseline", "generation", "version", "revision", "recorded_at"}
	for _, col := range schemas.PatientEvents().Columns {
		want := "restricted"
		if slices.Contains(internal, col.Name) {
			want = "internal"
		}
		if col.Classification != want {
			t.Errorf("%s is %q, want %q", col.Name, col.Classification, want)
		}
		if col.Description == "" {
			t.Errorf("%s has no description", col.Name)
		}
	}
}

func TestParquetSchemaKeepsTheOrder(t *testing.T) {
	c := schemas.PatientEvents()
	want := `message patient-events {
	required binary event (STRING);
	required boolean baseline;
	required fixed_len_byte_array(16) patient_id (UUID);
	required int32 generation (INT(32,true));
	required int64 version (INT(64,true));
	required int32 revision (INT(32,true));
	required int64 recorded_at (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	required int32 death_no (INT(32,true));
	required binary death_status (STRING);
	optional int64 death_earliest (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	optional int64 death_latest (TIMESTAMP(isAdjustedToUTC=true,unit=MICROS));
	optional binary death_precision (STRING);
	optional fixed_len_byte_array(16) merged_into (UUID);
	required binary identifiers (JSON);
	optional binary family_name (STRING);
	optional binary given_name (STRING);
	optional binary birth_date (STRING);
	optional binary sex (STRING);
	optional binary address_line (STRING);
	optional binary address_city (STRING);
	optional binary address_postcode (STRING);
	optional binary address_country (STRING);
`
	if got := c.ParquetSchema().String(); !strings.HasPrefix(got, want) {
		t.Errorf("the schema is\n%s\nand should begin with\n%s", got, want)
	}
}

func TestContractsThatCannotBeRead(t *testing.T) {
	good, err := os.ReadFile("patient-events.odcs.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{"apiVersion: v3.1.0", "apiVersion: v2.0.0", "want one schema"},
		{"physicalType: bigint", "physicalType: numeric", `property "version": no type is integer as numeric`},
		{"minimum: '1900-01-01T00:00:00Z'", "minimum: yesterday", `property "recorded_at"`},
		{"pattern: '^((", "pattern: '^(((", `property "birth_date"`},
		{"kind: DataContract", "kind: [", "parse contract"},
	} {
		bad := strings.Replace(string(good), c.old, c.new, 1)
		if bad == string(good) {
			t.Fatalf("%q isn't there", c.old)
		}
		if _, err := schemas.ParseContract([]byte(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}
