package idp

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// loginCookie holds the state of a login in progress in the browser. The prefix __Host- ties it to this one host, to TLS and to
// the path / (RFC 6265bis, section 4.1.3.2). It is Lax because the way back from the agent and from a service is a navigation
// from another site, for which browsers keep Strict cookies back.
const loginCookie = "__Host-authgw-login"

// loginStateAge bounds, in seconds, how long a person may leave the login page open and still arrive where they wanted to go.
const loginStateAge = 3600

// BrowserState is what the gateway remembers in the browser while somebody signs in. The cookie is sealed: the browser can
// neither read nor change it.
type BrowserState struct {
	Browser string // token: the login in progress belongs to the browser that shows it
	Service string // name of the service the person wants; empty: the portal
	State   string // token of the service host, to go back there
	Then    string // a page of the auth host that the login is for; empty: none
	Request string // what the login is for, as an Asker names it; empty: nothing
	Left    string // where the person goes when the sign-out is over, as a Departer names it; empty: nowhere
}

func newCookieStore(pairs [][]byte) *sessions.CookieStore {
	s := sessions.NewCookieStore(pairs...)
	for _, c := range s.Codecs {
		c.(*securecookie.SecureCookie).SetSerializer(cookieTexts{})
	}
	s.MaxAge(loginStateAge)
	s.Options = &sessions.Options{Path: "/", MaxAge: loginStateAge, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	return s
}

// cookieTexts writes what a cookie holds, which is texts by their names, as JSON. The library's own way describes the types in each cookie, which
// takes longer than to seal it.
type cookieTexts struct{}

// Serialize implements securecookie.Serializer.
func (cookieTexts) Serialize(src any) ([]byte, error) {
	values, ok := src.(map[any]any)
	if !ok {
		return nil, errTexts
	}
	all := make(map[string]string, len(values))
	for k, v := range values {
		name, ok := k.(string)
		value, both := v.(string)
		if !ok || !both {
			return nil, errTexts
		}
		all[name] = value
	}
	return json.Marshal(all)
}

// Deserialize implements securecookie.Serializer.
func (cookieTexts) Deserialize(src []byte, dst any) error {
	values, ok := dst.(*map[any]any)
	if !ok {
		return errTexts
	}
	var all map[string]string
	if err := json.Unmarshal(src, &all); err != nil {
		return errTexts // not err, which may repeat it
	}
	*values = make(map[any]any, len(all))
	for k, v := range all {
		(*values)[k] = v
	}
	return nil
}

var errTexts = errors.New("a cookie holds texts")

// BrowserState returns the state of the request's browser; a cookie that is missing, old or not ours is an empty state.
func (s *Server) BrowserState(r *http.Request) BrowserState {
	g, _ := s.Keys.cookieStore().Get(r, loginCookie) // on an error it returns a new, empty session
	return BrowserState{Browser: text(g, "browser"), Service: text(g, "service"), State: text(g, "state"), Then: text(g, "then"), Request: text(g, "request"), Left: text(g, "left")}
}

// SaveBrowserState sets the state of the request's browser.
func (s *Server) SaveBrowserState(w http.ResponseWriter, r *http.Request, b BrowserState) error {
	cookies := s.Keys.cookieStore()
	g, _ := cookies.New(r, loginCookie)
	g.Values = map[any]any{"browser": b.Browser, "service": b.Service, "state": b.State, "then": b.Then, "request": b.Request, "left": b.Left}
	return cookies.Save(r, w, g)
}

// ClearBrowserState removes the state from the browser.
func (s *Server) ClearBrowserState(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: loginCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func text(g *sessions.Session, key string) string {
	v, _ := g.Values[key].(string)
	return v
}
