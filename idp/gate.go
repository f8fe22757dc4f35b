package idp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
	"promess/authgw/proxy"
)

// How a session reaches a service host:
//
//	browser            service host                          auth host
//	GET /inbox?x=1 ──▶ no session: keeps {state, path}
//	                   in a sealed cookie ──────────────▶ GET /login?service=…&state=…
//	                                                       (the person signs in, or is signed in)
//	                   GET /.authgw/enter?code&state ◀─── a one-time code for session, host and state
//	                   cookie and code agree: own token
//	GET /inbox?x=1 ◀── of the session, back to the path
//
// The code is good for 30 s, once, on that host, in the browser that holds the cookie. So nobody can be signed in to somebody else's
// session with a link (login CSRF), and a code that leaks in a log opens nothing.

// ownPath is the part of every service host that is the gateway's.
const ownPath = "/.authgw/"

// ServiceAssets is where, on a service host, the pages of Config.ServicePages find their style and script.
const ServiceAssets = ownPath + "static/"

// ServiceSignOut is where, on a service host, the menu of Config.ServicePages signs out.
const ServiceSignOut = ownPath + "logout"

const entryLife = 30 * time.Second

// maxReturn bounds the path that a service host remembers: it travels in a cookie of at most 4,096 bytes.
const maxReturn = 2048

var errBadState = errors.New("not a state")

// entryURL returns the address on a service host that opens the session there.
func (s *Server) entryURL(ctx context.Context, v store.Session, service Service, state string) (string, error) {
	stateHash, ok := token.Of(token.State, state)
	if !ok {
		return "", errBadState
	}
	code := token.New()
	codeHash, _ := token.Of(token.Entry, code)
	if err := s.Store.AddEntry(ctx, v.ID, service.Host, codeHash, stateHash, s.Now().Add(entryLife)); err != nil {
		return "", err
	}
	return service.Origin + ownPath + "enter?" + url.Values{"code": {code}, "state": {state}}.Encode(), nil
}

// Gate is the door of one service host. It implements proxy.Gate.
type Gate struct {
	server  *Server
	service Service
	mux     *http.ServeMux
}

var _ proxy.Gate = (*Gate)(nil)

// Gate returns the door of a service.
func (s *Server) Gate(service Service) *Gate {
	g := &Gate{server: s, service: service, mux: http.NewServeMux()}
	g.mux.HandleFunc("GET "+ownPath+"enter", g.enter)
	g.mux.HandleFunc("GET "+ownPath+"logout", g.logout)
	g.mux.HandleFunc("POST "+ownPath+"logout", g.logout)
	g.mux.HandleFunc("GET "+ownPath+"leave", g.leave)
	if len(service.Proxies) > 0 {
		g.mux.HandleFunc(startPath, g.start)
	}
	g.mux.Handle("GET "+ServiceAssets, s.ServicePages.Assets())
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { g.fail(w, r, http.StatusNotFound, "not_found") })
	return g
}

// Service returns the service of the gate.
func (g *Gate) Service() Service { return g.service }

// Identify implements proxy.Gate.
func (g *Gate) Identify(r *http.Request) (proxy.Identity, error) {
	v, err := g.server.Sessions.Find(r, g.service.Host)
	if errors.Is(err, ErrNoSession) {
		return proxy.Identity{}, proxy.ErrNoSession
	}
	if err != nil {
		return proxy.Identity{}, err
	}
	if g.service.Rule.refuses(v) != "" {
		return proxy.Identity{}, proxy.ErrNotAllowed
	}
	jwt, err := g.server.Keys.signer.assertion(r.Context(), v, g.service.Name)
	if err != nil {
		return proxy.Identity{}, err
	}
	a := v.Account
	return proxy.Identity{
		User: a.Subject, NationalID: a.NationalID, Name: displayName(a), Email: a.Mailbox, ACR: v.ACR, Assertion: jwt,
		Hold: func(ctx context.Context) (context.Context, func()) { return g.server.Sessions.Hold(ctx, v) },
	}, nil
}

// Handler returns the whole service host: what is the gateway's own there, and next for the rest.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, ownPath) || r.URL.Path+"/" == ownPath {
			g.mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Refuse implements proxy.Gate. A person gets a page, a program JSON.
func (g *Gate) Refuse(w http.ResponseWriter, r *http.Request, why proxy.Refusal) {
	if r.Body != http.NoBody && r.Body != nil {
		w.Header().Set("Connection", "close") // the body, however large, is not read
	}
	if why == proxy.NoSession {
		g.signIn(w, r)
		return
	}
	status, code := explain(why)
	if why == proxy.NotAllowed {
		w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
	}
	if isPerson(r) {
		g.fail(w, r, status, code)
		return
	}
	g.answer(w, status, code)
}

// explain gives the status of a refusal and its word in the catalogue of package web.
func explain(why proxy.Refusal) (status int, code string) {
	switch why {
	case proxy.Forbidden:
		return http.StatusForbidden, "forbidden"
	case proxy.NotAllowed:
		return http.StatusMethodNotAllowed, "bad_request"
	case proxy.NoAccess:
		return http.StatusForbidden, "service_not_allowed"
	case proxy.Stalled:
		return http.StatusRequestTimeout, "timeout"
	case proxy.BackendDown:
		return http.StatusBadGateway, "backend_down"
	case proxy.BackendSlow:
		return http.StatusGatewayTimeout, "backend_slow"
	default: // proxy.Unavailable, and whatever comes later
		return http.StatusServiceUnavailable, "unavailable"
	}
}

