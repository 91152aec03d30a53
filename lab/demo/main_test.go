package main

import "testing"

// Two days, so that the second follows from what the rare situations of the first have left.
func TestProofDaysVerify(t *testing.T) {
	if code := demonstrate([]string{"-patients", "300", "-days", "2", "-seed", "7"}); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// The same with all files signed and sealed: nothing on the store, nor what its server keeps, names a patient.
func TestProofASecureDayNamesNobody(t *testing.T) {
	for _, store := range []string{"directory", "s3", "sftp"} {
		if code := demonstrate([]string{"-patients", "300", "-secure", "-store", store}); code != 0 {
			t.Errorf("%s: exit code %d", store, code)
		}
	}
}

func TestProofADayOverHDFSVerifies(t *testing.T) {
	if code := demonstrate([]string{"-patients", "300", "-store", "hdfs"}); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
