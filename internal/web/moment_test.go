package web_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"promess/authgw/internal/web"
)

func TestTimesAreInWords(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	const space = "\u00a0"
	utc := func(s string) time.Time {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct {
		name         string
		at, now      string
		zone         *time.Location
		iso, fr, eng string
	}{
		{"today, in summer", "2026-07-14T12:05:09Z", "2026-07-14T20:00:00Z", paris,
			"2026-07-14T14:05:09+02:00", "aujourd’hui à 14" + space + "h" + space + "05", "today at 14:05"},
		{"today in Paris, yesterday in London", "2026-01-15T23:30:00Z", "2026-01-16T08:00:00Z", paris,
			"2026-01-16T00:30:00+01:00", "aujourd’hui à 0" + space + "h" + space + "30", "today at 0:30"},
		{"yesterday, across a year", "2025-12-31T08:07:00Z", "2026-01-01T08:00:00Z", paris,
			"2025-12-31T09:07:00+01:00", "hier à 9" + space + "h" + space + "07", "yesterday at 9:07"},
		{"yesterday, on the day after the clocks changed", "2026-03-28T22:30:00Z", "2026-03-29T21:00:00Z", paris,
			"2026-03-28T23:30:00+01:00", "hier à 23" + space + "h" + space + "30", "yesterday at 23:30"},
		{"the first of a month", "2026-03-01T13:05:00Z", "2026-07-14T20:00:00Z", paris,
			"2026-03-01T14:05:00+01:00", "le 1er mars 2026 à 14" + space + "h" + space + "05", "on 1 March 2026 at 14:05"},
		{"another day", "2024-08-22T13:05:00Z", "2026-07-14T20:00:00Z", paris,
			"2024-08-22T15:05:00+02:00", "le 22 août 2024 à 15" + space + "h" + space + "05", "on 22 August 2024 at 15:05"},
		{"a clock that is ahead of ours", "2026-07-15T12:05:00Z", "2026-07-14T20:00:00Z", paris,
			"2026-07-15T14:05:00+02:00", "le 15 juillet 2026 à 14" + space + "h" + space + "05", "on 15 July 2026 at 14:05"},
		{"no zone to be had", "2026-07-14T12:05:00Z", "2026-07-14T20:00:00Z", time.UTC,
			"2026-07-14T12:05:00Z", "aujourd’hui à 12" + space + "h" + space + "05 (heure UTC)", "today at 12:05 (UTC)"},
	} {
		for lang, want := range map[string]string{"fr": c.fr, "en": c.eng} {
			iso, text, err := web.Moment(lang, utc(c.at), utc(c.now), c.zone)
			if err != nil || iso != c.iso || text != want {
				t.Errorf("%s in %s: %q, %q, %v, want %q, %q", c.name, lang, iso, text, err, c.iso, want)
			}
		}
	}
	if iso, text, err := web.Moment("fr", time.Time{}, time.Now(), paris); iso != "" || text != "" || err != nil {
		t.Errorf("the zero time: %q, %q, %v, want nothing", iso, text, err)
	}
}

func TestPagesShowTheTimeOfParis(t *testing.T) {
	p := pages(t, web.Site{})
	synctest.Test(t, func(t *testing.T) { // it is midnight of 1 January 2000, UTC
		page := web.AccountPage{Current: web.SessionInfo{Method: "card", Since: time.Now()}}
		times := find(parse(t, render(t, p, "fr", 200, page).Body.String()), "time")
		if len(times) != 1 || times[0].attr["datetime"] != "2000-01-01T01:00:00+01:00" || !strings.HasPrefix(times[0].text, "aujourd’hui à 1\u00a0h\u00a000") {
			t.Errorf("times %+v, want today at 1:00 of Paris", times)
		}
	})
}
