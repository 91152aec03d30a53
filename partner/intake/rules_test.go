package intake

import (
	"fmt"
	"strings"
	"testing"

	"waybill/partner/format/record"
)

// Two statements are about two people if the birth dates, the sexes or all names differ. What is missing differs from nothing.
func TestIsOtherPerson(t *testing.T) {
	conn := service(t)
	for _, c := range []struct {
		a, b  string // family name, given name, birth date and sex; "-" is NULL
		other bool
	}{
		{"Quill|Ada|1950-02-03|female", "Quill|Ada|1950-02-03|female", false},
		{"-|-|-|-", "Quill|Ada|1950-02-03|female", false},
		{"|||", "Quill|Ada|1950-02-03|female", false},
		{"-|-|1950-02-03|-", "-|-|1950|-", false},
		{"-|-|1950-02-03|-", "-|-|1950-03|-", true},
		{"-|-|1950-02-03|-", "-|-|1950-02-04|-", true},
		{"-|-|-|female", "-|-|-|male", true},
		{"-|-|-|female", "-|-|-|unknown", false},
		{"-|-|-|female", "-|-|-|", false},
		{"Quill|Ada|-|-", "Reed|Tom|-|-", true},
		{"Quill|Ada|-|-", "Reed|ada|-|-", false},
		{"Quill|Ada|-|-", "QUILL|Tom|-|-", false},
		{"Quill|Ada|-|-", "|Tom|-|-", false},
		{"Quill|Ada|-|-", "Reed||-|-", false},
	} {
		for _, both := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			got := column(t, conn, `SELECT patients.is_other_person(a[1], a[2], a[3], a[4], b[1], b[2], b[3], b[4])::text
				FROM (SELECT string_to_array($1, '|', '-') AS a, string_to_array($2, '|', '-') AS b) AS it`, both[0], both[1])
			if want := fmt.Sprint(c.other); got[0] != want {
				t.Errorf("%q and %q: %s, want %s", both[0], both[1], got[0], want)
			}
		}
	}
}

// A death before the birth date that is known is disputed, unless the record gives a birth date.
func TestADeathBeforeTheBirth(t *testing.T) {
	conn := service(t)
	born := func(date record.Text) func(*record.Record) { return func(r *record.Record) { r.BirthDate = date } }
	const disputed = "disputed reports a death before the birth date that is known"
	for number, c := range []struct {
		say  func(*record.Record)
		born record.Text
		want string
	}{
		{died(record.Informal, "1950-02-02"), record.Text{}, disputed},
		{died(record.Formal, "1950-02-02"), record.Deleted, disputed},
		{died(record.Informal, "1950-02-02"), record.Of("1950"), "changed"},
		{died(record.Informal, "1950-02-03"), record.Text{}, "changed"},
	} {
		says := func(what ...func(*record.Record)) []string {
			return take(t, conn, "partner", says(fmt.Sprint(11+number), what...))
		}
		says(born(record.Of("1950-02-03")))
		expect(t, says(c.say, born(c.born)), []string{c.want})
	}
}

// Records of one file are taken in the source's order, also those of records that the file merges: none is older than the one before.
func TestNoneOfAFileIsStale(t *testing.T) {
	conn := service(t)
	for name, at := range places {
		for _, c := range []struct {
			last func(*record.Record)
			want string
		}{{family("Marsh"), "inserted"}, {merges("8"), "merged"}} {
			hospital := name + ", " + c.want
			got := take(t, conn, "partner", of(hospital, []record.Record{says("7", at(2), family("Quill")), says("7", at(1), family("Reed")), says("7", at(0), c.last)})...)
			expect(t, got, []string{"changed", "changed", c.want})
		}
	}
}

// A key that is a UUID means the patient of that id, if there is one, and otherwise the one who has it as an identifier.
func TestAKeyThatIsAUUID(t *testing.T) {
	conn := service(t)
	const known, unknown = "0a1b2c3d-0000-4000-8000-000000000001", "0a1b2c3d-0000-4000-8000-000000000002"
	if _, err := conn.Exec(t.Context(), `WITH named AS (INSERT INTO patients.patient (family_name) VALUES ('Reed') RETURNING id)
		INSERT INTO patients.identifier SELECT id, 'NGH', 'MR', unnest(ARRAY[$1, $2]) FROM named`, known, unknown); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `INSERT INTO patients.patient (id, family_name) VALUES ($1, 'Quill')`, known); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{known, unknown} {
		got := take(t, conn, "partner", record.Record{Key: mr(key), Address: record.Address{City: record.Of(key[35:])}})
		expect(t, got, []string{"changed"})
	}
	expect(t, column(t, conn, `SELECT family_name || ' of ' || address_city FROM patients.patient ORDER BY family_name`), []string{"Quill of 1", "Reed of 2"})
}

// Each field of a patient is taken over, left as it is, and removed, while the others stay.
func TestEachFieldAlone(t *testing.T) {
	conn := service(t)
	fields := []func(*record.Record) *record.Text{
		func(r *record.Record) *record.Text { return &r.Family },
		func(r *record.Record) *record.Text { return &r.Given },
		func(r *record.Record) *record.Text { return &r.BirthDate },
		func(r *record.Record) *record.Text { return &r.Sex },
		func(r *record.Record) *record.Text { return &r.Address.Line },
		func(r *record.Record) *record.Text { return &r.Address.City },
		func(r *record.Record) *record.Text { return &r.Address.Postcode },
		func(r *record.Record) *record.Text { return &r.Address.Country },
	}
	first := []string{"Quill", "Ada", "1950-02-03", "female", "1 Wharf Lane", "Porthaven", "PH1 2AB", "XX"}
	second := []string{"Reed", "Tom", "1951", "male", "2 Wharf Lane", "Northaven", "PH1 2AC", "YY"}
	of := func(n int, values []string, those ...int) record.Record {
		r := says(fmt.Sprint(11 + n))
		for _, i := range those {
			*fields[i](&r) = record.Deleted
			if values != nil {
				*fields[i](&r) = record.Of(values[i])
			}
		}
		return r
	}
	known := func(n int) string {
		return column(t, conn, `SELECT concat_ws('|', coalesce(family_name, '-'), coalesce(given_name, '-'), coalesce(birth_date, '-'), coalesce(sex, '-'),
			coalesce(address_line, '-'), coalesce(address_city, '-'), coalesce(address_postcode, '-'), coalesce(address_country, '-'))
			FROM patients.patient JOIN patients.identifier ON patient_id = id WHERE value = $1`, fmt.Sprint(11+n))[0]
	}
	for n := range fields {
		want := append([]string(nil), first...)
		for _, step := range []struct {
			record record.Record
			value  string
			want   string
		}{
			{of(n, first, 0, 1, 2, 3, 4, 5, 6, 7), first[n], "inserted"},
			{of(n, second, n), second[n], "changed"},
			{of(n, second, n), second[n], "unchanged"},
			{of(n, nil, n), "-", "changed"},
			{of(n, nil, n), "-", "unchanged"},
			{of(n, first, n), first[n], "changed"},
			{of(n, nil), first[n], "unchanged"},
		} {
			expect(t, take(t, conn, "partner", step.record), []string{step.want})
			want[n] = step.value
			expect(t, known(n), strings.Join(want, "|"))
		}
	}
}
