package main_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"

	"waybill/schemas"
	"waybill/schemas/part"
)

// forgeLast puts another part and another manifest, whole in themselves, in the place of those of
// the log's last batch.
func (s *site) forgeLast(change func(rows [][]byte) [][]byte) {
	s.Helper()
	m := s.last().Manifest
	data, described := s.part(m, change(s.tuples(m.Parts[0])))
	m.Parts = []schemas.Part{described}
	m.Totalled()
	manifest, err := m.Encode()
	if err != nil {
		s.Fatal(err)
	}
	for name, data := range map[string][]byte{described.Name: data, schemas.ManifestName(m.Batch, 0): manifest} {
		if err := os.WriteFile(filepath.Join(s.exchange(), schemas.Stream, name), data, 0o644); err != nil {
			s.Fatal(err)
		}
	}
}

// tuples returns the rows of a part on the store.
func (s *site) tuples(p schemas.Part) (tuples [][]byte) {
	s.Helper()
	data, err := os.ReadFile(filepath.Join(s.exchange(), schemas.Stream, p.Name))
	if err != nil {
		s.Fatal(err)
	}
	stream := part.NewStream(schemas.PatientEvents(), part.Options{}, part.File{ReaderAt: bytes.NewReader(data), Size: p.Bytes, Meta: p})
	defer stream.Close()
	splitter := part.NewTupleSplitter(func(tuple []byte) error {
		tuples = append(tuples, bytes.Clone(tuple))
		return nil
	})
	if _, err := io.Copy(splitter, stream); err != nil {
		s.Fatal(err)
	}
	return tuples
}

// part encodes rows as a part of a batch.
func (s *site) part(m *schemas.Manifest, tuples [][]byte) ([]byte, schemas.Part) {
	s.Helper()
	var file bytes.Buffer
	w := part.NewWriter(&file, schemas.PatientEvents(), part.WriterOptions{})
	for _, tuple := range tuples {
		if err := w.WriteTuple(tuple); err != nil {
			s.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		s.Fatal(err)
	}
	hash, stats := schemas.Hash(file.Bytes()), w.Stats()
	return file.Bytes(), schemas.Part{
		Name:   schemas.PartName(schemas.Mixed, m.Window.To.Time, m.Batch, hash, 0),
		Events: stats.Events, Rows: stats.Rows, Bytes: int64(file.Len()), SHA256: hash,
		RecordedFrom: stats.RecordedFrom, RecordedTo: stats.RecordedTo,
	}
}
