package main

import "testing"

// Two days, so that the second follows from what the rare situations of the first have left.
func TestDaysVerify(t *testing.T) {
	if code := demonstrate([]string{"-patients", "300", "-days", "2", "-seed", "7"}); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
