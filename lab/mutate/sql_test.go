package main

import (
	"slices"
	"testing"
)

// Each mutation of a text is there, and what assigns or defines stays.
func TestMutationsOfSQL(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"SELECT FROM a WHERE x = 1 AND y < 2", []string{
			"SELECT FROM a WHERE x <> 1 AND y < 2", "SELECT FROM a WHERE x = 1 ", "SELECT FROM a WHERE  y < 2", "SELECT FROM a WHERE x = 1 OR y < 2",
			"SELECT FROM a WHERE x = 1 AND y >= 2", "SELECT FROM a WHERE x = 1 AND y <= 2",
		}},
		{"UPDATE a SET b = 1 WHERE NOT c", []string{"UPDATE a SET b = 1 WHERE true", "UPDATE a SET b = 1 WHERE  c"}},
		{"UPDATE a SET b = CASE WHEN c THEN d END, (e, f) = (SELECT g)", []string{"UPDATE a SET b = CASE WHEN false THEN d END, (e, f) = (SELECT g)"}},
		{"SELECT coalesce(a, b) FROM c WHERE d IS DISTINCT FROM e", []string{
			"SELECT coalesce(a) FROM c WHERE d IS DISTINCT FROM e", "SELECT coalesce(a, b) FROM c WHERE true",
			"SELECT coalesce(a, b) FROM c WHERE d IS NOT DISTINCT FROM e", "SELECT coalesce(a, b) FROM c WHERE d <> e",
		}},
		{"SELECT CASE WHEN a THEN 1 ELSE 2 END", []string{"SELECT CASE WHEN false THEN 1 ELSE 2 END", "SELECT CASE WHEN a THEN 1  END"}},
		{"SELECT CASE a WHEN 3 THEN 1 ELSE 2 END", []string{"SELECT CASE a WHEN 3 THEN 1  END"}},
		{"INSERT INTO a SELECT b FROM c ORDER BY d, e DESC ON CONFLICT DO NOTHING RETURNING f", []string{
			"INSERT INTO a SELECT b FROM c  ON CONFLICT DO NOTHING RETURNING f", "INSERT INTO a SELECT b FROM c ORDER BY d, e DESC  RETURNING f",
		}},
		{"SELECT FROM a ORDER BY b FOR NO KEY UPDATE OF a SKIP LOCKED", []string{
			"SELECT FROM a  FOR NO KEY UPDATE OF a SKIP LOCKED", "SELECT FROM a ORDER BY b FOR NO KEY UPDATE OF a ", "SELECT FROM a ORDER BY b ",
		}},
		{"a int CHECK (b BETWEEN 1 AND 2 OR c)", []string{"a int CHECK (b BETWEEN 1 AND 2 )", "a int CHECK ( c)", "a int CHECK (b BETWEEN 1 AND 2 AND c)"}},
		{"$$ BEGIN x := least(a, b); END $$", []string{"$$ BEGIN  END $$", "$$ BEGIN x := least( b); END $$", "$$ BEGIN x := least(a); END $$"}},
		{"CREATE INDEX a ON b (c) WHERE d", []string{"CREATE INDEX a ON b (c) WHERE true"}},
		{"SELECT FROM a JOIN b ON a.c = b.c", []string{"SELECT FROM a JOIN b ON true", "SELECT FROM a JOIN b ON a.c <> b.c"}},
		{"$$ BEGIN IF a THEN RAISE EXCEPTION 'b' USING HINT = 'c'; END IF; END $$", []string{
			"$$ BEGIN IF NOT (a) THEN RAISE EXCEPTION 'b' USING HINT = 'c'; END IF; END $$", "$$ BEGIN IF a THEN  END IF; END $$",
		}},
		{"-- WHERE a = b\nSELECT 'it''s = it'", nil},
	} {
		var got []string
		for _, m := range mutateSQL(test.text) {
			got = append(got, test.text[:m.from]+m.text+test.text[m.to:])
		}
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s:\n got %q\nwant %q", test.text, got, test.want)
		}
	}
}
