package gateway_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"testing"
	"time"

	"promess/authgw/internal/config"
)

// ownCertificate is a TLS client certificate of a service's own making, and its fingerprint.
func ownCertificate(t *testing.T) (*tls.Certificate, string) {
	t.Helper()
	key := must(t, func() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) })
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := must(t, func() ([]byte, error) {
		return x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	})
	sum := sha256.Sum256(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, hex.EncodeToString(sum[:])
}

// RFC 8705, sections 2.2 and 5: a service proves itself by its certificate, at the addresses that the discovery gives for that, and nowhere else
// is it asked for one.
func TestServiceProvesItselfByItsCertificate(t *testing.T) {
	own, fingerprint := ownCertificate(t)
	other, _ := ownCertificate(t)
	f := newFiles(t)
	f.write(t, "seal.keys", sealKey("k1"))
	f.config.SealKeys, f.config.Hosts.ClientCert = f.path("seal.keys"), "api.example.test"
	s := agenda()
	s.Auth, s.Certificates = "self_signed_tls_client_auth", []string{fingerprint}
	f.config.Clients = []config.Client{{Settings: s}}
	r := f.run(t)

	answer, err := r.person(t, nil).client.Get(auth + "/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var d struct {
		Methods []string          `json:"token_endpoint_auth_methods_supported"`
		Aliases map[string]string `json:"mtls_endpoint_aliases"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&d); err != nil || d.Aliases["introspection_endpoint"] == "" {
		t.Fatalf("discovery = %+v, %v, want aliases", d, err)
	}
	for name, tt := range map[string]struct {
		cert    *tls.Certificate
		address string
		want    int
	}{
		"its own":                  {own, d.Aliases["introspection_endpoint"], http.StatusOK},
		"another":                  {other, d.Aliases["introspection_endpoint"], http.StatusUnauthorized},
		"none":                     {&tls.Certificate{}, d.Aliases["introspection_endpoint"], http.StatusUnauthorized},
		"its own on the auth host": {own, auth + "/oauth/introspect", http.StatusUnauthorized},
		"its own, for a page":      {own, "https://api.example.test/login", http.StatusNotFound},
	} {
		answer, err := r.person(t, tt.cert).agent.PostForm(tt.address, url.Values{"client_id": {"agenda"}, "token": {"x"}})
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != tt.want {
			t.Errorf("%s: %s, want %d", name, answer.Status, tt.want)
		}
	}
}
