package e2e

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/pcsctest"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/vcard"
)

// world is a workstation and a gateway, with everything between them.
type world struct {
	t       *testing.T // of the world: what is started anew in a subtest lives as long as the rest
	dir     string
	pki     *testpki.PKI // the authorities that the gateway trusts
	pcsc    *pcsctest.Daemon
	browser *chromium
	backend *backend
	gateway *process
	agent   *process

	authHost                   string // default: auth, under domain
	port, agentPort, adminPort int
	module                     string            // PKCS#11
	crl                        map[string]string // file of the revocation list of an authority, by its name
}

// newWorld starts everything. The gateway is configured for production: no test cards.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), module: opensc(t), crl: map[string]string{}}
	var err error
	if w.pki, err = testpki.New(testpki.Config{}); err != nil {
		t.Fatal(err)
	}
	w.pcsc = pcsctest.Start(t)
	w.backend = newBackend(t)
	ports := freePorts(t, 3)
	w.port, w.agentPort, w.adminPort = ports[0], ports[1], ports[2]
	w.writeCertificates(t)
	w.startGateway(t)
	w.startAgent(t)
	w.browser = startChromium(t, w.pki.Server.Certificate)
	return w
}

func (w *world) origin(host string) string {
	return fmt.Sprintf("https://%s.%s:%d", host, domain, w.port)
}
func (w *world) mail(path string) string { return w.origin("mail") + path }
func (w *world) auth(path string) string {
	if w.authHost != "" {
		return fmt.Sprintf("https://%s:%d%s", w.authHost, w.port, path)
	}
	return w.origin("auth") + path
}

