package idp

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/limit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/vhost"
	"promess/authgw/internal/web"
)

// maxBody and bodyTimeout bound the body of every request to the auth host: forms and small JSON.
const (
	maxBody     = 64 << 10
	bodyTimeout = 10 * time.Second
)

// Config is what a Server is made of. Every field is needed but those that say what nil means.
type Config struct {
	Host         string // of the auth host, without port
	Origin       string // of the auth host, as browsers see it
	Services     []Service
	Sessions     *Sessions
	Keys         *Keys // nil: new ones, in memory
	Store        *store.Store
	Audit        *audit.Log
	Pages        *web.Pages // of the auth host
	ServicePages *web.Pages // of the gateway's own pages on service hosts, with their assets at ServiceAssets
	Log          *slog.Logger
	Now          func() time.Time

	Registration   *Registration // nil: nobody is asked for an ordinary address
	CreateAccounts bool          // a login makes the account that it finds none of; otherwise it is refused
	Browsers       Browsers      // nil: no browser is known again
}

// Browsers are those that persons have signed in with before. *throttle.Throttle knows them again.
type Browsers interface {
	// Know returns what a request's browser is to be known by to a person who completes a login with it, and the cookie that says so.
	Know(r *http.Request, subject string) (store.KnownBrowser, *http.Cookie, error)
}

// Service is a place that a person may go to once signed in.
type Service struct {
	Name        string
	Host        string // without port
	Origin      string
	Title       string
	Description string
	Home        string // path
	Logo        *Logo  // on the portal; nil: the first letter of the title
	Rule        Rule   // who may open it
	// Proxies are those whose question about a request to Host is answered at /auth/verify, by the address that they ask from. None: the
	// gateway forwards to the service itself.
	Proxies []netip.Prefix
}

// Server is the auth host, and what the methods and the service hosts share.
type Server struct {
	Config
	services   map[string]Service
	asker      Asker // nil: nobody asks
	methods    []Method
	enrolments []web.Enrolment
	browser    string // action of the login without the agent; empty: not offered
	dependents []Dependent
	leavers    map[string]Leaver // by name
	images     map[string]string // of buttons, by the name of the method
	idle       limit.Sources     // refusals for which nothing was looked at
}

// New returns the auth host. Methods are added before it serves.
func New(c Config) (*Server, error) {
	if c.Keys == nil {
		ring, err := keyring.InMemory(c.Now)
		if err != nil {
			return nil, err
		}
		c.Keys = NewKeys(c.Origin, ring, c.Now)
	}
	s := &Server{
		Config:   c,
		services: map[string]Service{}, leavers: map[string]Leaver{}, images: map[string]string{},
		idle: limit.Sources{PerSecond: 0.2, AtOnce: 100},
	}
	for _, v := range c.Services {
		s.services[v.Name] = v
	}
	return s, nil
}

// Handler returns the auth host with the given methods, which the login page shows in this order.
func (s *Server) Handler(methods ...Method) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.portal)
	mux.HandleFunc("GET /login", s.login)
	mux.HandleFunc("GET /logout", s.logoutPage)
	mux.HandleFunc("POST /logout", s.logout)
	s.accountRoutes(mux)
	s.registerRoutes(mux)
	s.forwardRoutes(mux)
	mux.HandleFunc("GET /oauth/keys", s.serveKeys)
	mux.HandleFunc("GET "+logoPath+"{service}", s.logo)
	mux.Handle("GET "+web.AssetsPath, s.Pages.Assets())
	mux.HandleFunc("/", s.notFound)
	if s.asker != nil {
		s.asker.Routes(mux)
	}
	for _, m := range methods {
		s.methods = append(s.methods, m)
		m.Routes(mux)
		if b, ok := m.(BrowserMethod); ok {
			s.browser = b.BrowserPath()
		}
		if d, ok := m.(Dependent); ok {
			s.dependents = append(s.dependents, d)
		}
		if l, ok := m.(Leaver); ok {
			s.leavers[m.Name()] = l
		}
		if i, ok := m.(ImageMethod); ok && i.Image() != "" {
			s.images[m.Name()] = i.Image()
		}
		if e, ok := m.(Enroller); ok {
			s.enrolments = append(s.enrolments, e.Enrolments()...)
		}
	}

	// Cross-origin posts are refused before anything reads them: Sec-Fetch-Site, or Origin against Host (the browser routes). An
	// agent sends neither header and passes.
	csrf := http.NewCrossOriginProtection()
	// A client may send its users by a form too (OpenID Connect Core 1.0, section 3.1.2.1). It acts on nothing: the browser is sent the same
	// way as by a link.
	csrf.AddInsecureBypassPattern("POST /oauth/authorize")
	csrf.AddInsecureBypassPattern("POST /oauth/end_session") // RP-Initiated Logout 1.0, section 2: likewise
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Fail(w, r, http.StatusForbidden, "forbidden")
	}))
	return vhost.LimitBody(maxBody, bodyTimeout, csrf.Handler(mux))
}

