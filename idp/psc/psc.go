// Package psc is the login with Pro Santé Connect (PSC): the gateway is a relying party there, and the person proves with a card or the
// e-CPS who they are.
//
//	browser              gateway                                    PSC
//	POST /login/psc ───▶ login: state, nonce, verifier; cookie
//	 ◀── 303 ──────────┘
//	 ────────────────────────────────────────────────────────────▶ the person proves who they are
//	 ◀── 303 /login/psc/callback?code&state ─────────────────────┘
//	 ──────────────────▶ cookie and state agree, once; code ─────▶ tokens, userinfo
//	                     (situation, when there are several)
//	                     session
//
// What is proved: PSC has signed, for us and for this login (nonce), who the person is; the browser that gets the session is the one that
// began. An account is found by SubjectNameID, which is the national identifier that cards have; (iss, sub) is a second key, which may
// change, and which never leads to another account than before. The session ends with PSC's at the latest, and its tokens, sealed, are
// renewed while the person is active: see Run. Nothing of PSC is waited for when somebody uses an open session.
//
// A Method is safe for concurrent use.
package psc

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"promess/authgw/idp"
	"promess/authgw/internal/limit"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// Name is the method's word.
const Name = "psc"

// Paths on the auth host that PSC is to know.
const (
	CallbackPath    = "/login/psc/callback"
	BackchannelPath = "/login/psc/backchannel"
	LogoutPath      = "/logout" // where it sends the browser after a logout
)

const (
	startPath     = "/login/psc"
	situationPath = "/login/psc/situation/" // and the state: another tab may choose for somebody else
	buttonPath    = "/login/psc/button"
	leavePath     = idp.LeavePath + Name + "/"
)

// ClientAuth is how the gateway proves to PSC who it is. It is said, never tried out: a try that fails uses the code up.
type ClientAuth string

// The ways that there are.
const (
	Basic ClientAuth = "basic" // client_secret_basic
	Post  ClientAuth = "post"  // client_secret_post
	TLS   ClientAuth = "tls"   // tls_client_auth (RFC 8705, section 2.1)
)

// Config is what a Method is made of. All of it is needed but what says what its absence means.
type Config struct {
	Server      *idp.Server
	Store       *store.Store
	Keys        *seal.Keys // of what is kept of a login and of tokens
	Issuer      string
	Hosts       []string // that endpoints may be on: host, or host:port when that is not 443
	ClientID    string
	Auth        ClientAuth
	Secret      string           // of Basic and Post
	Certificate *tls.Certificate // of TLS
	Roots       *x509.CertPool   // of PSC's servers; nil: those of the system
	ACR         []string         // that are accepted
	Sandbox     bool             // accept the identities that only PSC's sandbox has: see identifierType
	Scopes      []string
	Timeout     time.Duration // of all that a login waits for
	Button      *idp.Logo     // image of the button; nil: none
	Before      *Method       // in whose place this one comes, and whose discovery it takes over where that is the same; nil: none
	Log         *slog.Logger
	Now         func() time.Time

	// Observe is told of each answer of an endpoint, or that there was none. Nil: nobody is.
	Observe func(endpoint, outcome string)
}

// Method is the login.
type Method struct {
	Config
	client  *http.Client
	breaker *breaker
	limits  limit.Sources // of logins that begin, and logout tokens: neither asks for a proof

	fetching sync.Mutex // held while the discovery document is fetched
	current  atomic.Pointer[document]
	failed   atomic.Pointer[failure] // of the last discovery; nil: it worked
	keyless  atomic.Bool             // the last time that the keys were asked for, they were not to be had
}

var (
	_ idp.Dependent   = (*Method)(nil)
	_ idp.Leaver      = (*Method)(nil)
	_ idp.ImageMethod = (*Method)(nil)
)

// New returns the login. Nobody is asked anything before somebody signs in, or Run.
func New(c Config) *Method {
	if c.Observe == nil {
		c.Observe = func(string, string) {}
	}
	m := &Method{Config: c, breaker: &breaker{now: c.Now}, limits: limit.Sources{PerSecond: 10, AtOnce: 200}}
	m.client = newClient(m)
	if b := c.Before; b != nil && b.Issuer == c.Issuer && b.ClientID == c.ClientID {
		m.inherit(b)
	}
	return m
}

// Name implements idp.Method.
func (m *Method) Name() string { return Name }

// MostACR implements idp.LimitedMethod. Which level a login has, Pro Santé Connect says afterwards: the highest cannot be asked for, and is to be
// expected only where no other is accepted.
func (m *Method) MostACR() string {
	for _, acr := range m.ACR {
		if level(acr) != idp.ACRHardware {
			return idp.ACRTwoFactor
		}
	}
	return idp.ACRHardware
}

// Routes implements idp.Method.
func (m *Method) Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+startPath, m.start)
	mux.HandleFunc("GET "+CallbackPath, m.callback)
	mux.HandleFunc("GET "+situationPath+"{state}", m.askSituation)
	mux.HandleFunc("POST "+situationPath+"{state}", m.takeSituation)
	mux.HandleFunc("POST "+BackchannelPath, m.backchannel)
	mux.HandleFunc("GET "+leavePath+"{handle}", m.leave)
	if m.Button != nil {
		mux.Handle("GET "+buttonPath, m.Button)
	}
}

// Image implements idp.ImageMethod.
func (m *Method) Image() string {
	if m.Button == nil {
		return ""
	}
	return buttonPath + m.Button.Query()
}

// Unavailable implements idp.Dependent.
func (m *Method) Unavailable() string {
	if m.breaker.open() {
		return down
	}
	if m.document() == nil {
		if f := m.failed.Load(); f != nil {
			return f.word
		}
	}
	return ""
}

// Words for why nobody can sign in.
const (
	down  = "psc_down"
	wrong = "psc_wrong"
)

// State says how it is with PSC, for operators: "ok", or what is wrong.
func (m *Method) State() string {
	switch f := m.failed.Load(); {
	case m.breaker.open():
		return "unavailable: too many requests in a row failed"
	case m.document() == nil && f != nil:
		return "unavailable: " + f.err.Error()
	case f != nil:
		return "the discovery document of before is in use: " + f.err.Error()
	}
	return "ok"
}

// oauth is the client's side of OAuth, by a document.
func (m *Method) oauth(d *document) *oauth2.Config {
	style := oauth2.AuthStyleInParams // of TLS too: the client_id is a parameter, and there is no secret
	if m.Auth == Basic {
		style = oauth2.AuthStyleInHeader
	}
	c := &oauth2.Config{
		ClientID: m.ClientID, RedirectURL: m.Server.Origin + CallbackPath, Scopes: m.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: d.config.AuthURL, TokenURL: d.config.TokenURL, AuthStyle: style},
	}
	if m.Auth != TLS {
		c.ClientSecret = m.Secret
	}
	return c
}
