package morgue_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// namesWere are the functions in the form in which they are easy to check, and slow.
const namesWere = `
	CREATE SCHEMA was;
	CREATE FUNCTION was.name_letters(name text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT
	RETURN lower(replace(replace(replace(replace(translate(
	    regexp_replace(normalize(name, NFKD) COLLATE "C", '[\u0300-\u036f\u02b0-\u02ff\u2000-\u206f[:space:][:punct:]]', '', 'g'),
	    'ØøŁłĐđÐðÆŒÞẞı'
	    'ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩςАБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЂЄЅІЈЉЊЋЏҐ',
	    'ooLlDdDdæœþßi'
	    'αβγδεζηθικλμνξοπρστυφχψωσабвгдежзиклмнопрстуфхцчшщъыьэюяђєѕіјљњћџґ'), 'æ', 'ae'), 'œ', 'oe'), 'þ', 'th'), 'ß', 'ss'));
	CREATE FUNCTION was.name_sound(letters text) RETURNS text
	LANGUAGE sql IMMUTABLE STRICT
	RETURN CASE WHEN letters ~ '^[a-z]+$' THEN
	    left(letters, 1) || rpad(left(replace(substr(regexp_replace(
	        translate(letters, 'abcdefghijklmnopqrstuvwxyz', '01230120022455012623010202'),
	        '(.)\1+', '\1', 'g'), 2), '0', ''), 3), 3, '0')
	    ELSE letters END;
	CREATE FUNCTION was.name_key(family_name text, given_name text) RETURNS text
	LANGUAGE sql IMMUTABLE
	RETURN nullif(was.name_sound(was.name_letters(family_name)), '') || ' ' || nullif(left(was.name_letters(given_name), 1), '')`

// The quick functions give every name the key that the plain ones give it: databases hold keys of both.
func testNameKeysStayAsTheyWere(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), namesWere); err != nil {
		t.Fatal(err)
	}
	var names, keys int
	var differs string
	err := conn.QueryRow(t.Context(), `
		WITH letter AS (SELECT array_agg(chr(n)) AS of FROM generate_series(33, 1200) n WHERE n < 127 OR n > 160),
		random AS ( -- of letters that sound alike, of those of Latin, and of any
		    SELECT string_agg(CASE n % 3 WHEN 0 THEN substr('bpfvlLrmnaehcz', 1 + abs(h % 14), 1) WHEN 1 THEN chr(97 + abs(h % 26)) ELSE letter.of[1 + abs(h % array_length(letter.of, 1))] END, '') AS name
		    FROM letter, generate_series(1, 3000) n, generate_series(1, 1 + n % 17) i, LATERAL (SELECT hashtext(n || ' ' || i) AS h) AS it GROUP BY n),
		of (name) AS (
		    SELECT name FROM random
		    UNION ALL SELECT repeat(l, n) || r FROM regexp_split_to_table('abcdehklmrsßæÆþİıiI- .''', '') l, generate_series(0, 20) n, unnest('{"", hello, bB, "Hh "}'::text[]) r
		    UNION ALL SELECT NULL)
		SELECT count(*), count(DISTINCT morgue.name_key(name, name)), coalesce(min('another for ' || name) FILTER (WHERE morgue.name_key(name, name) IS DISTINCT FROM was.name_key(name, name)), '') FROM of`).Scan(&names, &keys, &differs)
	if err != nil {
		t.Fatal(err)
	}
	if differs != "" || keys < 500 {
		t.Errorf("%d names, %d keys %s", names, keys, differs)
	}
}