// login shows the ways to sign in. With an open session it goes on at once to where the person wanted to go.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	state := s.BrowserState(r)
	q := r.URL.Query()
	if q.Has("service") {
		// From a service host: it alone knows the state, and keeps the path itself.
		state.Service, state.State, state.Request = q.Get("service"), q.Get("state"), ""
	}
	if _, known := s.services[state.Service]; state.Service != "" && !known {
		s.Fail(w, r, http.StatusNotFound, "not_found")
		return
	}
	if _, ok := token.Of(token.State, state.State); !ok {
		state.State = "" // the address was cut or made up; the cookie has room for a token only
	}
	session := &store.Session{}
	v, err := s.Sessions.Find(r, s.Host)
	switch {
	case err == nil:
		*session = v
	case errors.Is(err, ErrNoSession):
		session = nil
	default:
		s.Fault(w, r, "find session", err)
		return
	}
	demand, err := s.demand(r, &state, session)
	if err != nil {
		s.Fault(w, r, "find request", err)
		return
	}
	if session != nil && !demand.Again {
		state.Then = "" // it was for a login that this person no longer needs
		s.goOn(w, r, v, state)
		return
	}
	notice := demand.Notice
	if session == nil {
		notice = s.endNotice(r)
		clearSessionCookie(w) // whatever it was, it opens nothing (E6)
	}
	if err := s.SaveBrowserState(w, r, state); err != nil {
		s.Fault(w, r, "save browser state", err)
		return
	}
	if demand.Title == "" {
		demand.Title = s.services[state.Service].Title
	}
	page := s.loginPage(r, notice, demand)
	if session != nil {
		who := Person(v)
		page.Person = &who
	}
	s.Pages.Render(w, r, http.StatusOK, page)
}

// offered names the methods that the login page shows to the browser of a request: those that can meet a demand.
func (s *Server) offered(r *http.Request, d Demand) []string {
	var names []string
	for _, m := range s.methods {
		if c, ok := m.(ChoosyMethod); d.allows(m) && (!ok || c.Offered(r)) {
			names = append(names, m.Name())
		}
	}
	return names
}

// Succeed opens a session on a proof, in the place of the one that the browser had, and sends the person on.
func (s *Server) Succeed(w http.ResponseWriter, r *http.Request, p Proof) {
	ctx := r.Context()
	state := s.BrowserState(r)
	account, err := s.accountOf(r, p)
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.refuseProof(w, r, p, "no_account")
		return
	case err != nil:
		s.Fault(w, r, "open account", err)
		return
	case account.Disabled:
		s.refuseProof(w, r, p, "account_disabled")
		return
	}
	old, err := s.Sessions.Find(r, s.Host)
	if err != nil && !errors.Is(err, ErrNoSession) {
		s.Fault(w, r, "find the session before", err)
		return
	}
	had := err == nil
	browser, cookie := s.know(r, account.Subject)
	v, secret, err := s.Sessions.open(r, account, p, s.Host, browser...)
	if errors.Is(err, store.ErrNotFound) { // disabled since we looked (D14)
		s.refuseProof(w, r, p, "account_disabled")
		return
	}
	if err != nil {
		s.Fault(w, r, "open session", err)
		return
	}
	err = s.admit(r, p, v, state.Service)
	switch {
	case err != nil || !had:
	case old.Account.Subject == account.Subject && level(p.ACR) >= level(old.ACR):
		err = s.replace(ctx, old, v)
	default:
		err = s.End(ctx, old, "replaced")
	}
	if err != nil {
		if over := s.End(context.WithoutCancel(ctx), v, "not_opened"); over != nil { // nobody was given its token
			s.Log.Error("session not ended", "session", v, "error", over)
		}
		s.Fault(w, r, "complete session", err)
		return
	}
	setSessionCookie(w, secret)
	if cookie != nil {
		http.SetCookie(w, cookie)
	}
	if s.interrupt(w, r, v, state) {
		return
	}
	s.ClearBrowserState(w)
	s.goOn(w, r, v, state)
}

