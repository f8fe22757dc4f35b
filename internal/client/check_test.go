package client_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/client"
)

func TestSettingsThatAreWrong(t *testing.T) {
	many := func(n int, format string) []string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf(format, i))
		}
		return all
	}
	const hex = "aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899"
	for name, tt := range map[string]struct {
		change    func(*client.Settings)
		key, want string
	}{
		"no id":                     {func(s *client.Settings) { s.ID = "" }, "id", "nothing given"},
		"an id of two lines":        {func(s *client.Settings) { s.ID = "a\nb" }, "id", "1 to 64 letters"},
		"no title":                  {func(s *client.Settings) { s.Title = "" }, "title", "missing"},
		"a title that turns around": {func(s *client.Settings) { s.Title = "a\u202eb" }, "title", "one line of text"},
		"a long title":              {func(s *client.Settings) { s.Title = strings.Repeat("é", 81) }, "title", "at most 80 characters"},
		"a home by http":            {func(s *client.Settings) { s.Home = "http://agenda.example.fr/" }, "home", "https expected"},
		"a home that is a script":   {func(s *client.Settings) { s.Home = "javascript:alert(1)" }, "home", "https expected"}, // G8
		"a description nobody sees": {func(s *client.Settings) { s.Description = "Rendez-vous" }, "description", "home expected"},
		"a long description": {func(s *client.Settings) {
			s.Home, s.Description = "https://agenda.example.fr/", strings.Repeat("é", 201)
		}, "description", "at most 200 characters"},
		"no redirect URI":               {func(s *client.Settings) { s.RedirectURIs = nil }, "redirect_uris", "missing"},
		"51 redirect URIs":              {func(s *client.Settings) { s.RedirectURIs = many(51, "https://agenda.example.fr/%d") }, "redirect_uris", "at most 50 expected, 51 given"},
		"one twice":                     {func(s *client.Settings) { s.RedirectURIs = append(s.RedirectURIs, s.RedirectURIs[0]) }, "redirect_uris[1]", "given twice"},
		"a scope of its own":            {func(s *client.Settings) { s.Scopes = []string{"openid", "admin"} }, "scopes[1]", "one of openid"},
		"offline_access, no refresh":    {func(s *client.Settings) { s.Scopes = []string{"offline_access"} }, "scopes", "refresh expected beside"},
		"a level nobody knows":          {func(s *client.Settings) { s.Allow.Level = "any" }, "allow.level", "one of hardware, two_factor"},
		"a profession in words":         {func(s *client.Settings) { s.Allow.Professions = []string{"doctor"} }, "allow.professions[0]", "nomenclature G15"},
		"a card nobody has":             {func(s *client.Settings) { s.Allow.CardTypes = []string{"CPX"} }, "allow.card_types[0]", "one of CPS"},
		"a structure without type":      {func(s *client.Settings) { s.Allow.Structures = []string{"B0057881"} }, "allow.structures[0]", "the digit of its type"},
		"an age that is no time":        {func(s *client.Settings) { s.MaxAge = "soon" }, "max_age", "a duration from 1s to 12h"},
		"an age of nothing":             {func(s *client.Settings) { s.MaxAge = "0s" }, "max_age", "a duration from 1s to 12h"},
		"sector of public subjects":     {func(s *client.Settings) { s.Sector = "agenda.example.fr" }, "sector", "subject: pairwise expected"},
		"subjects of another kind":      {func(s *client.Settings) { s.Subject = "email" }, "subject", "one of public, pairwise"},
		"a URL as sector":               {func(s *client.Settings) { s.Subject, s.Sector = "pairwise", "https://a.fr" }, "sector", "the host name"},
		"HS256":                         {func(s *client.Settings) { s.Signing = "HS256" }, "signing", "one of ES256, RS256"},
		"none":                          {func(s *client.Settings) { s.Signing = "none" }, "signing", "one of ES256, RS256"},
		"front channel elsewhere":       {func(s *client.Settings) { s.FrontchannelLogoutURI = "https://b.example.fr/" }, "frontchannel_logout_uri", "of one of redirect_uris"},
		"front channel by http":         {func(s *client.Settings) { s.FrontchannelLogoutURI = "http://agenda.example.fr/" }, "frontchannel_logout_uri", "https expected"},
		"networks of nothing":           {func(s *client.Settings) { s.BackchannelNetworks = []string{"10.0.0.0/8"} }, "backchannel_networks", "backchannel_logout_uri expected"},
		"a proof of its own":            {func(s *client.Settings) { s.Auth = "client_secret_jwt" }, "auth", "one of none, client_secret"},
		"public, and asks about tokens": {func(s *client.Settings) { s.Auth, s.Introspect = "none", true }, "introspect", "anybody could ask"},
		"keys of nothing":               {func(s *client.Settings) { s.JWKS = json.RawMessage(`{"keys":[]}`) }, "jwks", "auth: private_key_jwt expected"},
		"private_key_jwt without keys":  {func(s *client.Settings) { s.Auth = "private_key_jwt" }, "jwks", "missing"},
		"certificates of nothing":       {func(s *client.Settings) { s.Certificates = []string{hex} }, "certificates", "auth: self_signed_tls_client_auth expected"},
		"TLS without certificates":      {func(s *client.Settings) { s.Auth = "self_signed_tls_client_auth" }, "certificates", "missing"},
		"a fingerprint of SHA-1":        {func(s *client.Settings) { s.Auth, s.Certificates = "self_signed_tls_client_auth", []string{hex[:40]} }, "certificates[0]", "64 hexadecimal digits"},
		"a fingerprint in two spellings": {func(s *client.Settings) {
			s.Auth, s.Certificates = "self_signed_tls_client_auth", []string{hex, strings.ToUpper(hex)}
		}, "certificates[1]", "given twice"},
	} {
		t.Run(name, func(t *testing.T) {
			s := settings()
			tt.change(&s)
			if got := problems(t, s, tt.key); !strings.Contains(got, tt.want) {
				t.Errorf("refused with %q, want %q", got, tt.want)
			}
		})
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	_, err := client.Settings{ID: "a b", RedirectURIs: []string{"http://a.fr"}, Scopes: []string{"x"}, MaxAge: "y", Signing: "z"}.Client(client.Own{})
	var refused *client.Refused
	if !errors.As(err, &refused) || len(refused.Problems) != 6 {
		t.Errorf("error = %v, want 6 problems", err)
	}
}

