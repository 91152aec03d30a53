package await

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
)

// failing is a test that keeps what it failed with.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func TestWhatNeverComesTrueFailsTheTest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, ended := &failing{TB: t}, make(chan bool)
		go func() {
			defer close(ended)
			True(f, "pigs fly", func() bool { return false })
		}()
		<-ended
		if f.said != "for 5m0s it never became true that pigs fly" {
			t.Errorf("it failed with %q", f.said)
		}
	})
}
