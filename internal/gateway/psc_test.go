package gateway_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/config"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
	"promess/authgw/internal/testpki"
)

// offerPSC makes files offer Pro Santé Connect, by a stand-in that runs.
func offerPSC(t *testing.T, f *files) *psctest.Server {
	t.Helper()
	client := pscstub.Client{ID: "promess", Secret: "the right secret", RedirectURIs: []string{auth + "/login/psc/callback"}, LogoutURIs: []string{auth + "/logout"}}
	s := psctest.Go{}.Start(t, psctest.Config{PKI: f.pki, Clients: []pscstub.Client{client}})
	var key [32]byte
	rand.Read(key[:])
	f.write(t, "seal.keys", []byte("k1 "+base64.StdEncoding.EncodeToString(key[:])+"\n"))
	f.write(t, "psc-secret", []byte("the right secret\n"))
	f.config.SealKeys = f.path("seal.keys")
	f.config.PSC = config.PSC{
		Environment: "sandbox", Issuer: s.Issuer(), Hosts: s.Hosts(), ClientID: "promess", ClientAuth: "basic", ClientSecretFile: f.path("psc-secret"),
		ACR: []string{"eidas1"}, Scopes: []string{"openid", "scope_all"}, Timeout: 20 * time.Second, CA: f.path("backend.pem"),
	}
	return s
}

// reach lets a person's browser go to other addresses than the gateway's too.
func (p *person) reach() {
	p.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if strings.HasSuffix(address, ".example.test:443") {
			address = p.at.address
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
}

func (r *running) readyz(t *testing.T) (int, string) {
	t.Helper()
	answer, err := http.Get(r.admin + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestPersonSignsInWithProSanteConnectAndIsTheOneOfTheCard(t *testing.T) {
	f := newFiles(t)
	s := offerPSC(t, f)
	r := f.run(t)
	p := r.person(t, nil)
	p.reach()
	status, location, body := p.visit(http.MethodPost, auth+"/login/psc")
	if status != http.StatusSeeOther {
		t.Fatalf("the button leads to %d %s\n%s", status, body, r.log.String())
	}
	back := s.Choose(t, p.client, location, pscstub.Doctor)
	if status, location, body = p.visit(http.MethodGet, back.String()); location != "/" {
		t.Fatalf("the return = %d %q %s\n%s", status, location, body, r.log.String())
	}
	p.wantSignedIn(true)
	card := r.person(t, f.card(t, testpki.Card{NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN"}))
	card.logIn()
	card.wantSignedIn(true)
	if n := strings.Count(r.audit.String(), `"account_created"`); n != 1 {
		t.Errorf("%d accounts were made, want one for both", n)
	}
	if status, ready := r.readyz(t); status != http.StatusOK || !strings.Contains(ready, `"psc":"ok"`) {
		t.Errorf("readyz = %d %s", status, ready)
	}
}

func TestWrongDiscoveryStopsNobodyElse(t *testing.T) {
	f := newFiles(t)
	s := offerPSC(t, f)
	s.Set(psctest.Quirks{Discovery: psctest.DiscoveryWrongIssuer})
	r := f.run(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	if status, _, body := p.visit(http.MethodPost, auth+"/login/psc"); status != http.StatusServiceUnavailable || !strings.Contains(body, "Se connecter avec ma carte CPS") {
		t.Errorf("the button leads to %d, want a page with the card", status)
	}
	if status, ready := r.readyz(t); status != http.StatusOK || !strings.Contains(ready, `"psc":"unavailable: `) || !strings.Contains(ready, "another issuer") {
		t.Errorf("readyz = %d %s, want 200 and why", status, ready)
	}
	p.logIn()
	p.wantSignedIn(true)
}

// signIn goes to Pro Santé Connect and back, as the doctor.
func (p *person) signIn(t *testing.T, s *psctest.Server) (status int, location string) {
	t.Helper()
	status, location, body := p.visit(http.MethodPost, auth+"/login/psc")
	if status != http.StatusSeeOther {
		t.Fatalf("the button leads to %d %s", status, body)
	}
	back := s.Choose(t, p.client, location, pscstub.Doctor)
	status, location, _ = p.visit(http.MethodGet, back.String())
	return status, location
}

func TestNewSecretOfProSanteConnectCountsWithoutARestart(t *testing.T) {
	f := newFiles(t)
	s := offerPSC(t, f)
	f.write(t, "psc-secret", []byte("the secret of before\n"))
	r, _ := f.serve(t)
	p := r.person(t, nil)
	p.reach()
	if status, _ := p.signIn(t, s); status != http.StatusForbidden {
		t.Errorf("with a wrong secret = %d, want 403", status)
	}
	f.replace(t, "psc-secret", []byte("the right secret\n"))
	r.Refresh()
	if _, location := p.signIn(t, s); location != "/" {
		t.Errorf("with the new secret the return leads to %q\n%s", location, r.log.String())
	}
	p.wantSignedIn(true)
}

func TestNewClientCertificateOfProSanteConnectCountsWithoutARestart(t *testing.T) {
	f := newFiles(t)
	offerPSC(t, f)
	authority := psctest.NewAuthority(t)
	put := func(cert tls.Certificate) {
		t.Helper()
		key := must(t, func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(cert.PrivateKey) })
		f.replace(t, "psc.pem", testpki.CertificatePEM(cert.Leaf))
		f.replace(t, "psc.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	}
	right := authority.Issue(t, "gateway")
	client := pscstub.Client{
		ID: "promess", CertificateSubject: right.Leaf.Subject.String(), CertificateRoots: authority.Roots(), RedirectURIs: []string{auth + "/login/psc/callback"},
	}
	s := psctest.Go{}.Start(t, psctest.Config{PKI: f.pki, Clients: []pscstub.Client{client}})
	put(authority.Issue(t, "gateway of before"))
	c := &f.config.PSC
	c.Issuer, c.Hosts, c.ClientAuth, c.ClientSecretFile, c.ClientCert, c.ClientKey = s.Issuer(), s.Hosts(), "tls", "", f.path("psc.pem"), f.path("psc.key")
	r, _ := f.serve(t)
	p := r.person(t, nil)
	p.reach()
	if status, _ := p.signIn(t, s); status != http.StatusForbidden {
		t.Errorf("with a certificate of another name = %d, want 403", status)
	}
	put(right)
	r.Refresh()
	if _, location := p.signIn(t, s); location != "/" {
		t.Errorf("with the new certificate the return leads to %q\n%s", location, r.log.String())
	}
	p.wantSignedIn(true)
}
