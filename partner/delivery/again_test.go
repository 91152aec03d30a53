package delivery_test

import (
	"os"
	"path/filepath"
	"testing"
)

// A new generation begins its versions anew: what it says is compared with the last that was queued of it, not with a higher
// version of the one before.
func TestAGenerationBeginsVersionsAnew(t *testing.T) {
	s := newSite(t, csv)
	s.tell(alive(1, 1), dead(1, 5))
	s.deliver()
	lives, dies := alive(1, 1), dead(1, 2)
	lives.Baseline, dies.Baseline = true, true
	s.Snapshot(2, lives)
	if got, want := s.deliver()["P02.csv"], head+"registered;"+id(1)+";0;;Family 1;\nT;1\n"; got != want {
		t.Errorf("alive again: %q, want %q", got, want)
	}
	s.Snapshot(2, dies)
	if got, want := s.deliver()["P03.csv"], head+"died;"+id(1)+";1;20.11.2026;Family 1;\nT;1\n"; got != want {
		t.Errorf("dead again: %q, want %q", got, want)
	}
	s.Snapshot(2, dies)
	if files := s.deliver(); len(files) != 3 {
		t.Errorf("the same once more: %v", files)
	}
}

// A file of states that is sent again has those that it had, even if the patients have others by now.
func TestStatesAreSentAgainAsTheyWere(t *testing.T) {
	s := newSite(t, csv+"send: states\n")
	s.tell(alive(1, 1), alive(2, 1), alive(2, 2))
	want := s.deliver()["P01.csv"]
	s.tell(dead(1, 2), dead(2, 3))
	all := s.deliver()
	if err := os.Remove(filepath.Join(s.folder, "P01.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.delivery().Resend(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := s.files(); len(got) != len(all) || got["P01.csv"] != want || want != head+"registered;"+id(1)+";0;;Family 1;\nregistered;"+id(2)+";0;;Family 2;\nT;2\n" {
		t.Errorf("sent again: %q, and it was %q", got, want)
	}
}
