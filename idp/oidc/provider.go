// Package oidc lets other services send their users here to sign in: an OpenID provider beside the login methods of package idp.
//
//	browser              client (a service)                     auth host
//	GET /app         ──▶ no session of its own ──────────────▶ GET /oauth/authorize?client_id&redirect_uri&code_challenge…
//	                                                            a session that does: a code, at once
//	                                                            otherwise the request is kept, bound to this browser:
//	                                                            GET /login ──▶ (any method) ──▶ GET /oauth/resume?request=…
//	                                                            looks at everything again, asks for consent where it must
//	GET /app/cb?code&state&iss ◀───────────────────────────────
//	                     POST /oauth/token (code, code_verifier) ──▶ access, refresh and ID token
//
// It owns the protocol: what a client may ask, where it is answered, what it is told of whom, and what became of what it was given. The
// functions of package op (github.com/zitadel/oidc) parse, validate and issue behind an HTTP edge of our own, which is stricter: one spelling
// of each parameter, S256 for everybody, redirect URIs compared as they are. Who a person is, package idp finds out; the package opens no
// session. It fetches nothing from an address that a client names, but for the back-channel logout. All of it is safe for concurrent use.
package oidc

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/schema"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/limit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// Paths on the auth host.
const (
	authorizePath  = "/oauth/authorize"
	resumePath     = "/oauth/resume"
	consentPath    = "/oauth/consent"
	parPath        = "/oauth/par"
	tokenPath      = "/oauth/token"
	userinfoPath   = "/oauth/userinfo"
	introspectPath = "/oauth/introspect"
	revokePath     = "/oauth/revoke"
	keysPath       = "/oauth/keys"
	endPath        = "/oauth/end_session"
	devicePath     = "/oauth/device_authorization"
)

// Config is what a Provider is made of. Every field is needed, but the last.
type Config struct {
	Server  *idp.Server
	Issuer  string // the origin of the auth host
	Clients Clients
	Ring    *keyring.Ring
	Store   *store.Store
	Pages   *web.Pages // of the auth host
	Log     *slog.Logger
	Now     func() time.Time

	// ClientCertOrigin is the origin of the host where clients prove themselves with a TLS certificate; empty: they do not.
	ClientCertOrigin string
}

// Clients are those that may ask.
type Clients interface {
	// Client returns a client by its id. client.ErrUnknown: there is none.
	Client(ctx context.Context, id string) (*client.Client, error)
	// All returns all of them, in the order of the portal.
	All(ctx context.Context) ([]*client.Client, error)
}

// Provider is an OpenID provider.
type Provider struct {
	Config
	decoder *schema.Decoder // of parameters, for the library
	encoder *schema.Encoder

	codes, accessTokens sealer

	kept  limit.Sources // requests that are kept for a login
	noise limit.Sources // refusals for which nothing was looked at

	devices limit.Sources // devices that begin to wait
	back    back
}

var (
	_ idp.Asker      = (*Provider)(nil)
	_ idp.Agreements = (*Provider)(nil)
)

// New returns a provider, whose Routes belong to the auth host. Close must follow when another takes its place.
func New(c Config) (*Provider, error) {
	p := &Provider{
		Config: c, decoder: schema.NewDecoder(), encoder: lib.NewEncoder(),
		codes: sealer{ring: c.Ring, purpose: sealedCode}, accessTokens: sealer{ring: c.Ring, purpose: sealedAccess},
		kept: limit.Sources{PerSecond: 10, AtOnce: 200}, noise: limit.Sources{PerSecond: 0.2, AtOnce: 100},
		devices: limit.Sources{PerSecond: 5, AtOnce: 100},
	}
	p.decoder.IgnoreUnknownKeys(true)
	p.hear()
	return p, nil
}

// Routes adds its handlers to the auth host.
func (p *Provider) Routes(mux *http.ServeMux) {
	p.frontRoutes(mux)
	p.endRoutes(mux)
	p.backRoutes(mux)
}

// granted is what a grant was given on: the body of its row.
type granted struct {
	RedirectURI string   `json:"redirect_uri,omitempty"` // empty of a device
	Scopes      []string `json:"scopes"`
	Nonce       string   `json:"nonce,omitempty"`
	Challenge   string   `json:"challenge,omitempty"` // S256; empty only of a device
	Subject     string   `json:"sub"`                 // as the client knows the person
	Account     string   `json:"account"`             // as we do
	ACR         string   `json:"acr"`                 // of the session at the time, as the next two
	AMR         []string `json:"amr"`
	AuthTime    int64    `json:"auth_time"` // Unix seconds
	SID         string   `json:"sid"`
	Method      string   `json:"method,omitempty"`    // of the session at the time, as the next
	CardType    string   `json:"card_type,omitempty"` // empty: no card
}
