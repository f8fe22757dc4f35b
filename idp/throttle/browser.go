package throttle

import (
	"context"
	"net/http"
	"time"

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

// Remember notes that a person has completed a login with the request's browser, by whatever method, and sets its cookie. A browser that
// several persons use is known to each of them by the same one; but a cookie that nobody has signed in with yet is replaced, or whoever
// put it there would be known too.
func (t *Throttle) Remember(ctx context.Context, w http.ResponseWriter, r *http.Request, subject string) error {
	now := t.now()
	browser, ok := browserOf(r)
	if ok {
		_, known, err := t.store.KnowsBrowser(ctx, browser, subject, now)
		if err != nil {
			return err
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
	if err := t.store.RememberBrowser(ctx, browser, subject, now, now.Add(knownFor)); err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookie, Value: secret, Path: "/", MaxAge: int(knownFor / time.Second), Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	return nil
}
