package hospital

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
)

// id is a patient's or an appointment's UUID, in the form that pgx reads and writes.
type id = [16]byte

// person is a patient as first registered. Empty texts are unknown.
type person struct {
	id          id
	family      string
	given       string
	birthDate   string // as exactly as it is known: YYYY, YYYY-MM or YYYY-MM-DD
	sex         string
	address     address
	identifiers []identifier
	death       death
}

type address struct{ line, city, postcode, country string }

var patientColumns = []string{
	"id", "family_name", "given_name", "birth_date", "sex",
	"address_line", "address_city", "address_postcode", "address_country",
	"death_status", "death_earliest", "death_latest", "death_precision",
}

// row returns the values of patientColumns.
func (p person) row() []any {
	return append([]any{
		p.id, text(p.family), text(p.given), text(p.birthDate), text(p.sex),
		text(p.address.line), text(p.address.city), text(p.address.postcode), text(p.address.country),
	}, p.death.row()...)
}

// text returns NULL for an unknown value.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// span is a range of years, both included.
type span struct{ first, last int }

var (
	birthYears     = span{1925, 2024}
	deadBirthYears = span{1910, 1960} // before the earliest death that is reported
)

// personID is the id of the person of this serial number.
func personID(seed uint64, serial int) id { return newID(generator(seed, uint64(serial))) }

// newPerson makes the living person of this serial number: the same for the same seed.
func newPerson(seed uint64, serial int, born span) person {
	r := generator(seed, uint64(serial))
	p := person{
		id:          newID(r), // first of all, for personID
		sex:         weighted(r, sexes),
		birthDate:   birthDate(r, born),
		address:     newAddress(r),
		identifiers: newIdentifiers(r, serial),
		death:       death{status: "none"},
	}
	p.family, p.given = newName(r, p.sex)
	return p
}

// newID returns a random UUID (version 4).
func newID(r *rand.Rand) id {
	var u id
	binary.BigEndian.PutUint64(u[:8], r.Uint64())
	binary.BigEndian.PutUint64(u[8:], r.Uint64())
	u[6] = u[6]&0x0f | 0x40
	u[8] = u[8]&0x3f | 0x80
	return u
}

// birthDate is known to the day for most, and not at all for a few.
func birthDate(r *rand.Rand, born span) string {
	year := born.first + r.IntN(born.last-born.first+1)
	day := time.Date(year, 1, 1+r.IntN(365), 0, 0, 0, 0, time.UTC)
	return weighted(r, []choice[func() string]{
		{90, func() string { return day.Format("2006-01-02") }},
		{5, func() string { return day.Format("2006-01") }},
		{3, func() string { return day.Format("2006") }},
		{2, func() string { return "" }},
	})()
}

func newAddress(r *rand.Rand) address {
	town := pick(r, towns)
	return address{
		line:     fmt.Sprintf("%d %s", 1+r.IntN(180), pick(r, streets)),
		city:     town.city,
		postcode: fmt.Sprintf(town.postcode, r.IntN(10), r.IntN(10)),
		country:  town.country,
	}
}

// choice is one of several things, with its weight among them.
type choice[T any] struct {
	weight int
	value  T
}

func weighted[T any](r *rand.Rand, choices []choice[T]) T {
	total := 0
	for _, c := range choices {
		total += c.weight
	}
	n := r.IntN(total)
	for _, c := range choices {
		if n -= c.weight; n < 0 {
			return c.value
		}
	}
	panic("unreachable: n is less than the sum of the weights")
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// chance is true once in that many times, on average.
func chance(r *rand.Rand, once int) bool { return r.IntN(once) == 0 }
