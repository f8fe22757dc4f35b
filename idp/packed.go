package idp

import (
	"math"
	"strings"
	"time"

	"promess/authgw/internal/store"
)

// packed is a session as memory holds it: its texts in one, its times as numbers. As it comes from the database it is some twenty texts and
// lists, each with a place of its own, of which the collector needs as much again as room to work in. Unpacked texts are parts of the one,
// and cost nothing.
type packed struct {
	text     string
	ends     [packedTexts]uint16 // of each part
	times    [packedTimes]int64  // Unix milliseconds, as the database has them; zero: none
	disabled bool
}

const (
	packedTexts = 20
	packedTimes = 4
)

// texts are where the texts of a session are. The lists come after them.
func texts(v *store.Session) [packedTexts - 2]*string {
	a := &v.Account
	return [...]*string{
		&v.ID, &v.Method, &v.ACR, &v.Fingerprint, &v.CardType, &v.Source, &v.Browser,
		&a.Subject, &a.IDType, &a.NationalID, &a.GivenName, &a.FamilyName, &a.Title, &a.Profession, &a.LoginName, &a.Mailbox, &a.Address, &v.Situation,
	}
}

// times are where the times of a session are, but when it was seen, which moves.
func times(v *store.Session) [packedTimes]*time.Time {
	return [...]*time.Time{&v.AuthTime, &v.CreatedAt, &v.ExpiresAt, &v.Account.Registered}
}

// pack returns a session as memory holds it; false for one that is too long.
func pack(v store.Session) (packed, bool) {
	p := packed{disabled: v.Account.Disabled}
	var b strings.Builder
	n := 0
	add := func(text string) {
		b.WriteString(text)
		p.ends[n] = uint16(min(b.Len(), math.MaxUint16))
		n++
	}
	for _, s := range texts(&v) {
		add(*s)
	}
	add(strings.Join(v.AMR, " ")) // words, and so are identifiers of structures
	add(strings.Join(v.Account.Structures, " "))
	for i, t := range times(&v) {
		if !t.IsZero() {
			p.times[i] = t.UnixMilli()
		}
	}
	p.text = strings.Clone(b.String()) // without the room that the builder has left
	return p, b.Len() <= math.MaxUint16
}

// unpack returns the session, without when it was seen.
func (p *packed) unpack() store.Session {
	var v store.Session
	begin := uint16(0)
	part := func(i int) string {
		text := p.text[begin:p.ends[i]]
		begin = p.ends[i]
		return text
	}
	all := texts(&v)
	for i, s := range all {
		*s = part(i)
	}
	v.AMR = strings.Fields(part(len(all)))
	if structures := part(len(all) + 1); structures != "" {
		v.Account.Structures = strings.Fields(structures)
	}
	for i, t := range times(&v) {
		if p.times[i] != 0 {
			*t = time.UnixMilli(p.times[i]).UTC()
		}
	}
	v.Account.Disabled = p.disabled
	return v
}

// id is that of the session.
func (p *packed) id() string { return p.text[:p.ends[0]] }

// subject is that of its account, the eighth text.
func (p *packed) subject() string { return p.text[p.ends[6]:p.ends[7]] }
