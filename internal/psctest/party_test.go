package psctest_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
	"promess/authgw/internal/testpki"
)

const (
	clientID    = "promess-essais"
	postID      = "promess-essais-post"            // that sends its secret in the form
	secret      = "un secret + des signes: %&=/ 1" // RFC 6749, appendix A.2: printable ASCII
	redirectURI = "https://gateway.example/login/psc/callback"
	logoutURI   = "https://gateway.example/logout/psc"
)

// shared is made once for all tests, by TestMain.
var shared struct {
	npm *psctest.NPM
	pki *testpki.PKI
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "authgw-psctest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if shared.npm, err = psctest.InstallNPMIn(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if shared.pki, err = testpki.New(testpki.Config{Test: true, CardsOnly: true}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// kinds returns both stand-ins.
func kinds() []psctest.Kind { return []psctest.Kind{psctest.Go{}, shared.npm} }

func secretClient() pscstub.Client {
	return pscstub.Client{ID: clientID, Secret: secret, RedirectURIs: []string{redirectURI}, LogoutURIs: []string{logoutURI}}
}

// party is a relying party, made of go-oidc and oauth2, which is to say not of our own code.
type party struct {
	standin  *psctest.Server
	http     *http.Client // of the party
	browser  *http.Client
	provider *oidc.Provider
	oauth    oauth2.Config
	document map[string]any
}

// document reads the discovery document.
func document(ctx context.Context, c *http.Client, at string) (map[string]any, error) {
	var doc map[string]any
	return doc, get(ctx, c, at, &doc)
}

func get(ctx context.Context, c *http.Client, at string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return err
	}
	response, err := c.Do(req)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", at, response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(into)
}

func newParty(t *testing.T, s *psctest.Server, style oauth2.AuthStyle, certificates ...tls.Certificate) *party {
	t.Helper()
	p := &party{standin: s, http: s.Client(t, certificates...), browser: s.Client(t)}
	doc, err := document(t.Context(), p.http, s.DiscoveryURL())
	if err != nil {
		t.Fatal(err)
	}
	data, _ := json.Marshal(doc) // it was JSON
	var config oidc.ProviderConfig
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	config.Algorithms = []string{oidc.RS256}
	p.document, p.provider = doc, config.NewProvider(oidc.ClientContext(context.Background(), p.http))
	p.oauth = oauth2.Config{
		ClientID: clientID, ClientSecret: secret, RedirectURL: redirectURI, Scopes: []string{"openid", "scope_all"},
		Endpoint: oauth2.Endpoint{AuthURL: config.AuthURL, TokenURL: config.TokenURL, AuthStyle: style},
	}
	if len(certificates) > 0 {
		p.oauth.ClientSecret = ""
	}
	return p
}

func (p *party) context(ctx context.Context) context.Context { return oidc.ClientContext(ctx, p.http) }

// attempt is one login.
type attempt struct {
	state, nonce, verifier string
	url                    string
}

func (p *party) begin(extra ...oauth2.AuthCodeOption) attempt {
	a := attempt{state: "state-" + oauth2.GenerateVerifier(), nonce: "nonce-" + oauth2.GenerateVerifier(), verifier: oauth2.GenerateVerifier()}
	a.url = p.oauth.AuthCodeURL(a.state, append(extra,
		oidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.verifier), oauth2.SetAuthURLParam("acr_values", "eidas1"))...)
	return a
}

// identity is what a relying party knows after a login.
type identity struct {
	tokens   *oauth2.Token
	rawID    string
	id       *oidc.IDToken
	claims   map[string]any
	userinfo map[string]any
}

// errNonce and errUserinfo are checks that go-oidc leaves to its caller.
var (
	errNonce    = errors.New("the nonce is not ours")
	errUserinfo = errors.New("userinfo of somebody else")
	errCallback = errors.New("callback")
)

// finish does what a relying party does with a callback.
func (p *party) finish(ctx context.Context, a attempt, callback *url.URL) (*identity, error) {
	q := callback.Query()
	if got, want := q.Get("state"), a.state; got != want {
		return nil, fmt.Errorf("%w: state %q", errCallback, got)
	}
	if q.Has("error") {
		return nil, fmt.Errorf("%w: %s", errCallback, q.Get("error"))
	}
	tokens, err := p.oauth.Exchange(p.context(ctx), q.Get("code"), oauth2.VerifierOption(a.verifier))
	if err != nil {
		return nil, err
	}
	return p.identify(ctx, tokens, a.nonce)
}

func (p *party) identify(ctx context.Context, tokens *oauth2.Token, nonce string) (*identity, error) {
	who := &identity{tokens: tokens}
	who.rawID, _ = tokens.Extra("id_token").(string)
	var err error
	if who.id, err = p.provider.Verifier(&oidc.Config{ClientID: p.oauth.ClientID}).Verify(p.context(ctx), who.rawID); err != nil {
		return nil, err
	}
	if err := who.id.VerifyAccessToken(tokens.AccessToken); err != nil {
		return nil, err
	}
	if who.id.Nonce != nonce {
		return nil, errNonce
	}
	if err := who.id.Claims(&who.claims); err != nil {
		return nil, err
	}
	info, err := p.provider.UserInfo(p.context(ctx), oauth2.StaticTokenSource(tokens))
	if err != nil {
		return nil, err
	}
	if info.Subject != who.id.Subject {
		return nil, errUserinfo
	}
	return who, info.Claims(&who.userinfo)
}

// login signs a person in, all the way.
func (p *party) login(ctx context.Context, t *testing.T, person string) (*identity, error) {
	t.Helper()
	a := p.begin()
	return p.finish(ctx, a, p.standin.Choose(t, p.browser, a.url, person))
}

func (p *party) mustLogin(t *testing.T, person string) *identity {
	t.Helper()
	who, err := p.login(t.Context(), t, person)
	if err != nil {
		t.Fatalf("login of %s: %v", person, err)
	}
	return who
}

// renew refreshes.
func (p *party) renew(ctx context.Context, old *oauth2.Token) (*oauth2.Token, error) {
	return p.oauth.TokenSource(p.context(ctx), &oauth2.Token{RefreshToken: old.RefreshToken}).Token()
}