// signIn answers a request that has no session: a page goes to the login and comes back, a form is told that it was not sent,
// anything else gets 401.
func (g *Gate) signIn(w http.ResponseWriter, r *http.Request) {
	switch {
	case isPage(r):
		g.startLogin(w, r, r.URL.RequestURI())
	case isPerson(r): // a form: its body is not kept
		g.fail(w, r, http.StatusUnauthorized, "session_over")
	default:
		g.challenge(w)
	}
}

// challenge tells a program that nobody is signed in.
func (g *Gate) challenge(w http.ResponseWriter) {
	unauthorized(w, g.service.Name, g.service.Origin+g.service.Home)
}

// answer is what a program gets: an error, and where a person would sign in.
func (g *Gate) answer(w http.ResponseWriter, status int, code string) {
	answer(w, status, code, g.service.Origin+g.service.Home)
}

// unauthorized is what a program gets without a session.
func unauthorized(w http.ResponseWriter, realm, login string) {
	// RFC 9110, section 15.5.2 asks for a challenge; the scheme is ours, so that no browser opens a dialog of its own.
	w.Header().Set("WWW-Authenticate", `Authgw realm="`+realm+`"`)
	answer(w, http.StatusUnauthorized, "login_required", login)
}

func answer(w http.ResponseWriter, status int, code, login string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": code, "login": login})
}

// isPerson says whether the answer to a request is looked at by a person: the browser says that it navigates, or, where it says
// nothing, that it wants a page.
func isPerson(r *http.Request) bool {
	if r.Header.Get("X-Requested-With") != "" {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// isPage says whether a request is a person opening a page, who can be sent through the login and back.
func isPage(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	if r.Header.Get("Upgrade") != "" || !isPerson(r) {
		return false
	}
	dest := r.Header.Get("Sec-Fetch-Dest")
	return dest == "" || dest == "document" // not a frame: the login page does not show itself in one
}

// startLogin sends the browser to the auth host and remembers, in the browser, the path that it wanted to go to.
func (g *Gate) startLogin(w http.ResponseWriter, r *http.Request, path string) {
	s := g.server
	path = g.returnPath(path)
	state := token.New()
	cookies := s.Keys.cookieStore()
	c, _ := cookies.New(r, loginCookie)
	c.Values = map[any]any{"state": state, "path": path}
	if err := cookies.Save(r, w, c); err != nil {
		g.fault(w, r, "save browser state", err)
		return
	}
	clearSessionCookie(w)
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, s.Origin+"/login?"+url.Values{"service": {g.service.Name}, "state": {state}}.Encode(), http.StatusSeeOther)
}

// returnPath is where a person who asked for path is sent after the login.
func (g *Gate) returnPath(path string) string {
	if len(path) > maxReturn || !isLocalPath(path) {
		return g.service.Home
	}
	return path
}

// enter takes the one-time code of the auth host and opens the session on this host.
func (g *Gate) enter(w http.ResponseWriter, r *http.Request) {
	s := g.server
	w.Header().Set("Cache-Control", "no-store")
	c, _ := s.Keys.cookieStore().Get(r, loginCookie)
	state, path := text(c, "state"), text(c, "path")
	q := r.URL.Query()
	code, okCode := token.Of(token.Entry, q.Get("code"))
	asked, okAsked := token.Of(token.State, q.Get("state"))
	kept, okKept := token.Of(token.State, state)
	if !okCode || !okAsked || !okKept || asked != kept {
		g.stray(w, r)
		return
	}
	secret := token.New()
	hash, _ := token.Of(token.Session, secret)
	v, err := s.Store.UseEntry(r.Context(), g.service.Host, code, kept, hash, s.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		g.stray(w, r)
		return
	case err != nil:
		g.fault(w, r, "enter service", err)
		return
	}
	s.Note(audit.Event{Kind: audit.ServiceEntered, Subject: v.Account.Subject, Session: v.ID, Service: g.service.Name, Source: Source(r)})
	s.ClearBrowserState(w)
	setSessionCookie(w, secret)
	if !isLocalPath(path) { // unreachable: startLogin sealed it
		path = g.service.Home
	}
	// With its origin: http.Redirect would tidy up a path alone ("//" in the middle), and it is to be the one that was asked for.
	http.Redirect(w, r, g.service.Origin+path, http.StatusSeeOther)
}

// stray answers a browser that brings a code which opens nothing. One that has a session here comes from a second tab, which had asked
// at the same time: it is shown the service.
func (g *Gate) stray(w http.ResponseWriter, r *http.Request) {
	if _, err := g.server.Sessions.Find(r, g.service.Host); err == nil {
		http.Redirect(w, r, g.service.Origin+g.service.Home, http.StatusSeeOther)
		return
	}
	g.fail(w, r, http.StatusForbidden, "login_unknown")
}

func (g *Gate) fail(w http.ResponseWriter, r *http.Request, status int, code string) {
	g.server.ServicePages.Render(w, r, status, web.ErrorPage{Code: code, RetryURL: g.service.Origin + g.service.Home, Person: g.server.menu(r, g.service.Host)})
}

// fault is Server.Fault on the service host, whose own pages have another style and another way back.
func (g *Gate) fault(w http.ResponseWriter, r *http.Request, what string, err error) {
	if r.Context().Err() != nil {
		return // the browser has gone
	}
	g.server.ServicePages.Render(w, r, http.StatusServiceUnavailable, web.ErrorPage{
		Code: "unavailable", Support: g.server.logFault(what, err), RetryURL: g.service.Origin + g.service.Home, Person: g.server.menu(r, g.service.Host),
	})
}

// isLocalPath says whether a browser that is sent to path stays on its host: F2. "//host" and "/\host" are other hosts to it.
func isLocalPath(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "/\\") &&
		!strings.ContainsFunc(path, func(c rune) bool { return c < 0x20 || c == 0x7f || c == '\\' })
}
