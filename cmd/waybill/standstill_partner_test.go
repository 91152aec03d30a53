package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// ofPartner makes a partner whose files the machines of all parties have, until the subtest ends.
func (s *watched) ofPartner(name string) *partner {
	s.Helper()
	p := &partner{s.site, name, onFolder(s.TB)}
	s.check(os.MkdirAll(p.place.Path, 0o755), os.Chmod(filepath.Dir(p.place.Path), 0o755))
	s.own(p.place.Path)
	s.Cleanup(func() { s.check(os.Remove(filepath.Join(s.dir, "partners", name+".yaml"))) })
	return p
}

// person runs a command that must end with the code.
func (s *watched) person(party string, code int, arguments ...string) (out string) {
	s.Helper()
	out, got := s.as(party, binary(), arguments...)
	if got != code {
		s.Fatalf("waybill %s: exit %d, want %d\n%s", strings.Join(arguments, " "), got, code, out)
	}
	return out
}

// deliveryBlocked has an event that can't be written for a partner, and more that wait behind it.
func (s *watched) deliveryBlocked() standstill {
	var gp *partner
	feed := func(columns string) {
		log := strings.NewReplacer("store:", "log:").Replace(s.place.Settings())
		gp.configureAs("database: "+s.urls["morgue"]+"\n"+log, strings.Replace(gpCSV, "{field: dead}", columns, 1))
		s.own(s.dir)
	}
	return standstill{
		party: "morgue", of: "gp", says: "held", told: "deliver gp --skip ",
		plant: func() {
			gp = s.ofPartner("gp")
			feed(`{field: dead, map: {"no": "0"}}`)
			s.do("migrate", "gp")
			s.person("morgue", 6, "deliver", "gp")
			s.death()
		},
		repair: func() {
			feed("{field: dead}")
			s.person("morgue", 0, "deliver", "gp")
		},
	}
}

// deliveryBraked has more deaths than a partner is sent without a person's word.
func (s *watched) deliveryBraked() standstill {
	var gp *partner
	return standstill{
		party: "morgue", of: "gp", says: "held", told: "deliver gp --approve ",
		plant: func() {
			gp = s.ofPartner("gp")
			log := strings.NewReplacer("store:", "log:").Replace(s.place.Settings())
			gp.configureAs("database: "+s.urls["appointments"]+"\n"+log, strings.Replace(gpCSV, "brake: 0", "brake: 1", 1))
			s.own(s.dir)
			s.do("migrate", "gp")
			s.person("morgue", 6, "deliver", "gp")
		},
		repair: func() {
			for range 50 { // as many batches as there are to approve
				out, code := s.as("morgue", binary(), "deliver", "gp")
				if code == 0 {
					return
				}
				_, seen, _ := strings.Cut(out, "--approve ")
				seen, _, _ = strings.Cut(seen, " ")
				s.as("morgue", binary(), "deliver", "gp", "--approve", seen, "--reason", "confirmed")
			}
			s.Fatal("there is always another batch to approve")
		},
	}
}

// ward is a partner who leaves files for the patients service.
func (s *watched) ward() *sender {
	s.Helper()
	p := s.ofPartner("ward")
	ward := &sender{s.site, p.name, p.place}
	ward.configureAs("database: "+s.urls["patients"]+"\n", wardADT)
	s.do("migrate", "patients")
	return ward
}

// takes takes in what the ward left, as the site's user.
func (s *watched) takes(code int, arguments ...string) {
	s.Helper()
	s.own(s.dir)
	s.person("patients", code, append([]string{"intake", "ward"}, arguments...)...)
}

func (s *watched) quarantined() standstill {
	return standstill{
		party: "patients", of: "ward", says: "1 record", aside: true,
		plant: func() {
			ward := s.ward()
			ward.leaveBatch(1, admission(6, "Ott", false), strings.Replace(admission(4, "Noll", false), "4^^^EAST^MR", "^^^EAST^MR", 1))
			s.own(ward.place.Path)
			s.takes(0)
		},
		repair: func() {
			var list []struct{ ID int64 }
			if err := json.Unmarshal(resultIn(s.do("--json", "quarantine", "list", "ward")), &list); err != nil || len(list) != 1 {
				s.Fatalf("%v %v", list, err)
			}
			s.do("quarantine", "discard", "ward", "1", "--reason", "sent by mistake")
		},
	}
}

func (s *watched) numberMissing() standstill {
	var ward *sender
	return standstill{
		party: "patients", of: "ward", says: "1 number never came", aside: true,
		plant: func() {
			ward = s.ward()
			ward.leaveBatch(2, admission(7, "Paul", false))
			ward.leaveBatch(4, admission(8, "Quast", false))
			s.own(ward.place.Path)
			s.takes(0)
			s.takes(0, "--pass", "3", "--reason", "they say it is lost")
			s.takes(0)
		},
		repair: func() {
			ward.leaveBatch(3, admission(9, "Rau", false)) // it was found
			s.own(ward.place.Path)
			s.takes(0)
		},
	}
}
