package audit

import (
	"context"
	"fmt"
	"index/suffixarray"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Secrecy is what everybody can learn from a store of who the patients are.
type Secrecy struct {
	Files, Words int
	Found        []string // should be none
}

// shortest is the length below which a word may be in other bytes by chance.
const shortest = 6

// Secret looks for words of all patients who were ever in the outbox: names, dates of birth, lines of addresses, identifiers,
// and ids as text and as bytes. It looks in names and bytes of all files below a folder, with all that a server keeps there.
func Secret(ctx context.Context, patients *pgx.Conn, folder string) (s Secrecy, err error) {
	var all []byte
	files, starts := []string{}, []int{}
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		files, starts = append(files, path), append(starts, len(all))
		all = append(append(append(all, path...), '\n'), data...)
		return err
	})
	if err != nil {
		return s, err
	}
	s.Files = len(files)
	index := suffixarray.New(all)
	rows, err := patients.Query(ctx, `SELECT DISTINCT word FROM patients.outbox, LATERAL (
		    VALUES (uuid_send(patient_id)), (convert_to(patient_id::text, 'UTF8')), (convert_to(family_name, 'UTF8')), (convert_to(given_name, 'UTF8')),
		        (convert_to(address_line, 'UTF8')), (convert_to(CASE WHEN birth_date < (current_date - 7)::text THEN birth_date END, 'UTF8'))
		    UNION ALL SELECT convert_to(i ->> 'value', 'UTF8') FROM jsonb_array_elements(identifiers) i) w (word)
		WHERE length(word) >= $1`, shortest)
	if err != nil {
		return s, err
	}
	var word []byte
	_, err = pgx.ForEachRow(rows, []any{&word}, func() error {
		s.Words++
		for _, at := range index.Lookup(word, 1) {
			file, _ := slices.BinarySearch(starts, at+1)
			s.Found = append(s.Found, fmt.Sprintf("%s names a patient: %d bytes from byte %d", files[file-1], len(word), at-starts[file-1]))
		}
		return nil
	})
	return s, err
}
