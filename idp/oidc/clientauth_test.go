package oidc_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/token"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523, section 2.2

func basicAuth(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// asking is a form that any client may send, with what proves who it is.
func asking(fields ...string) url.Values {
	f := url.Values{"token": {token.New()}}
	for i := 0; i < len(fields); i += 2 {
		f.Set(fields[i], fields[i+1])
	}
	return f
}

func TestAClientProvesItselfByItsSecret(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	b.add(&client.Client{ID: "app", Title: "app", Auth: client.Public, Native: true, RedirectURIs: []string{callback}, Scopes: []string{"openid"}, Signing: "ES256"})
	secret := secretOf("agenda")
	encoded := ""
	for _, c := range []byte(secret) {
		encoded += fmt.Sprintf("%%%02X", c)
	}
	for name, tt := range map[string]struct {
		form    url.Values
		headers []string
	}{
		"in a header":                         {asking(), []string{"Authorization", basicAuth("agenda", secret)}},
		"in a header, encoded (RFC 6749)":     {asking(), []string{"Authorization", basicAuth("agend%61", encoded)}},
		"in a header, with the same id":       {asking("client_id", "agenda"), []string{"Authorization", basicAuth("agenda", secret)}},
		"in the form":                         {asking("client_id", "agenda", "client_secret", secret), nil},
		"in the form, with an empty one":      {asking("client_id", "agenda", "client_secret", secret, "client_assertion", ""), nil},
		"in a header, spelt in other letters": {asking(), []string{"Authorization", "bAsIc " + basicAuth("agenda", secret)[6:]}},
	} {
		if r := b.post(t, "/oauth/introspect", tt.form, tt.headers...); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	other, _ := token.Of(token.Secret, token.New())
	rotated := confidential("agenda")
	rotated.SecretHashes = append([][32]byte{other}, rotated.SecretHashes...)
	b.add(rotated)
	if r := b.as(t, "agenda", "/oauth/introspect", "token", "x"); r.status != http.StatusOK {
		t.Errorf("the secret before the rotation: %d %s", r.status, r.text)
	}
	for name, tt := range map[string]struct {
		form    url.Values
		headers []string
		status  int
		code    string
	}{
		"nothing":                   {asking(), nil, 401, "invalid_client"},
		"the id alone":              {asking("client_id", "agenda"), nil, 401, "invalid_client"},
		"an unknown client":         {asking("client_id", "nobody", "client_secret", secret), nil, 401, "invalid_client"},
		"an id that is none":        {asking("client_id", "agenda' OR 1=1", "client_secret", secret), nil, 401, "invalid_client"},
		"another's secret":          {asking("client_id", "agenda", "client_secret", secretOf("dossier")), nil, 401, "invalid_client"},
		"a truncated secret (E8)":   {asking("client_id", "agenda", "client_secret", secret[:42]), nil, 401, "invalid_client"},
		"a longer secret":           {asking("client_id", "agenda", "client_secret", secret+"A"), nil, 401, "invalid_client"},
		"the hash as the secret":    {asking("client_id", "agenda", "client_secret", base64.RawURLEncoding.EncodeToString(rotated.SecretHashes[1][:])), nil, 401, "invalid_client"},
		"a token as the secret":     {asking("client_id", "agenda", "client_secret", token.New()), nil, 401, "invalid_client"},
		"an empty secret":           {asking("client_id", "agenda"), []string{"Authorization", basicAuth("agenda", "")}, 401, "invalid_client"},
		"a secret of a public one":  {asking("client_id", "app", "client_secret", secret), nil, 401, "invalid_client"},
		"a public one, where not":   {asking("client_id", "app"), nil, 401, "invalid_client"},
		"a bearer":                  {asking("client_id", "app"), []string{"Authorization", "Bearer " + secret}, 401, "invalid_client"},
		"a bad percent":             {asking(), []string{"Authorization", basicAuth("agenda%", secret)}, 401, "invalid_client"},
		"no colon":                  {asking(), []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("agenda"))}, 401, "invalid_client"},
		"two headers":               {asking(), []string{"Authorization", basicAuth("agenda", secret), "Authorization", basicAuth("dossier", secretOf("dossier"))}, 401, "invalid_client"},
		"two ways":                  {asking("client_id", "agenda", "client_secret", secret), []string{"Authorization", basicAuth("agenda", secret)}, 400, "invalid_request"},
		"two clients":               {asking("client_id", "dossier"), []string{"Authorization", basicAuth("agenda", secret)}, 400, "invalid_request"},
		"an assertion of no type":   {asking("client_assertion", "a.b.c"), nil, 400, "invalid_request"},
		"a SAML assertion":          {asking("client_assertion", "a.b.c", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"), nil, 400, "invalid_request"},
		"a secret and an assertion": {asking("client_id", "agenda", "client_secret", secret, "client_assertion", "a.b.c", "client_assertion_type", assertionType), nil, 400, "invalid_request"},
		"the secret twice":          {url.Values{"token": {"x"}, "client_id": {"agenda"}, "client_secret": {secret, secret}}, nil, 400, "invalid_request"},
	} {
		b.post(t, "/oauth/introspect", tt.form, tt.headers...).wantDenied(t, name, tt.status, tt.code)
	}
}

func TestARequestIsAFormInTheBodyOfAPOST(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	secret := basicAuth("agenda", secretOf("agenda"))
	for _, path := range []string{"/oauth/token", "/oauth/introspect", "/oauth/revoke"} {
		for _, tt := range []struct {
			name, method, query, kind, body string
			status                          int
		}{
			{"a GET", "GET", "?token=x", "", "", 405},
			{"a PUT", "PUT", "", "application/x-www-form-urlencoded", "token=x", 405},
			{"parameters in the address", "POST", "?token=x", "application/x-www-form-urlencoded", "", 400},
			{"parameters in both", "POST", "?token=x", "application/x-www-form-urlencoded", "token=x&grant_type=refresh_token", 400},
			{"JSON", "POST", "", "application/json", `{"token":"x"}`, 400},
			{"no kind", "POST", "", "", "token=x", 400},
			{"text", "POST", "", "text/plain", "token=x", 400},
			{"a form of parts", "POST", "", "multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=\"token\"\r\n\r\nx\r\n--x--\r\n", 400},
			{"a bad escape", "POST", "", "application/x-www-form-urlencoded", "token=%zz", 400},
			{"a semicolon", "POST", "", "application/x-www-form-urlencoded", "token=x;a=b", 400},
			{"one that is large (G10)", "POST", "", "application/x-www-form-urlencoded", "token=x&a=" + strings.Repeat("a", 1<<17), 400},
			{"one of many parameters (G10)", "POST", "", "application/x-www-form-urlencoded", "token=x" + strings.Repeat("&a=b", 1000), 400},
		} {
			r := httptest.NewRequest(tt.method, b.http.URL+path+tt.query, strings.NewReader(tt.body))
			r.RequestURI = ""
			r.Header.Set("Authorization", secret)
			if tt.kind != "" {
				r.Header.Set("Content-Type", tt.kind)
			}
			if got := b.send(t, r); got.status != tt.status || got.word("error") != "invalid_request" {
				t.Errorf("%s, %s: %d %s, want %d", path, tt.name, got.status, got.text, tt.status)
			}
		}
	}
}

// G10: who fails again and again is told to wait, and fills no audit. Others go on.
func TestG10RefusalsAreBounded(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	b.hold()
	late := 0
	for range 150 {
		r := b.post(t, "/oauth/introspect", asking("client_id", "agenda", "client_secret", token.New()))
		if r.status == http.StatusTooManyRequests && r.header.Get("Retry-After") != "" {
			late++
		}
	}
	if late < 30 {
		t.Errorf("%d of 150 failures were told to wait, want those beyond a hundred or so", late)
	}
	if n := len(b.reasons(t, audit.ClientRefused)); n < 90 || n > 130 {
		t.Errorf("%d failures are in the audit, want a hundred or so", n)
	}
	if r := b.as(t, "agenda", "/oauth/introspect", "token", "x"); r.status != http.StatusOK {
		t.Errorf("a client that proves itself: %d %s", r.status, r.text)
	}
}

// keys are those of the clients of the tests that sign.
type keys struct {
	ec    *ecdsa.PrivateKey
	rsa   *rsa.PrivateKey
	other *ecdsa.PrivateKey
}

func newKeys(t testing.TB) keys {
	t.Helper()
	var k keys
	var err error
	if k.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if k.other, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if k.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	return k
}

// signing is a client that proves itself with keys.
func (k keys) client(id string) *client.Client {
	c := confidential(id)
	c.Auth, c.SecretHashes = client.PrivateKeyJWT, nil
	c.Keys = map[string]client.Key{
		"ec": {Alg: "ES256", Public: k.ec.Public()}, "rs": {Alg: "RS256", Public: k.rsa.Public()}, "ps": {Alg: "PS256", Public: k.rsa.Public()},
	}
	return c
}

// raw makes a JWT of any header and claims, signed by sign. It is not the library that reads it (go-jose), on purpose.
func raw(t testing.TB, header, claims map[string]any, sign func(input []byte) []byte) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	input := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

// es256 signs as RFC 7518, section 3.4, has it.
func es256(t testing.TB, k *ecdsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

// rs256 signs as RFC 7518, section 3.3, has it.
func rs256(t testing.TB, k *rsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		sig, err := rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
}

// ps256 signs as RFC 7518, section 3.5, has it.
func ps256(t testing.TB, k *rsa.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte {
		sum := sha256.Sum256(input)
		sig, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
}

// claims are good ones, for a client's request at introspection.
func (b *backend) claims(id string, changes ...any) map[string]any {
	now := b.now()
	c := map[string]any{"iss": id, "sub": id, "aud": b.issuer, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "jti": token.New()}
	for i := 0; i < len(changes); i += 2 {
		if name := changes[i].(string); changes[i+1] == nil {
			delete(c, name)
		} else {
			c[name] = changes[i+1]
		}
	}
	return c
}

func (b *backend) assert(tb testing.TB, assertion string, more ...string) reply {
	tb.Helper()
	return b.post(tb, "/oauth/introspect", asking(append([]string{"client_assertion_type", assertionType, "client_assertion", assertion}, more...)...))
}

func TestAClientProvesItselfByItsKey(t *testing.T) {
	b, k := newBackend(t, sqliteFile(t), nil), newKeys(t)
	b.add(k.client("labo"))
	alone := k.client("alone")
	alone.Keys = map[string]client.Key{"only": {Alg: "ES256", Public: k.ec.Public()}}
	b.add(alone)
	ec, now := map[string]any{"alg": "ES256", "kid": "ec", "typ": "JWT"}, b.now()
	for name, text := range map[string]string{
		"ES256":                        raw(t, ec, b.claims("labo"), es256(t, k.ec)),
		"RS256":                        raw(t, map[string]any{"alg": "RS256", "kid": "rs"}, b.claims("labo"), rs256(t, k.rsa)),
		"PS256":                        raw(t, map[string]any{"alg": "PS256", "kid": "ps"}, b.claims("labo"), ps256(t, k.rsa)),
		"for the endpoint":             raw(t, ec, b.claims("labo", "aud", []string{b.issuer + "/oauth/introspect"}), es256(t, k.ec)),
		"for both":                     raw(t, ec, b.claims("labo", "aud", []string{b.issuer, b.issuer + "/oauth/introspect"}), es256(t, k.ec)),
		"without iat (RFC 7523)":       raw(t, ec, b.claims("labo", "iat", nil), es256(t, k.ec)),
		"for five minutes":             raw(t, ec, b.claims("labo", "exp", now.Add(5*time.Minute).Unix()), es256(t, k.ec)),
		"with a clock that is ahead":   raw(t, ec, b.claims("labo", "iat", now.Add(20*time.Second).Unix(), "nbf", now.Add(20*time.Second).Unix()), es256(t, k.ec)),
		"of the one key, not named":    raw(t, map[string]any{"alg": "ES256"}, b.claims("alone"), es256(t, k.ec)),
		"with a key of its own beside": raw(t, map[string]any{"alg": "ES256", "kid": "ec", "jwk": jose.JSONWebKey{Key: k.other.Public()}}, b.claims("labo"), es256(t, k.ec)),
	} {
		if r := b.assert(t, text); r.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, r.status, r.text)
		}
	}
	if r := b.assert(t, raw(t, ec, b.claims("labo"), es256(t, k.ec)), "client_id", "labo"); r.status != http.StatusOK {
		t.Errorf("with client_id: %d %s", r.status, r.text)
	}
	b.assert(t, raw(t, ec, b.claims("labo"), es256(t, k.ec)), "client_id", "agenda").wantDenied(t, "with another client_id", 400, "invalid_request")
}

// F5, F6: an assertion counts by the algorithm of the client's own key alone, for us, now, and whole; what is no signature is never decrypted.
func TestF5F6AssertionsThatProveNothing(t *testing.T) {
	b, k := newBackend(t, sqliteFile(t), nil), newKeys(t)
	b.add(k.client("labo"))
	b.add(k.client("other"))
	one := k.client("one")
	one.Keys = map[string]client.Key{"../../etc/passwd": {Alg: "ES256", Public: k.ec.Public()}}
	b.add(one)
	b.hold() // or what is not yet good is, before it is asked
	now := b.now()
	ec := map[string]any{"alg": "ES256", "kid": "ec"}
	good := raw(t, ec, b.claims("labo"), es256(t, k.ec))
	rsaDER, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	rsaPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: rsaDER})
	header := func(h map[string]any) string { return raw(t, h, b.claims("labo"), es256(t, k.ec)) }
	claimed := func(changes ...any) string { return raw(t, ec, b.claims("labo", changes...), es256(t, k.ec)) }
	for name, text := range map[string]string{
		"none":           raw(t, map[string]any{"alg": "none"}, b.claims("labo"), func([]byte) []byte { return nil }),
		"none, of a key": raw(t, map[string]any{"alg": "none", "kid": "ec"}, b.claims("labo"), func([]byte) []byte { return nil }),
		"None":           raw(t, map[string]any{"alg": "None", "kid": "ec"}, b.claims("labo"), func([]byte) []byte { return nil }),
		"no algorithm":   header(map[string]any{"kid": "ec"}),
		"no signature":   good[:strings.LastIndex(good, ".")+1],
		"HS256 with the public key as the secret":  raw(t, map[string]any{"alg": "HS256", "kid": "rs"}, b.claims("labo"), hs256(rsaPEM)),
		"HS256 with its DER as the secret":         raw(t, map[string]any{"alg": "HS256", "kid": "rs"}, b.claims("labo"), hs256(rsaDER)),
		"HS256 with the id as the secret":          raw(t, map[string]any{"alg": "HS256", "kid": "ec"}, b.claims("labo"), hs256([]byte("labo"))),
		"RS256 by the key of PS256":                raw(t, map[string]any{"alg": "RS256", "kid": "ps"}, b.claims("labo"), rs256(t, k.rsa)),
		"PS256 by the key of RS256":                raw(t, map[string]any{"alg": "PS256", "kid": "rs"}, b.claims("labo"), ps256(t, k.rsa)),
		"ES256 by the key of RS256":                header(map[string]any{"alg": "ES256", "kid": "rs"}),
		"ES384":                                    header(map[string]any{"alg": "ES384", "kid": "ec"}),
		"another's key":                            raw(t, ec, b.claims("labo"), es256(t, k.other)),
		"a key in the header":                      raw(t, map[string]any{"alg": "ES256", "kid": "ec", "jwk": jose.JSONWebKey{Key: k.other.Public()}}, b.claims("labo"), es256(t, k.other)),
		"a key in the header alone":                raw(t, map[string]any{"alg": "ES256", "jwk": jose.JSONWebKey{Key: k.other.Public()}}, b.claims("labo"), es256(t, k.other)),
		"an address of keys (F10)":                 raw(t, map[string]any{"alg": "ES256", "jku": "http://169.254.169.254/keys"}, b.claims("labo"), es256(t, k.other)),
		"an unknown key":                           header(map[string]any{"alg": "ES256", "kid": "zz"}),
		"no key of several":                        header(map[string]any{"alg": "ES256"}),
		"a key that is a path":                     header(map[string]any{"alg": "ES256", "kid": "../../etc/passwd"}),
		"a key that is a statement":                header(map[string]any{"alg": "ES256", "kid": "ec' OR '1'='1"}),
		"a key that is a list":                     header(map[string]any{"alg": "ES256", "kid": []string{"ec"}}),
		"a header that must be understood":         header(map[string]any{"alg": "ES256", "kid": "ec", "crit": []string{"exp"}, "exp": 1}),
		"a payload that is not encoded (RFC 7797)": header(map[string]any{"alg": "ES256", "kid": "ec", "crit": []string{"b64"}, "b64": false}),
		"another's claims":                         claimed("iss", "other", "sub", "other"),
		"of another for us":                        claimed("iss", "other"),
		"about another":                            claimed("sub", "other"),
		"no subject":                               claimed("sub", nil),
		"for another":                              claimed("aud", "https://other.example"),
		"for us and another (G11)":                 claimed("aud", []string{b.issuer, "https://other.example"}),
		"for another endpoint":                     claimed("aud", b.issuer+"/oauth/token"),
		"for our name with a slash":                claimed("aud", b.issuer+"/"),
		"for nobody":                               claimed("aud", nil),
		"for an empty list":                        claimed("aud", []string{}),
		"late":                                     claimed("exp", now.Add(-31*time.Second).Unix()),
		"for ever":                                 claimed("exp", nil),
		"for an hour":                              claimed("exp", now.Add(time.Hour).Unix()),
		"from the future":                          claimed("iat", now.Add(time.Minute).Unix()),
		"not yet":                                  claimed("nbf", now.Add(time.Minute).Unix()),
		"old":                                      claimed("iat", now.Add(-10*time.Minute).Unix()),
		"without an id":                            claimed("jti", nil),
		"with an empty id":                         claimed("jti", ""),
		"with a long id":                           claimed("jti", strings.Repeat("a", 257)),
		"a changed claim":                          changed(good),
		"truncated (E8)":                           good[:len(good)-2],
		"with something behind":                    good + ".x",
		"an ID token's worth of nothing":           "..",
		"JSON":                                     `{"payload":"","signatures":[]}`,
		"a JWE bomb (GO-2024-2631)":                bomb(t, k.rsa),
		"a JWE of a password (GO-2025-3485)":       pbes2(t),
		"many dots (CVE-2025-30204)":               strings.Repeat(".", 7000),
	} {
		r := b.assert(t, text, "client_id", "labo")
		if r.status == http.StatusTooManyRequests {
			t.Fatal("the test makes more refusals than are answered")
		}
		// Who it is from, when it says somebody else, is an error of another kind.
		if r.word("error") != "invalid_client" && r.word("error") != "invalid_request" || r.status != 401 && r.status != 400 {
			t.Errorf("%s: %d %s, want it refused", name, r.status, r.text)
		}
	}
	if r := b.assert(t, good); r.status != http.StatusOK {
		t.Errorf("the good one, which is not used up by what was made of it: %d %s", r.status, r.text)
	}
	if r := b.assert(t, strings.Repeat("a", 9000)+"."+strings.Repeat("b", 60000)+".c"); r.status != 400 {
		t.Errorf("a huge one: %d", r.status)
	}
}

