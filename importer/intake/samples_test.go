package intake

import (
	"os"
	"path/filepath"
	"testing"
)

// samples returns the folder of the third-party samples, which are not part of the project. They
// lie where WAYBILL_SAMPLES says, or else beside the project's root.
func samples(t testing.TB) string {
	t.Helper()
	if folder := os.Getenv("WAYBILL_SAMPLES"); folder != "" {
		return folder
	}
	folder := filepath.Join(projectRoot(t), "..", "shared", "samples")
	if _, err := os.Stat(folder); os.IsNotExist(err) {
		t.Skipf("no samples: set WAYBILL_SAMPLES to their folder (looked for %s)", folder)
	}
	return folder
}

func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(samples(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func projectRoot(t testing.TB) string {
	t.Helper()
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder
		}
		if folder == filepath.Dir(folder) {
			t.Fatal("no go.mod above the package")
		}
		folder = filepath.Dir(folder)
	}
}
