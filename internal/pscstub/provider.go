package pscstub

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	loginLifetime = 10 * time.Minute // that a person takes to choose
	codeLifetime  = time.Minute
	maxEntries    = 50_000 // of each kind in memory; when there are more, nobody can begin
	maxForm       = 64 << 10
	cookieName    = "__Host-pscstub"
)

// Provider is the stand-in, an http.Handler of both its hosts. New makes one.
type Provider struct {
	config Config
	issuer *url.URL
	wallet *url.URL
	signer jose.Signer
	mux    *http.ServeMux

	mu       sync.Mutex
	logins   map[string]*login
	sessions map[string]*session // by cookie
	codes    map[string]*grant
	refresh  map[string]*refresh
	access   map[string]*access // by jti
}

// login is an authorization request for which somebody has yet to choose a person.
type login struct {
	request
	expires time.Time
}

// session is what PSC knows of a browser.
type session struct {
	id      string // sid
	person  *Person
	began   time.Time
	ended   bool
	expires time.Time
}

// grant is a code and what came of it.
type grant struct {
	request
	session *session
	used    bool // the code
	revoked bool // everything
	expires time.Time
}

type refresh struct {
	grant   *grant
	used    bool
	expires time.Time
}

type access struct {
	grant   *grant
	expires time.Time
}

// New returns a provider without sessions.
func New(c Config) (*Provider, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	p := &Provider{
		config: c, mux: http.NewServeMux(), logins: map[string]*login{}, sessions: map[string]*session{},
		codes: map[string]*grant{}, refresh: map[string]*refresh{}, access: map[string]*access{},
	}
	p.issuer, _ = url.Parse(c.Issuer) // checked
	p.wallet, _ = url.Parse(c.Wallet) // checked
	key := jose.JSONWebKey{Key: c.Key, KeyID: KeyID(&c.Key.PublicKey), Algorithm: string(jose.RS256), Use: "sig"}
	var err error
	p.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("pscstub: make signer: %w", err)
	}
	p.routes()
	return p, nil
}

func (p *Provider) routes() {
	p.mux.HandleFunc("GET "+WalletPath, p.toIssuer)
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET " + DiscoveryPath: p.discovery,
		"GET " + KeysPath:      p.keys,
		"GET " + AuthorizePath: p.authorize,
		"POST " + ChoicePath:   p.choose,
		"POST " + TokenPath:    p.token,
		"GET " + UserinfoPath:  p.userinfo,
		"POST " + UserinfoPath: p.userinfo,
		"GET " + LogoutPath:    p.logout,
		"POST " + LogoutPath:   p.logout,
		"GET /style.css":       p.style,
		"GET /signed-out":      p.signedOut,
		"GET /{$}":             p.about,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		p.mux.HandleFunc(method+" "+Path+path, serve)
	}
}

// ServeHTTP answers on every host that it is asked on; the addresses that it gives are those of its configuration.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	p.mux.ServeHTTP(w, r)
}

// room forgets what is over, and reports whether something may be added. p.mu is held.
func (p *Provider) room() bool {
	if len(p.logins)+len(p.sessions)+len(p.codes)+len(p.refresh)+len(p.access) < maxEntries/2 {
		return true
	}
	now := p.config.Now()
	maps.DeleteFunc(p.logins, func(_ string, l *login) bool { return now.After(l.expires) })
	maps.DeleteFunc(p.sessions, func(_ string, s *session) bool { return s.ended || now.After(s.expires) })
	maps.DeleteFunc(p.codes, func(_ string, g *grant) bool { return now.After(g.expires) })
	maps.DeleteFunc(p.refresh, func(_ string, r *refresh) bool { return r.grant.revoked || now.After(r.expires) })
	maps.DeleteFunc(p.access, func(_ string, a *access) bool { return a.grant.revoked || now.After(a.expires) })
	return len(p.logins)+len(p.sessions)+len(p.codes)+len(p.refresh)+len(p.access) < maxEntries
}

// over reports whether the tokens of a grant are worth anything still. p.mu is held.
func (p *Provider) over(g *grant) bool {
	return g.revoked || g.session.ended || p.config.Now().After(g.session.expires)
}

func (p *Provider) sign(claims map[string]any) (string, error) {
	token, err := jwt.Signed(p.signer).Claims(claims).Serialize()
	if err != nil {
		return "", fmt.Errorf("pscstub: sign: %w", err)
	}
	return token, nil
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails when the client has gone
}

// refuse answers an error of RFC 6749, section 5.2.
func refuse(w http.ResponseWriter, status int, code, description string) {
	reply(w, status, map[string]string{"error": code, "error_description": description})
}

func random() string { return rand.Text() }
