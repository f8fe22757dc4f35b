package keyring

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// view is what the keys are good for from one moment to another. It is not changed.
type view struct {
	until    time.Time // when a key comes into use or is over; zero: never
	signing  map[string]Key
	public   []jose.JSONWebKey
	jwks     []byte
	cookies  *CookieKeys
	pairwise []byte
}

// look makes the view at a time. before is the one before, or nil.
func look(all []*held, now time.Time, before *view) *view {
	v := &view{signing: map[string]Key{}}
	var set [][]byte
	for _, alg := range []string{ES256, RS256} {
		for i, h := range inOrder(all, alg, now) {
			if i == 0 {
				v.signing[alg] = Key{ID: h.id, Alg: alg, Signer: h.signer}
			}
			v.public, set = append(v.public, h.public), append(set, h.jwk)
		}
	}
	v.jwks = slices.Concat([]byte(`{"keys":[`), bytes.Join(set, []byte(",")), []byte("]}")) // RFC 7517, section 5
	v.cookies = newCookieKeys(inOrder(all, Cookie, now))
	if before != nil && slices.Equal(v.cookies.ids, before.cookies.ids) {
		v.cookies = before.cookies
	}
	if good := inOrder(all, Pairwise, now); len(good) > 0 {
		v.pairwise = good[0].secret
	}
	for _, h := range all {
		for _, at := range []time.Time{h.active, h.expires} {
			if at.After(now) && (v.until.IsZero() || at.Before(v.until)) {
				v.until = at
			}
		}
	}
	return v
}

// inOrder returns the keys of an alg that have not expired: first the one for what is new, the newest that is active, then the others, the newest
// first.
func inOrder(all []*held, alg string, now time.Time) []*held {
	var good []*held
	for _, h := range all {
		if h.alg == alg && (h.expires.IsZero() || now.Before(h.expires)) {
			good = append(good, h)
		}
	}
	slices.SortFunc(good, func(a, b *held) int {
		return cmp.Or(b.active.Compare(a.active), b.created.Compare(a.created), cmp.Compare(a.id, b.id))
	})
	current := slices.IndexFunc(good, func(h *held) bool { return !h.active.After(now) })
	if current < 0 {
		current = len(good) - 1 // the clock is behind that of who made them: the first to be active
	}
	if current > 0 {
		h := good[current]
		good = slices.Insert(slices.Delete(good, current, current+1), 0, h)
	}
	return good
}

// CookieKeys are the keys of the cookies of logins in progress, and what other keys follow from. They do not print, and do not change.
type CookieKeys struct {
	ids   []string
	pairs [][]byte
}

func newCookieKeys(good []*held) *CookieKeys {
	c := &CookieKeys{}
	for _, h := range good {
		c.ids, c.pairs = append(c.ids, h.id), append(c.pairs, h.secret[:secretSize], h.secret[secretSize:])
	}
	return c
}

// Pairs returns a key of 32 bytes that authenticates and one of 32 bytes that encrypts, as sessions.NewCookieStore takes them: first those for new
// cookies, then those that older ones may have.
func (c *CookieKeys) Pairs() [][]byte { return c.pairs }

// String and GoString keep the keys out of errors and logs.
func (c *CookieKeys) String() string   { return "cookie keys" }
func (c *CookieKeys) GoString() string { return "cookie keys" }