func hs256(secret []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(input)
		return m.Sum(nil)
	}
}

// changed is an assertion with another claim and the same signature.
func changed(text string) string {
	parts := strings.Split(text, ".")
	body, _ := base64.RawURLEncoding.DecodeString(parts[1])
	body = bytes.Replace(body, []byte(`"sub":"labo"`), []byte(`"sub":"labx"`), 1)
	parts[1] = base64.RawURLEncoding.EncodeToString(body)
	return strings.Join(parts, ".")
}

// bomb is a small JWE of a large text of zeros.
func bomb(t *testing.T, k *rsa.PrivateKey) string {
	t.Helper()
	e, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: k.Public(), KeyID: "rs"}, &jose.EncrypterOptions{Compression: jose.DEFLATE})
	if err != nil {
		t.Fatal(err)
	}
	v, err := e.Encrypt(make([]byte, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	text, err := v.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// pbes2 is a JWE that asks for a million rounds.
func pbes2(t *testing.T) string {
	t.Helper()
	h, _ := json.Marshal(map[string]any{"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 1_000_000, "p2s": "c2FsdHNhbHQ"})
	part := base64.RawURLEncoding.EncodeToString([]byte("0123456789abcdef"))
	return strings.Join([]string{base64.RawURLEncoding.EncodeToString(h), part, part[:16], part, part}, ".")
}

// F14: an assertion proves something once, at whatever gateway, and for its own client.
func TestF14AnAssertionIsUsedOnce(t *testing.T) {
	eachEngine(t, func(t *testing.T, database string) {
		a, k := newBackend(t, database, nil), newKeys(t)
		c := newBackend(t, database, a)
		a.add(k.client("labo"))
		a.add(k.client("other"))
		header := map[string]any{"alg": "ES256", "kid": "ec"}
		const n = 10
		text := raw(t, header, a.claims("labo", "jti", "j-1"), es256(t, k.ec))
		replies := make(chan reply, n)
		begin := make(chan struct{})
		for i := range n {
			go func() {
				<-begin
				replies <- []*backend{a, c}[i%2].assert(t, text)
			}()
		}
		close(begin)
		good := 0
		for range n {
			if r := <-replies; r.status == http.StatusOK {
				good++
			} else {
				r.wantDenied(t, "the same once more", http.StatusUnauthorized, "invalid_client")
			}
		}
		if good != 1 {
			t.Errorf("one assertion counted %d times", good)
		}
		a.assert(t, raw(t, header, a.claims("labo", "jti", "j-1"), es256(t, k.ec))).wantDenied(t, "another with the same id", http.StatusUnauthorized, "invalid_client")
		if r := a.assert(t, raw(t, header, a.claims("other", "jti", "j-1"), es256(t, k.ec))); r.status != http.StatusOK {
			t.Errorf("another client's with the same id: %d %s", r.status, r.text)
		}
		if got := a.reasons(t, audit.ClientRefused); !slices.Contains(got, "replayed") {
			t.Errorf("audited refusals = %q, want the replay among them", got)
		}
	})
}

// selfSigned is a TLS client certificate, and its fingerprint.
func selfSigned(t *testing.T, from, to time.Time) (tls.Certificate, string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "pacs"}, NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: k}, hex.EncodeToString(sum[:])
}

// RFC 8705, section 2.2: a client proves itself by the one certificate that is known of it, on the host that asks for one.
func TestAClientProvesItselfByItsCertificate(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	now := time.Now()
	own, fingerprint := selfSigned(t, now.Add(-time.Hour), now.Add(time.Hour))
	old, oldFingerprint := selfSigned(t, now.Add(-time.Hour), now.Add(-time.Minute))
	strange, _ := selfSigned(t, now.Add(-time.Hour), now.Add(time.Hour))
	pacs := confidential("pacs")
	pacs.Auth, pacs.SecretHashes, pacs.Certificates = client.TLSClientAuth, nil, map[string]bool{fingerprint: true, oldFingerprint: true}
	b.add(pacs)
	b.add(&client.Client{ID: "app", Title: "app", Auth: client.Public, RedirectURIs: []string{callback}, Scopes: []string{"openid"}, Signing: "ES256"})

	host := httptest.NewUnstartedServer(b.provider.ClientCertHost())
	host.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	host.StartTLS()
	defer host.Close()
	with := func(certs ...tls.Certificate) *backend {
		transport := host.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = certs
		t.Cleanup(transport.CloseIdleConnections)
		return &backend{roster: b.roster, store: b.store, issuer: b.issuer, http: host, client: &http.Client{Transport: transport}}
	}
	code := b.code(t, "pacs", b.session(t, "s1"), "openid")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}, "client_id": {"pacs"}}
	b.post(t, "/oauth/token", form).wantDenied(t, "on the auth host", 401, "invalid_client")
	with().post(t, "/oauth/token", form).wantDenied(t, "without a certificate", 401, "invalid_client")
	with(strange).post(t, "/oauth/token", form).wantDenied(t, "with another certificate", 401, "invalid_client")
	with(old).post(t, "/oauth/token", form).wantDenied(t, "with one that has expired", 401, "invalid_client")
	both := url.Values{"token": {"x"}, "client_id": {"agenda"}, "client_secret": {secretOf("agenda")}}
	with(own).post(t, "/oauth/introspect", both).wantDenied(t, "with a secret too", 400, "invalid_request")
	with(own).post(t, "/oauth/introspect", url.Values{"token": {"x"}, "client_id": {"agenda"}}).wantDenied(t, "for a client with a secret", 401, "invalid_client")
	with(own).post(t, "/oauth/revoke", url.Values{"token": {"x"}, "client_id": {"app"}}).wantDenied(t, "for a public client", 401, "invalid_client")
	with().post(t, "/oauth/introspect", both).wantDenied(t, "with a secret and no certificate", 401, "invalid_client")
	with(own).post(t, "/oauth/token", form).wantTokens(t, "with its certificate")
	for _, path := range []string{"/", "/oauth/authorize", "/oauth/userinfo", "/login", "/.well-known/openid-configuration"} {
		r, _ := http.NewRequest(http.MethodGet, host.URL+path, nil)
		if got := with(own).send(t, r); got.status != http.StatusNotFound {
			t.Errorf("%s on the host of certificates = %d, want 404", path, got.status)
		}
	}
}