// OpenID Connect Core 1.0, section 8.1: the sector of a pairwise subject is the host of the redirect URIs, when they have but one.
func TestSectorOfPairwiseSubjects(t *testing.T) {
	for name, tt := range map[string]struct {
		uris         []string
		sector, want string
	}{
		"one host":               {[]string{"https://a.fr/1", "https://a.fr:8443/2"}, "", "a.fr"},
		"one host, another said": {[]string{"https://a.fr/1"}, "b.fr", "b.fr"},
		"two hosts":              {[]string{"https://a.fr/1", "https://b.fr/2"}, "", ""},
		"two hosts, one said":    {[]string{"https://a.fr/1", "https://b.fr/2"}, "a.fr", "a.fr"},
		"no host":                {[]string{"fr.example.app:/cb"}, "", ""},
	} {
		s := settings()
		s.Native, s.Subject, s.RedirectURIs, s.Sector = true, "pairwise", tt.uris, tt.sector
		c, err := s.Client(client.Own{})
		if tt.want == "" {
			if got := problems(t, s, "sector"); !strings.Contains(got, "missing") {
				t.Errorf("%s: refused with %q, want that the sector is missing", name, got)
			}
			continue
		}
		if err != nil || c.Sector != tt.want || c.Subject != client.PairwiseSubject {
			t.Errorf("%s: %+v, %v, want the sector %q", name, c, err, tt.want)
		}
	}
}

func TestFingerprintsAsOpenSSLPrintsThem(t *testing.T) {
	s := settings()
	s.Auth, s.Certificates = "self_signed_tls_client_auth", []string{strings.TrimSuffix(strings.Repeat("AB:", 32), ":")}
	c, err := s.Client(client.Own{})
	if err != nil || !c.Certificates[strings.Repeat("ab", 32)] || len(c.Certificates) != 1 {
		t.Errorf("Client = %+v, %v", c, err)
	}
}

