package hdfs_test

import (
	"strings"
	"testing"
	"time"

	"waybill/doctor"
	"waybill/exchange/hdfs"
	"waybill/internal/fact"
	"waybill/internal/fault"
	"waybill/lab/servers"
)

func startKDC(t *testing.T, clock *servers.Clock) *servers.KDC {
	t.Helper()
	kdc, err := servers.StartKDC(t.Context(), t.TempDir(), clock)
	must(t, err)
	t.Cleanup(kdc.Kill)
	t.Setenv("KRB5_CONFIG", kdc.ConfigFile())
	return kdc
}

func admit(t *testing.T, kdc *servers.KDC, name string, principals ...string) string {
	t.Helper()
	file, err := kdc.Admit(name, principals...)
	must(t, err)
	return file
}

// A NameNode and a DataNode that believe nobody without a ticket.
func TestProofOfKerberos(t *testing.T) {
	kdc := startKDC(t, nil)
	own := startOwn(t, servers.HDFSOptions{KDC: kdc})
	c := hdfs.Config{
		Addr: own.Addr(), Root: "/exchange", TLS: true, CAFile: own.CAFile(),
		User: servers.HDFSUser, Keytab: admit(t, kdc, "waybill", servers.HDFSUser),
	}
	s := open(t, c)
	writeAndRead(t, s)
	for _, f := range doctor.Probe(t.Context(), open(t, c), doctor.Exporter, "doctor/1") {
		if f.Fails || f.Name == "login" && f != (fact.Fact{Name: "login", Value: "by Kerberos, as waybill"}) {
			t.Errorf("doctor finds %+v", f)
		}
	}

	other := c
	other.User, other.Keytab = "morgue", admit(t, kdc, "morgue", "morgue")
	if err := open(t, other).Publish(t.Context(), "log/b", []byte("x")); fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "let this user read") {
		t.Errorf("published by another user: %v (%s)", err, fault.HintOf(err))
	}
	token, err := own.Token(t.Context())
	must(t, err)
	c.Keytab = ""
	if _, err := open(t, c).Get(t.Context(), "log/a"); fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "keytab") {
		t.Errorf("without a keytab: %v (%s)", err, fault.HintOf(err))
	}
	c.Root, c.Token = "/by-token", func() (string, error) { return token, nil }
	writeAndRead(t, open(t, c))
}

// What is wrong with a login is said, and what to do.
func TestProofLoginsThatFail(t *testing.T) {
	kdc := startKDC(t, nil)
	good := admit(t, kdc, "good", "waybill", "HTTP/127.0.0.1")
	old := admit(t, kdc, "old", "replaced")
	must(t, kdc.Forget("replaced"))
	admit(t, kdc, "new", "replaced")
	gone := admit(t, kdc, "gone", "dismissed")
	must(t, kdc.Forget("dismissed"))
	for _, test := range []struct {
		what, user, host, keytab, cause, hint string
		class                                 fault.Class
	}{
		{"no keytab", "waybill", "127.0.0.1", "/nothing", "no such file", "correct keytab", fault.Usage},
		{"an unknown user", "dismissed", "127.0.0.1", gone, "doesn't know this user", "correct the user", fault.Usage},
		{"another's keytab", "waybill", "127.0.0.1", old, "no key of this user", "klist -k", fault.Usage},
		{"an old keytab", "replaced", "127.0.0.1", old, "not the KDC's", "new keytab", fault.Usage},
		{"an unknown host", "waybill", "localhost", good, "HTTP/localhost", "name the host", fault.Usage},
		{"an unknown realm", "waybill@OTHER.TEST", "127.0.0.1", good, "no KDC", "/etc/krb5.conf", fault.Usage},
	} {
		_, err := open(t, hdfs.Config{Addr: test.host + ":1", User: test.user, Keytab: test.keytab}).Get(t.Context(), "log/a")
		t.Log(err, fault.HintOf(err))
		if fault.ClassOf(err) != test.class || !strings.Contains(err.Error(), test.cause) || !strings.Contains(fault.HintOf(err), test.hint) {
			t.Errorf("%s: %v (%v): %s", test.what, err, fault.ClassOf(err), fault.HintOf(err))
		}
	}
	s := open(t, hdfs.Config{Addr: "127.0.0.1:1", User: "waybill", Keytab: good})
	kdc.Kill()
	_, err := s.Get(t.Context(), "log/a")
	t.Log(err, fault.HintOf(err))
	if fault.ClassOf(err) != fault.Transient || !strings.Contains(fault.HintOf(err), "reaches the KDC") {
		t.Errorf("without a KDC: %v (%v): %s", err, fault.ClassOf(err), fault.HintOf(err))
	}
}

func TestProofAClockThatIsWrong(t *testing.T) {
	clock, err := servers.NewClock(t.TempDir() + "/clock")
	must(t, err)
	must(t, clock.Step(time.Hour))
	kdc := startKDC(t, clock)
	_, err = open(t, hdfs.Config{Addr: "127.0.0.1:1", User: "waybill", Keytab: admit(t, kdc, "good", "waybill")}).Get(t.Context(), "log/a")
	t.Log(err, fault.HintOf(err))
	if fault.ClassOf(err) != fault.Usage || !strings.Contains(fault.HintOf(err), "clock") {
		t.Errorf("get = %v (%v): %s", err, fault.ClassOf(err), fault.HintOf(err))
	}
}
