package conformance

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/client"
	"promess/authgw/internal/keyring"
)

// oidcc-dynamic-certification-test-plan: clients are registered by the operator, so of this plan there is what is left without the endpoint that
// registers them.
func TestDynamicOPWithoutRegistration(t *testing.T) {
	play(t, newSuite(t, first(), second()), dynamic())
}

func dynamic() []module {
	return []module{
		{"oidcc-idtoken-rs256", idTokenRS256, false},
		{"oidcc-userinfo-rs256", userinfoRS256, true},
		{"oidcc-ensure-redirect-uri-in-authorization-request", noRedirectURI, false},
		{"oidcc-redirect-uri-query-OK", redirectURIQuery, false},
		{"oidcc-redirect-uri-query-mismatch", redirectURIQueryMismatch, false},
		{"oidcc-redirect-uri-query-added", redirectURIQueryAdded, false},
		{"oidcc-redirect-uri-regfrag", redirectURIFragment, false},
		{"oidcc-registration-jwks-uri", registration, true},
		{"oidcc-registration-logo-uri", registration, true},
		{"oidcc-registration-policy-uri", registration, true},
		{"oidcc-registration-tos-uri", registration, true},
		{"oidcc-registration-sector-uri", registration, true},
		{"oidcc-registration-sector-bad", registration, true},
		{"oidcc-server-rotate-keys", rotateKeys, false},
		{"oidcc-refresh-token-rp-key-rotation", rpKeyRotation, false},
		{"oidcc-request-uri-unsigned", requestURI, true},
		{"oidcc-request-uri-signed-rs256", requestURI, true},
		{"oidcc-ensure-client-assertion-with-iss-aud-succeeds", issuerAsAudience, false},
	}
}

func idTokenRS256(t *testing.T, s *suite) {
	p := s.party("first")
	p.alg = "RS256"
	p.begin().signIn(t, s.visitor(t))
}

// userinfoRS256: what userinfo says is not signed; nobody can register for it, and discovery lists no algorithm.
func userinfoRS256(t *testing.T, s *suite) {
	if _, ok := s.meta["userinfo_signing_alg_values_supported"]; ok {
		t.Error("discovery lists signatures of userinfo")
	}
	if _, err := client.ParseSettings(`{"id":"x","title":"x","userinfo_signed_response_alg":"RS256"}`); err == nil {
		t.Error("a client may ask for what is not done")
	}
	f := s.party("first").begin()
	got := f.signIn(t, s.visitor(t))
	f.told(t, f.get(t, f.endpoint(t, "userinfo_endpoint"), "Authorization", "Bearer "+got.access, "Accept", "application/jwt"), got)
}

func noRedirectURI(t *testing.T, s *suite) {
	c := first()
	c.ID, c.RedirectURIs = "two", []string{callback, callback + "2"}
	s.register(t, c)
	for _, id := range []string{"two", "first"} { // of one that has only one, too
		f := s.party(id).begin("redirect_uri", "")
		s.visitor(t).follow(t, f.url(t)).wantErrorPage(t)
	}
}

func redirectURIQuery(t *testing.T, s *suite) { s.party("second").begin().signIn(t, s.visitor(t)) }

func redirectURIQueryMismatch(t *testing.T, s *suite) {
	f := s.party("second").begin("redirect_uri", strings.Replace(secondCallback, "lorem", "other", 1))
	s.visitor(t).follow(t, f.url(t)).wantErrorPage(t)
}

func redirectURIQueryAdded(t *testing.T, s *suite) {
	f := s.party("first").begin("redirect_uri", callback+"?foo=bar")
	s.visitor(t).follow(t, f.url(t)).wantErrorPage(t)
}

func redirectURIFragment(t *testing.T, _ *suite) {
	c := first()
	c.RedirectURIs = []string{callback + "#fragment"}
	if _, err := c.Client(client.Own{}); err == nil || !strings.Contains(err.Error(), "redirect_uris[0]") {
		t.Errorf("Client = %v, want the redirect URI refused", err)
	}
}

// registration: nobody registers a client by themselves, and nothing is fetched that one names.
func registration(t *testing.T, s *suite) {
	if at, ok := s.meta["registration_endpoint"]; ok {
		t.Errorf("registration_endpoint = %v", at)
	}
	for _, member := range []string{"jwks_uri", "logo_uri", "policy_uri", "tos_uri", "sector_identifier_uri"} {
		if _, err := client.ParseSettings(`{"id":"x","title":"x","` + member + `":"https://rp.example.test/x"}`); err == nil {
			t.Errorf("a client has a %s", member)
		}
	}
	f := s.party("first").begin("registration", `{"client_name":"x"}`)
	f.wantError(t, s.visitor(t).follow(t, f.url(t)), "registration_not_supported")
}

// rotateKeys: the new key is there before anything is signed with it, and the old one as long as anybody may look at what it has signed.
func rotateKeys(t *testing.T, s *suite) {
	p, v := s.party("first"), s.visitor(t)
	before := p.begin().signIn(t, v)
	old, _ := p.opened(t, before.id, p.alg)
	count := len(s.keys(t).Keys)
	if _, err := s.ring.Rotate(t.Context(), keyring.RS256, false); err != nil {
		t.Fatal(err)
	}
	if set := s.keys(t); len(set.Keys) != count+1 || len(set.Key(old.KeyID)) != 1 {
		t.Errorf("%d keys after the rotation, were %d: want one more, and the old one", len(set.Keys), count)
	}
	if h, _ := p.opened(t, p.begin().signIn(t, v).id, p.alg); h.KeyID != old.KeyID {
		t.Error("the new key is used while relying parties may not have seen it")
	}
	s.Advance(keyring.Lead)
	if err := s.ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h, _ := p.opened(t, p.begin().signIn(t, v).id, p.alg); h.KeyID == old.KeyID {
		t.Error("the old key is still used")
	}
	p.opened(t, before.id, p.alg)
}

// keyed returns settings of a client that proves itself by a key, and the key.
func keyed(t *testing.T, id, kid string) (client.Settings, *jose.SigningKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: crypto.PublicKey(key.Public()), KeyID: kid, Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	c := first()
	c.ID, c.Title, c.Auth, c.JWKS = id, id, "private_key_jwt", set
	return c, &jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: kid}}
}

// rpKeyRotation: a refresh token outlives the key of its client, which the operator has replaced. The key before proves nothing any more.
func rpKeyRotation(t *testing.T, s *suite) {
	c, old := keyed(t, "keyed", "k1")
	s.register(t, c)
	p := s.party("keyed")
	p.key = old
	got := p.begin("scope", "openid offline_access", "prompt", "consent").signIn(t, s.visitor(t))
	c, p.key = keyed(t, "keyed", "k2")
	s.register(t, c)
	s.Advance(time.Minute)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.refresh}}
	late := s.party("keyed")
	late.key = old
	late.post(t, "token_endpoint", form).wantRefused(t, http.StatusUnauthorized, "invalid_client")
	f := p.begin("nonce", "")
	f.tokens(t, p.post(t, "token_endpoint", form))
}

func issuerAsAudience(t *testing.T, s *suite) {
	c, key := keyed(t, "assertive", "k1")
	s.register(t, c)
	p := s.party("assertive")
	p.key = key
	p.begin().signIn(t, s.visitor(t)) // the audience of assertion is the issuer
}
