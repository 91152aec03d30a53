package morgue_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"waybill/importer"
	"waybill/importer/morgue"
	"waybill/lab/pg/pgtest"
)

// Whose name is similar must not depend on where a database was made: by Turkish rules I is the capital of ı.
func TestNameKeys(t *testing.T) {
	for name, locale := range map[string]string{
		"C": "LOCALE 'C'", "Turkish": "LOCALE_PROVIDER icu ICU_LOCALE 'tr' LOCALE 'C.UTF-8'", "German": "LOCALE_PROVIDER icu ICU_LOCALE 'de' LOCALE 'C.UTF-8'",
	} {
		t.Run(name, func(t *testing.T) {
			conn := migratedIn(t, "names_"+name, locale)
			testNameKeys(t, conn)
			testNameKeysStayAsTheyWere(t, conn)
		})
	}
}

func testNameKeys(t *testing.T, conn *pgx.Conn) {
	for _, test := range []struct {
		a, b [2]string // family and given name
		same bool
	}{
		{[2]string{"Smith", "John"}, [2]string{"SMITH", "Jonathan"}, true},
		{[2]string{"Smith", "John"}, [2]string{"Smyth", "J"}, true},
		{[2]string{"Smith", "John"}, [2]string{"Smith", "Mary"}, false},
		{[2]string{"Smith", "John"}, [2]string{"Baker", "John"}, false},
		{[2]string{"Müller", "Jürgen"}, [2]string{"Mueller", "Joerg"}, true},
		{[2]string{"O'Brien", "Pat"}, [2]string{"OBrien", "Pat"}, true},
		{[2]string{"O’Brien", "Pat"}, [2]string{"O Brien", "Pat"}, true},
		{[2]string{"García‐López", "Ana"}, [2]string{"Garcia Lopez", "Ána"}, true},
		{[2]string{"Weiß", "Ida"}, [2]string{"Weiss", "Ida"}, true},
		{[2]string{"Øster", "Ida"}, [2]string{"Oster", "Ida"}, true},
		{[2]string{"Łaski", "Ida"}, [2]string{"Laski", "Ida"}, true},
		{[2]string{"Ægir", "Ida"}, [2]string{"Aegir", "Ida"}, true},
		{[2]string{"Pfister", "Ida"}, [2]string{"Pister", "Ida"}, true},
		{[2]string{"Inci", "Ilgaz"}, [2]string{"INCI", "ilgaz"}, true},
		{[2]string{"Işık", "Işıl"}, [2]string{"IŞIK", "İpek"}, true},
		{[2]string{"Иванов", "Иван"}, [2]string{"ИВАНОВ", "Илья"}, true},
		{[2]string{"Иванов", "Иван"}, [2]string{"Петров", "Иван"}, false},
		{[2]string{"Παπαδόπουλος", "Άννα"}, [2]string{"ΠΑΠΑΔΟΠΟΥΛΟΣ", "Α."}, true},
		{[2]string{"王", "伟"}, [2]string{"王", "伟"}, true},
		{[2]string{"王", "伟"}, [2]string{"李", "伟"}, false},
	} {
		var got bool
		if err := conn.QueryRow(t.Context(), `SELECT morgue.name_key($1, $2) = morgue.name_key($3, $4)`, test.a[0], test.a[1], test.b[0], test.b[1]).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != test.same {
			t.Errorf("%s and %s: similar is %v, want %v", test.a, test.b, got, test.same)
		}
	}
	var none bool
	if err := conn.QueryRow(t.Context(), `SELECT num_nonnulls(morgue.name_key('-', 'Ida'), morgue.name_key('Weiss', '?'), morgue.name_key(NULL, 'Ida')) = 0`).Scan(&none); err != nil || !none {
		t.Errorf("names of no letters have a key, error %v", err)
	}
}

// migratedIn returns a connection to a new database of that locale with the morgue's tables.
func migratedIn(t *testing.T, name, locale string) *pgx.Conn {
	t.Helper()
	server := pgtest.Server(t)
	super, err := pgx.Connect(t.Context(), server.SuperURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	database := pgx.Identifier{name}.Sanitize()
	if _, err := super.Exec(t.Context(), "CREATE DATABASE "+database+" TEMPLATE template0 ENCODING 'UTF8' "+locale); err != nil {
		t.Fatal(err)
	}
	consumer, err := importer.LoadConsumer(morgue.Files())
	if err != nil {
		t.Fatal(err)
	}
	if err := importer.Migrate(t.Context(), server.SuperURL(name), consumer); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), server.SuperURL(name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}
