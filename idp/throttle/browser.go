package throttle

import (
	"net/http"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// cookie recognises a browser that somebody has signed in with. It opens nothing: who steals it has a counter of their own.
const cookie = "__Host-authgw-browser"

// knownFor is how long a browser is known after a login. Browsers themselves keep a cookie for 400 days at most.
const knownFor = 365 * 24 * time.Hour

// browserOf returns what a request's browser is known by, if it has a cookie that could be ours. One of two is nobody's (B9).
func browserOf(r *http.Request) (token.Hash, bool) {
	if r == nil {
		return token.Hash{}, false
	}
	all := r.CookiesNamed(cookie)
	if len(all) != 1 {
		return token.Hash{}, false
	}
	return token.Of(token.Known, all[0].Value)
}

// Marked says whether a request has a cookie that could be that of a known browser: a look at the request alone.
func Marked(r *http.Request) bool {
	_, ok := browserOf(r)
	return ok
}

// Know returns what a request's browser is to be known by to a person who completes a login with it, by whatever method, and its cookie. A
// browser that several persons use is known to each of them by the same one; but a cookie that nobody has signed in with yet is replaced, or
// whoever put it there would be known too.
func (t *Throttle) Know(r *http.Request, subject string) (store.KnownBrowser, *http.Cookie, error) {
	now := t.now()
	browser, ok := browserOf(r)
	if ok {
		_, known, err := t.store.KnowsBrowser(r.Context(), browser, subject, now)
		if err != nil {
			return store.KnownBrowser{}, nil, err
		}
		ok = known
	}
	secret := ""
	if ok {
		secret = r.CookiesNamed(cookie)[0].Value
	} else {
		secret = token.New()
		if browser, ok = token.Of(token.Known, secret); !ok {
			panic("throttle: a new token is none") // unreachable
		}
	}
	return store.KnownBrowser{Hash: browser, Expires: now.Add(knownFor)}, &http.Cookie{
		Name: cookie, Value: secret, Path: "/", MaxAge: int(knownFor / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}, nil
}