// jwks writes keys with another implementation.
func jwks(t *testing.T, keys ...jose.JSONWebKey) json.RawMessage {
	t.Helper()
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// F5, F6, F10: a key is of one algorithm, and is here: no shared secret (HS/RS confusion), no private key, nothing to fetch.
func TestF5KeysOfClients(t *testing.T) {
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s := settings()
	s.Auth = "private_key_jwt"
	s.JWKS = jwks(t, jose.JSONWebKey{Key: p256.Public(), KeyID: "e"}, jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r"}, jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "p", Algorithm: "PS256", Use: "sig"})
	c, err := s.Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Keys) != 3 || c.Keys["e"].Alg != "ES256" || c.Keys["r"].Alg != "RS256" || c.Keys["p"].Alg != "PS256" ||
		!p256.PublicKey.Equal(c.Keys["e"].Public) || !rsaKey.PublicKey.Equal(c.Keys["r"].Public) || !rsaKey.PublicKey.Equal(c.Keys["p"].Public) {
		t.Errorf("keys = %+v", c.Keys)
	}

	good := string(jwks(t, jose.JSONWebKey{Key: p256.Public(), KeyID: "e"}))
	var parts struct {
		Keys []struct{ X, Y string } `json:"keys"`
	}
	if err := json.Unmarshal([]byte(good), &parts); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct{ set, want string }{
		"a private key":         {string(jwks(t, jose.JSONWebKey{Key: p256, KeyID: "e"})), "a public key expected"},
		"a private RSA key":     {string(jwks(t, jose.JSONWebKey{Key: rsaKey, KeyID: "r"})), "a public key expected"},
		"a shared secret":       {string(jwks(t, jose.JSONWebKey{Key: []byte("hushhushhushhushhushhushhushhush"), KeyID: "o"})), "a public key expected"},
		"another curve":         {string(jwks(t, jose.JSONWebKey{Key: p384.Public(), KeyID: "e"})), "the curve P-256"},
		"no kid":                {string(jwks(t, jose.JSONWebKey{Key: p256.Public()})), "a kid of 1 to 200"},
		"one kid twice":         {string(jwks(t, jose.JSONWebKey{Key: p256.Public(), KeyID: "e"}, jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "e"})), "a kid of its own"},
		"for encryption":        {string(jwks(t, jose.JSONWebKey{Key: p256.Public(), KeyID: "e", Use: "enc"})), "a key for signatures"},
		"HS256":                 {string(jwks(t, jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r", Algorithm: "HS256"})), "RS256 or PS256"},
		"none":                  {string(jwks(t, jose.JSONWebKey{Key: p256.Public(), KeyID: "r", Algorithm: "none"})), "for ES256"},
		"a point beside":        {strings.Replace(good, parts.Keys[0].Y, parts.Keys[0].X, 1), "a point of the curve"},
		"a short RSA key":       {`{"keys":[{"kty":"RSA","kid":"r","n":"` + strings.Repeat("_", 170) + `w","e":"AQAB"}]}`, "of 2048 to 8192 bits"},
		"the exponent one":      {strings.Replace(string(jwks(t, jose.JSONWebKey{Key: rsaKey.Public(), KeyID: "r"})), "AQAB", "AQ", 1), "an odd exponent"},
		"a URL":                 {strings.Replace(good, `"kty"`, `"x5u":"https://evil.test/","kty"`, 1), "nothing is fetched"},
		"no keys":               {`{"keys":[]}`, "1 to 10 keys"},
		"one key, not a set":    {`{"kty":"EC"}`, "1 to 10 keys"},
		"not JSON":              {`-----BEGIN`, "a JWK set"},
		"more than 64 KB":       {`{"keys":[],"x":"` + strings.Repeat("x", 64<<10) + `"}`, "at most 65536 bytes"},
		"what is not a key set": {`[1]`, "a JWK set"},
	} {
		s.JWKS = json.RawMessage(tt.set)
		if got := problems(t, s, "jwks"); !strings.Contains(got, tt.want) || strings.Contains(got, "hush") {
			t.Errorf("%s: refused with %q, want %q", name, got, tt.want)
		}
	}
}
