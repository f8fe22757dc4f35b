package web

import "time"

// Moment says when t was, in a language and a zone.
func Moment(lang string, t, now time.Time, zone *time.Location) (iso, text string, err error) {
	c, err := loadCatalogue(lang)
	if err != nil {
		return "", "", err
	}
	if m := c.moment(t, now, zone); m != nil {
		return m.ISO, m.Text, nil
	}
	return "", "", nil
}
