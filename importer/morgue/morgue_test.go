package morgue_test

import (
	"testing"
	"time"

	"waybill/importer/consumertest"
	"waybill/importer/morgue"
	"waybill/internal/pg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestSmoke(t *testing.T) {
	s := consumertest.New(t, morgue.Files())
	p := consumertest.Patient(1)
	t.Log(s.Apply(p.DeadOn(1, s.Now)))
	s.Settled()
	t.Log(s.Apply(p.Alive(1)))
	t.Log(s.Rows("select * from case_file"))
	t.Log(s.Rows("select name_key('Meyer','Anna'), name_key('Maier','A.'), name_key('Müller','É'), name_key('Иванов','Иван'), name_key('O''Brien','x'), name_key('Obrien','X')"))
	s.Settled()
	_ = time.Now
}
