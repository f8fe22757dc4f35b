package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/internal/testpki"
)

// examples are the services of docs/examples/assertion, each run as it stands there, on a port and with variables beside the environment.
var examples = []struct {
	name  string
	start func(w *forwardWorld, t *testing.T, port int, env ...string)
}{
	{"go", func(w *forwardWorld, t *testing.T, port int, env ...string) {
		startProcess(t, append(env, fmt.Sprintf("LISTEN=127.0.0.1:%d", port), "SSL_CERT_FILE="+w.path("root.crt")), w.buildExample(t, "assertion"))
	}},
	{"php", func(w *forwardWorld, t *testing.T, port int, env ...string) {
		startProcess(t, env, mustFind(t, "php-cli", "php"), "-d", "openssl.cafile="+w.path("root.crt"),
			"-S", fmt.Sprintf("127.0.0.1:%d", port), "../docs/examples/assertion/assertion.php")
	}},
	{"javascript", func(w *forwardWorld, t *testing.T, port int, env ...string) {
		startProcess(t, append(env, fmt.Sprintf("PORT=%d", port), "NODE_EXTRA_CA_CERTS="+w.path("root.crt")),
			mustFind(t, "nodejs", "node"), "../docs/examples/assertion/assertion.mjs")
	}},
}

// buildExample builds an example in Go, and returns the program.
func (w *forwardWorld) buildExample(t *testing.T, name string) string {
	t.Helper()
	program := w.path("example-" + name)
	if out, err := exec.Command("go", "build", "-o", program, "promess/authgw/docs/examples/"+name).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// newExampleWorld starts a gateway whose auth host is localhost, the one name that every program finds. more is the rest of its
// configuration.
func newExampleWorld(t *testing.T, more string) *forwardWorld {
	t.Helper()
	w := prepareExampleWorld(t)
	w.startExampleGateway(t, more)
	return w
}

// prepareExampleWorld writes what a gateway needs beside its configuration.
func prepareExampleWorld(t *testing.T) *forwardWorld {
	t.Helper()
	w := &forwardWorld{world: &world{t: t, dir: t.TempDir(), crl: map[string]string{}, authHost: "localhost"}, service: newRecorder(t)}
	var err error
	if w.pki, err = testpki.New(testpki.Config{CardsOnly: true}); err != nil {
		t.Fatal(err)
	}
	w.writeCertificates(t)
	ports := freePorts(t, 2)
	w.port, w.adminPort = ports[0], ports[1]
	return w
}

func (w *forwardWorld) startExampleGateway(t *testing.T, more string) {
	t.Helper()
	var crls strings.Builder
	for _, file := range w.crl {
		fmt.Fprintf(&crls, "    - %s\n", file)
	}
	w.write(t, "authgw.yaml", fmt.Appendf(nil, `
name: e2e
listen: 127.0.0.1:%d
admin: 127.0.0.1:%d
hosts: {auth: localhost, card: card.%s}
tls: [{cert: server.crt, key: server.key}]
card:
  trust: trust
  crls:
%s
database: authgw.db
log: {level: debug}
%s`, w.port, w.adminPort, domain, crls.String(), more))
	w.gateway = startProcess(t, []string{"SSL_CERT_FILE=" + w.path("root.crt")}, binaries.authgw, "serve", "--config", w.path("authgw.yaml"))
	w.gateway.await(t, "authgw serves")
}

func TestExamplesFitOnAPage(t *testing.T) {
	files, err := filepath.Glob("../docs/examples/*/*")
	if err != nil || len(files) < len(examples) {
		t.Fatalf("%d examples, %v", len(files), err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n >= 60 {
			t.Errorf("%s has %d lines, want fewer than 60", name, n)
		}
	}
}

func TestExamples(t *testing.T) {
	ports := freePorts(t, len(examples))
	other := newRecorder(t)
	services := fmt.Sprintf("services:\n  - {name: other, host: other.%s, backend: %q, title: Autre}\n", domain, other.URL)
	for i, e := range examples {
		services += fmt.Sprintf("  - {name: %s, host: %[1]s.%s, backend: \"http://127.0.0.1:%d\", title: Agenda}\n", e.name, domain, ports[i])
	}
	w := newExampleWorld(t, services)
	for i, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			e.start(w, t, ports[i], "AUTHGW_ISSUER="+w.auth(""), "AUTHGW_SERVICE="+e.name)
			direct := fmt.Sprintf("http://127.0.0.1:%d/", ports[i])
			if status, body := askDirectly(t, direct, ""); status != http.StatusUnauthorized {
				t.Errorf("without an assertion: %d, want 401\n%.300s", status, body)
			}
			v := w.visitor(t)
			page := w.origin(e.name) + "/"
			status, body, at := v.logIn(page)
			if status != http.StatusOK || at != page || !strings.HasPrefix(body, "Bonjour HÉLÈNE D'ARTAGNAN-LE GOFF !") {
				t.Fatalf("after the login: %d at %s, want a greeting at %s:\n%.500s", status, at, page, body)
			}
			// What another service is told about the same person is the gateway's, and not for this one.
			other.take()
			if answer, _, _ := v.open(w.origin("other") + "/"); answer.StatusCode != http.StatusOK {
				t.Fatalf("the other service: %s", answer.Status)
			}
			seen, _ := other.take()
			if status, body := askDirectly(t, direct, seen[0].Header.Get("X-Authgw-Assertion")); status != http.StatusUnauthorized {
				t.Errorf("with the assertion for another service: %d, want 401\n%.300s", status, body)
			}
			// The plain headers are for those whom only the gateway can reach.
			if status, body := askDirectly(t, direct, "", "X-Authgw-User", "somebody", "X-Authgw-Name", "Somebody"); status != http.StatusUnauthorized {
				t.Errorf("with plain headers: %d, want 401\n%.300s", status, body)
			}
			if answer, body := v.ask(http.MethodGet, page, nil, pageHeaders...); answer.StatusCode != http.StatusOK || !strings.Contains(body, "Bonjour") {
				t.Errorf("afterwards: %s\n%.500s", answer.Status, body)
			}
		})
	}
}

