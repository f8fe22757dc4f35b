package web

import (
	"fmt"
	"strconv"
	"time"
	_ "time/tzdata" // a server without the time zones of its system, such as a container of one file, shows the right hour too
)

// moment is a time as a page shows it.
type moment struct {
	ISO  string // for machines
	Text string // "aujourd’hui à 14 h 05"
}

// zone is the time zone of the people who read the pages. UTC, which every text then says, when Go cannot find it.
func zone() *time.Location {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		return time.UTC // unreachable: the zone is in the program
	}
	return paris
}

// moment says when t was, seen from now, in the language of c. It is nil for the zero time: a template then says "never" or nothing.
func (c catalogue) moment(t, now time.Time, zone *time.Location) *moment {
	if t.IsZero() {
		return nil
	}
	t, now = t.In(zone), now.In(zone)
	clock := fmt.Sprintf(c["time.clock"], t.Hour(), fmt.Sprintf("%02d", t.Minute()))
	if zone == time.UTC {
		clock = fmt.Sprintf(c["time.utc"], clock)
	}
	m := &moment{ISO: t.Format(time.RFC3339)}
	switch date := t.Format(time.DateOnly); date {
	case now.Format(time.DateOnly):
		m.Text = fmt.Sprintf(c["time.today"], clock)
	case now.AddDate(0, 0, -1).Format(time.DateOnly):
		m.Text = fmt.Sprintf(c["time.yesterday"], clock)
	default:
		m.Text = fmt.Sprintf(c["time.date"], c.dayOfMonth(t.Day()), c["month."+strconv.Itoa(int(t.Month()))], t.Format("2006"), clock)
	}
	return m
}

// dayOfMonth is a day as it is written in a date: French has an ordinal for the first alone.
func (c catalogue) dayOfMonth(day int) string {
	if day == 1 {
		return c["time.first"]
	}
	return strconv.Itoa(day)
}