// know returns what the browser of a login is to be known by, if it is to be, and its cookie.
func (s *Server) know(r *http.Request, subject string) ([]store.KnownBrowser, *http.Cookie) {
	if s.Browsers == nil {
		return nil, nil
	}
	browser, cookie, err := s.Browsers.Know(r, subject)
	if err != nil { // the next login may have to wait for strangers' failures
		s.Log.Error("browser not remembered", "subject", subject, "error", err)
		return nil, nil
	}
	return []store.KnownBrowser{browser}, cookie
}

// admit records a login and completes its session. Without their lines in the audit there is no login. Those wait for the disk, and all that was
// written before is there with them: the session, and that its proof was used.
func (s *Server) admit(r *http.Request, p Proof, v store.Session, service string) error {
	err := s.Audit.Record(audit.Event{
		Kind: audit.LoginSucceeded, Outcome: "success", Subject: v.Account.Subject, Method: p.Method, ACR: p.ACR,
		Source: v.Source, Browser: v.Browser, Fingerprint: p.Fingerprint, Issuer: p.Issuer, Service: service,
	}, audit.Event{
		Kind: audit.SessionOpened, Subject: v.Account.Subject, Session: v.ID, Method: p.Method, ACR: p.ACR, Source: v.Source,
	})
	if err == nil && p.Opened != nil {
		err = p.Opened(r.Context(), v)
	}
	return err
}

// replace ends a session in favour of another of the same person, at least as strong, which keeps what clients were given in it.
func (s *Server) replace(ctx context.Context, old, v store.Session) error {
	if err := s.Store.MoveGrants(ctx, old.ID, v.ID, s.Now()); err != nil {
		return err
	}
	return s.End(ctx, old, "replaced")
}

// goOn sends a person with a session to the service they wanted, or to the portal.
func (s *Server) goOn(w http.ResponseWriter, r *http.Request, v store.Session, state BrowserState) {
	if state.Request != "" && s.asker != nil {
		http.Redirect(w, r, s.asker.Resume(state.Request), http.StatusSeeOther) // which looks at everything again
		return
	}
	service, ok := s.services[state.Service]
	if !ok {
		http.Redirect(w, r, cmp.Or(state.Then, "/"), http.StatusSeeOther) // the path is ours: the cookie is sealed
		return
	}
	if code := service.Rule.refuses(v); code != "" {
		who := Person(v)
		s.Pages.Render(w, r, http.StatusForbidden, web.ErrorPage{Code: code, RetryURL: "/", Person: &who})
		return
	}
	target, err := s.entryURL(r.Context(), v, service, state.State)
	switch {
	case errors.Is(err, errBadState):
		// The service host has not asked, or the address was cut: its home page will ask properly.
		http.Redirect(w, r, service.Origin+service.Home, http.StatusSeeOther)
	case err != nil:
		s.Fault(w, r, "enter service", err)
	default:
		http.Redirect(w, r, target+takeFragment(w, r, state.State), http.StatusSeeOther)
	}
}

// End ends a session for a reason: everywhere, with its open streams.
func (s *Server) End(ctx context.Context, v store.Session, reason string) error {
	open, err := s.Sessions.end(ctx, v.ID, reason)
	if err != nil {
		return err
	}
	if open {
		s.Record(audit.Event{Kind: audit.SessionEnded, Reason: reason, Subject: v.Account.Subject, Session: v.ID, Method: v.Method})
	}
	return nil
}

// Person is who a session is of, for the menu of its pages.
func Person(v store.Session) web.Person {
	return web.Person{Name: displayName(v.Account), Profession: v.Account.Profession, CardType: v.CardType}
}

// Source returns the network address of a request's peer, without the port, for the audit. Forwarded headers are not believed (B4).
func Source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