// path is a file of the world.
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// writeCertificates writes what an operator installs: authorities, revocation lists, the server's certificate and key.
func (w *world) writeCertificates(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"trust", "crl"} {
		if err := os.Mkdir(w.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.pki.WriteTrust(w.path("trust")); err != nil {
		t.Fatal(err)
	}
	for _, a := range w.pki.Authorities() {
		w.crl[a.Name] = "crl/" + strings.ReplaceAll(a.Name, " ", "_") + ".crl"
		w.writeCRL(t, a, testpki.CRL{})
	}
	cert, err := w.pki.ServerCertificate("*."+domain, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "server.crt", testpki.CertificatePEM(cert.Leaf))
	w.write(t, "server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	w.write(t, "root.crt", testpki.CertificatePEM(w.pki.Server.Certificate))
}

func (w *world) writeCRL(t *testing.T, a *testpki.Authority, c testpki.CRL) {
	t.Helper()
	der, err := w.pki.CRL(a, c)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, w.crl[a.Name], der)
}

// startGateway starts authgw serve.
func (w *world) startGateway(t *testing.T) {
	t.Helper()
	var crls strings.Builder
	for _, a := range w.pki.Authorities() {
		fmt.Fprintf(&crls, "    - %s\n", w.crl[a.Name])
	}
	w.write(t, "authgw.yaml", fmt.Appendf(nil, `
name: e2e
listen: 127.0.0.1:%d
admin: 127.0.0.1:%d
agent_port: %d
hosts:
  auth: auth.%[4]s
  card: card.%[4]s
  browser_card: cps.%[4]s
tls:
  - cert: server.crt
    key: server.key
card:
  trust: trust
  crls:
%s
services:
  - name: mail
    host: mail.%[4]s
    backend: %[6]s
    title: Messagerie sécurisée
    description: Boîte aux lettres MSSanté
  - name: agenda
    host: agenda.%[4]s
    backend: %[6]s
    title: Agenda partagé
database: authgw.db
support:
  phone: "01 23 45 67 89"
  mail: assistance@%[4]s
log:
  level: debug
`, w.port, w.adminPort, w.agentPort, domain, crls.String(), w.backend.URL))
	w.gateway = startProcess(t, nil, binaries.authgw, "serve", "--config", w.path("authgw.yaml"))
	w.gateway.await(t, "authgw serves")
}

// startAgent starts cardagent serve. The PIN is asked on its own page: there is no desktop here.
func (w *world) startAgent(t *testing.T) {
	t.Helper()
	w.write(t, "agent.yaml", fmt.Appendf(nil, `
port: %d
module: %s
gateways:
  - name: e2e
    title: ProMess (essai)
    origin: %s
    card: %s
    ca: root.crt
    dial: 127.0.0.1:%d
pin:
  dialog: page
log:
  level: debug
`, w.agentPort, w.module, w.auth(""), w.origin("card"), w.port))
	w.agent = startProcess(t, w.pcsc.Env(), binaries.cardagent, "serve", "--config", w.path("agent.yaml"))
	w.agent.await(t, "cardagent listens on")
}

// agentURL is an address of the agent.
func (w *world) agentURL(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", w.agentPort, path)
}

// doctor is a CPS of the hierarchy, with its key.
func (w *world) doctor(t *testing.T, change ...func(*testpki.Card)) (*rsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	card := testpki.Card{Kind: testpki.CPS, NationalID: "899700218896", GivenName: "HÉLÈNE", FamilyName: "D'ARTAGNAN-LE GOFF", Profession: 10}
	for _, f := range change {
		f(&card)
	}
	cert, err := w.pki.Authentication(card, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// insert puts a card with a key and a certificate into the first reader until the end of the test.
func (w *world) insert(t *testing.T, key *rsa.PrivateKey, cert *x509.Certificate, change ...func(*vcard.Config)) *vcard.Card {
	t.Helper()
	config := vcard.Config{Cert: cert, Key: key, PIN: "1234"}
	for _, f := range change {
		f(&config)
	}
	card, err := vcard.New(config)
	if err != nil {
		t.Fatal(err)
	}
	w.pcsc.Insert(t, 0, card)
	return card
}

// insertDoctor is insert with a good card.
func (w *world) insertDoctor(t *testing.T, change ...func(*vcard.Config)) *vcard.Card {
	t.Helper()
	key, cert := w.doctor(t)
	return w.insert(t, key, cert, change...)
}

// startLogin opens an address and begins the card login: page is the tab that stays, agent the one at the agent.
func (w *world) startLogin(t *testing.T, url string) (page, agent *tab) {
	t.Helper()
	page = w.browser.browser(t)
	page.open(t, url)
	page.await(t, "Se connecter avec ma carte CPS")
	return page, page.clickToNewTab(t, "form[action='/login/card'] button")
}

// login goes all the way with the right PIN and returns the tab of the service.
func (w *world) login(t *testing.T, url string) *tab {
	t.Helper()
	_, tab := w.startLogin(t, url)
	tab.enterPIN(t, "1234")
	tab.awaitURL(t, url)
	return tab
}

// events returns the audit events of a kind, oldest first.
func (w *world) events(t *testing.T, kind audit.Kind) []audit.Event {
	t.Helper()
	var found []audit.Event
	for line := range strings.Lines(w.gateway.out.String()) {
		var e audit.Event
		if json.Unmarshal([]byte(line), &e) == nil && e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

// backend is a service that shows who it is told the person is.
type backend struct {
	*httptest.Server
	mu   sync.Mutex
	last http.Header
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	b.Server = httptest.NewServer(b)
	t.Cleanup(b.Close)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.last = r.Header.Clone()
	b.mu.Unlock()
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600") // a careless service: the gateway must not let this through
	fmt.Fprintf(w, `<!DOCTYPE html><title>Service</title><h1>Boîte de réception</h1><p id="who">%s %s</p><p>%s</p><a id="out" href="/.authgw/logout">Se déconnecter</a>`,
		html.EscapeString(r.Header.Get("X-Authgw-Name")), html.EscapeString(r.Header.Get("X-Authgw-National-Id")), html.EscapeString(r.URL.RequestURI()))
}

// header returns a header of the last request.
func (b *backend) header(name string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last.Get(name)
}

func opensc(t *testing.T) string {
	t.Helper()
	for _, pattern := range []string{"/usr/lib/*/opensc-pkcs11.so", "/usr/lib*/opensc-pkcs11.so", "/usr/lib*/pkcs11/opensc-pkcs11.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 { // the patterns are well formed
			return found[0]
		}
	}
	t.Fatal("no opensc-pkcs11.so; install the Debian package opensc-pkcs11 ('make test' does)")
	return ""
}
