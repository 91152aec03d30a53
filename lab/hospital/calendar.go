package hospital

import (
	"fmt"
	"time"
)

// calendar deals the slots of a range of days, for as many clinics as needed, in no visible order
// and none twice. The n-th slot is n times a stride that shares no factor with the number of slots.
type calendar struct {
	first   time.Time
	days    int
	clinics int
	dealt   int
}

// newCalendar has at least twice as many slots as asked for.
func newCalendar(first time.Time, days, slots int) *calendar {
	return &calendar{first: first, days: days, clinics: 2*slots/(days*slotsPerDay) + 1}
}

func (c *calendar) deal() (resource string, starts time.Time) {
	const stride = 15_485_863 // a prime larger than any factor of the product below
	perClinic := c.days * slotsPerDay
	n := int(uint64(c.dealt) * stride % uint64(perClinic*c.clinics))
	c.dealt++
	return fmt.Sprintf("Clinic %d", n/perClinic+1), c.first.Add(time.Duration(n%perClinic) * slotLength)
}

// office deals the slots of each day in turn, and opens another desk if a day is full.
type office struct {
	name  string
	dealt map[time.Time]int
}

func newOffice(name string) *office { return &office{name: name, dealt: map[time.Time]int{}} }

func (o *office) deal(day time.Time) (resource string, starts time.Time) {
	n := o.dealt[day]
	o.dealt[day]++
	return fmt.Sprintf("%s %d", o.name, n/slotsPerDay+1), day.Add(time.Duration(n%slotsPerDay) * slotLength)
}