// TestExamplesRefuse has the examples believe an issuer of the test, which can sign what the gateway would not.
func TestExamplesRefuse(t *testing.T) {
	w := &forwardWorld{world: &world{t: t, dir: t.TempDir(), crl: map[string]string{}}}
	var err error
	if w.pki, err = testpki.New(testpki.Config{CardsOnly: true}); err != nil {
		t.Fatal(err)
	}
	w.writeCertificates(t)
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			issuer := w.newIssuer(t)
			port := freePorts(t, 1)[0]
			e.start(w, t, port, "AUTHGW_ISSUER="+issuer.URL, "AUTHGW_SERVICE=agenda")
			address := fmt.Sprintf("http://127.0.0.1:%d/", port)
			began := time.Now()
			// Forgeries come first, so that they meet a service that has no keys yet, and again when it has them.
			for _, when := range []string{"before", "after"} {
				for name, assertion := range issuer.forgeries(t) {
					if status, body := askDirectly(t, address, assertion); status != http.StatusUnauthorized || strings.Contains(body, "Bonjour") {
						t.Errorf("%s the first good one, %s: %d, want 401\n%.300s", when, name, status, body)
					}
				}
				if status, body := askDirectly(t, address, issuer.sign(t, issuer.claims())); status != http.StatusOK || !strings.HasPrefix(body, "Bonjour Ömer Ak !") {
					t.Fatalf("a good assertion: %d, want a greeting\n%.300s", status, body)
				}
			}
			for i := range 30 {
				forged := signES256(t, jose.JSONWebKey{Key: issuer.key, KeyID: fmt.Sprint("made-up-", i)}, nil, issuer.claims())
				if status, body := askDirectly(t, address, forged); status != http.StatusUnauthorized {
					t.Errorf("a key that is not published: %d, want 401\n%.300s", status, body)
				}
			}
			// Once for the first of them, and once in each ten seconds that a slow machine needs.
			if n, most := issuer.asked.Load(), int32(2+time.Since(began)/(10*time.Second)); n < 1 || n > most {
				t.Errorf("the keys were asked for %d times, want one to %d", n, most)
			}
		})
	}
}

// issuer has a key, and publishes it as the gateway does.
type issuer struct {
	URL   string
	key   *ecdsa.PrivateKey
	asked atomic.Int32
}

const issuerKeyID = "the-key"

func (w *forwardWorld) newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{key: newP256(t)}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: i.key.Public(), KeyID: issuerKeyID, Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /oauth/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(set)
	})
	certificate, err := w.pki.ServerCertificate("localhost")
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(mux)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	i.URL = strings.Replace(s.URL, "127.0.0.1", "localhost", 1)
	return i
}

func newP256(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// claims are those of a good assertion.
func (i *issuer) claims() map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": i.URL, "aud": "agenda", "sub": "somebody", "name": "Ömer Ak", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix(),
	}
}

