package conformance

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/idptest"
)

// oidcc-config-certification-test-plan.
func TestConfigOP(t *testing.T) {
	s := newSuite(t, first())
	s.party("first").begin().signIn(t, s.visitor(t)) // the first key for RS256 is made for the first client that wants it
	play(t, s, config())
}

func config() []module {
	return []module{{"oidcc-discovery-endpoint-verification", discovery, false}}
}

// discovery: each member is of its type, each endpoint there, and each key good for what it says (OpenID Connect Discovery 1.0, section 3;
// RFC 8414, section 2).
func discovery(t *testing.T, s *suite) {
	a := s.get(t, idptest.Origin+"/.well-known/openid-configuration")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" {
		t.Errorf("discovery = %d %v", a.status, a.header)
	}
	if s.meta["issuer"] != idptest.Origin {
		t.Errorf("issuer = %v, and was asked at %s", s.meta["issuer"], idptest.Origin)
	}
	for _, name := range []string{
		"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "introspection_endpoint", "revocation_endpoint", "pushed_authorization_request_endpoint",
	} {
		u, err := url.Parse(s.endpoint(t, name))
		if err != nil || u.Scheme != "https" || u.Host == "" || u.Fragment != "" || u.RawQuery != "" {
			t.Errorf("%s = %v", name, s.meta[name])
		}
		if got := s.get(t, s.endpoint(t, name)); got.status == http.StatusNotFound {
			t.Errorf("%s is not there", name)
		}
	}
	for name, want := range map[string][]string{
		"response_types_supported": {"code"}, "grant_types_supported": {"authorization_code"}, "subject_types_supported": {"public"},
		"id_token_signing_alg_values_supported": {"RS256"}, "scopes_supported": {"openid"}, "claims_supported": {"sub", "iss", "aud", "exp", "iat", "auth_time"},
		"token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post"}, "code_challenge_methods_supported": {"S256"}, "response_modes_supported": {"query"},
	} {
		for _, value := range want {
			if !s.supports(name, value) {
				t.Errorf("%s = %v, want %s", name, s.meta[name], value)
			}
		}
	}
	scope := regexp.MustCompile(`^[\x21\x23-\x5b\x5d-\x7e]+$`) // RFC 6749, section 3.3
	locale := regexp.MustCompile(`^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$`)
	for name, v := range s.meta {
		list, ok := v.([]any)
		switch {
		case strings.HasSuffix(name, "_supported") && !ok:
			if _, ok := v.(bool); !ok {
				t.Errorf("%s = %v, want a list or a truth value", name, v)
			}
		case ok && len(list) == 0: // RFC 8414, section 3.2: "Claims with zero elements MUST be omitted"
			t.Errorf("%s is empty", name)
		}
		for _, one := range list {
			text, _ := one.(string)
			if name == "scopes_supported" && !scope.MatchString(text) || name == "ui_locales_supported" && !locale.MatchString(text) || text == "" {
				t.Errorf("%s has %v", name, one)
			}
		}
	}
	seen := map[string]bool{}
	for _, k := range s.keys(t).Keys {
		if !k.Valid() || !k.IsPublic() || k.KeyID == "" || seen[k.KeyID] || k.Use != "sig" || !s.supports("id_token_signing_alg_values_supported", k.Algorithm) {
			t.Errorf("key %q for %q", k.KeyID, k.Algorithm)
		}
		switch key := k.Key.(type) {
		case *rsa.PublicKey:
			if key.N.BitLen() < 2048 || k.Algorithm != "RS256" {
				t.Errorf("key %q has %d bits", k.KeyID, key.N.BitLen())
			}
		case *ecdsa.PublicKey:
			if key.Curve.Params().Name != "P-256" || k.Algorithm != "ES256" {
				t.Errorf("key %q is on %s", k.KeyID, key.Curve.Params().Name)
			}
		default:
			t.Errorf("key %q is a %T", k.KeyID, key)
		}
		seen[k.KeyID] = true
	}
	if len(seen) < 2 {
		t.Errorf("%d keys", len(seen))
	}
}