func (i *issuer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	return signES256(t, jose.JSONWebKey{Key: i.key, KeyID: issuerKeyID}, nil, claims)
}

// forgeries are assertions that nobody may believe.
func (i *issuer) forgeries(t *testing.T) map[string]string {
	t.Helper()
	claims := i.claims()
	with := func(name string, value any) string {
		changed := maps.Clone(claims)
		if changed[name] = value; value == nil {
			delete(changed, name)
		}
		return i.sign(t, changed)
	}
	own := newP256(t)
	head := func(alg string, kid any) string {
		return encodeJSON(t, map[string]any{"alg": alg, "typ": "JWT", "kid": kid}) + "."
	}
	body := encodeJSON(t, claims)
	zeros := base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	hs256 := func(secret []byte) string {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(head("HS256", issuerKeyID) + body))
		return head("HS256", issuerKeyID) + body + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	spki, err := x509.MarshalPKIXPublicKey(i.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	point, err := i.key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	good := i.sign(t, claims)
	signature := good[strings.LastIndexByte(good, '.')+1:]
	return map[string]string{
		"none":                                   "",
		"a word":                                 "Bearer",
		"only dots":                              "..",
		"JSON that is no object":                 encodeJSON(t, "ES256") + "." + body + "." + zeros,
		"for another service":                    with("aud", "mail"),
		"for other services":                     with("aud", []string{"mail", "agenda2"}),
		"for nobody":                             with("aud", nil),
		"by another issuer":                      with("iss", "https://localhost"),
		"by no issuer":                           with("iss", nil),
		"E9: expired":                            with("exp", time.Now().Add(-time.Second).Unix()),
		"that never expires":                     with("exp", nil),
		"that lives for a day":                   with("exp", time.Now().Add(24*time.Hour).Unix()),
		"by a key of its own":                    signES256(t, jose.JSONWebKey{Key: own, KeyID: "made-up"}, nil, claims),
		"by a key of its own, under the name":    signES256(t, jose.JSONWebKey{Key: own, KeyID: issuerKeyID}, nil, claims),
		"by a key of its own, without a name":    signES256(t, jose.JSONWebKey{Key: own}, nil, claims),
		"by a key that it brings along":          signES256(t, jose.JSONWebKey{Key: own, KeyID: issuerKeyID}, map[jose.HeaderKey]any{"jwk": jose.JSONWebKey{Key: own.Public()}}, claims),
		"with alg none":                          head("none", issuerKeyID) + body + ".",
		"with alg None and a good signature":     head("None", issuerKeyID) + body + "." + signature,
		"with alg HS256 and the public key, PEM": hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})),
		"with alg HS256 and the public key, DER": hs256(spki),
		"with alg HS256 and the public point":    hs256(point),
		"with a signature of zeros":              head("ES256", issuerKeyID) + body + "." + zeros, // CVE-2022-21449
		"without a signature":                    head("ES256", issuerKeyID) + body + ".",
		"with claims that were not signed":       head("ES256", issuerKeyID) + body + "." + signature,
		"with a part too many":                   good + "." + signature,
		"with a part too few":                    good[:strings.LastIndexByte(good, '.')],
		"with a name of a key that is no text":   head("ES256", []int{1}) + body + "." + signature,
		"with a name of a key that objects have": head("ES256", "__proto__") + body + "." + signature,
		"with a signature in DER":                good[:strings.LastIndexByte(good, '.')+1] + derSignature(t, signature),
	}
}

// askDirectly asks an example without the gateway, as soon as it listens.
func askDirectly(t *testing.T, address, assertion string, headers ...string) (status int, body string) {
	t.Helper()
	eventually(t, address+" answers", func() error {
		ctx, done := context.WithTimeout(t.Context(), patience)
		defer done()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return err
		}
		if assertion != "" {
			r.Header.Set("X-Authgw-Assertion", assertion)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		status, body = answer.StatusCode, string(data)
		return err
	})
	return status, body
}

func signES256(t *testing.T, key jose.JSONWebKey, headers map[jose.HeaderKey]any, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, &jose.SignerOptions{ExtraHeaders: headers})
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func encodeJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// derSignature is a signature as X.509 has it, and JWS has not (RFC 7518, section 3.4).
func derSignature(t *testing.T, signature string) string {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(raw) != 64 {
		t.Fatalf("%d bytes, %v", len(raw), err)
	}
	der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(raw[:32]), new(big.Int).SetBytes(raw[32:])})
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(der)
}
