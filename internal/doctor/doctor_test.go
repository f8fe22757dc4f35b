package doctor_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/config"
	"promess/authgw/internal/doctor"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
)

var hierarchy = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true}) })

func must[T any](t *testing.T, f func() (T, error)) T {
	t.Helper()
	v, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// installation is one in which all is well, but that no gateway runs and its authorities are of a test.
type installation struct {
	dir    string
	pki    *testpki.PKI
	config *config.Gateway
	now    time.Time
	names  map[string]bool // that resolve; nil: all
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	i := &installation{dir: t.TempDir(), pki: must(t, hierarchy), now: time.Now()}
	for _, dir := range []string{"trust", "crl"} {
		if err := os.Mkdir(i.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.pki.WriteTrust(i.path("trust")); err != nil {
		t.Fatal(err)
	}
	lists := must(t, func() ([]string, error) { return i.pki.WriteCRLs(i.path("crl")) })
	cert := must(t, func() (tls.Certificate, error) { return i.pki.ServerCertificate("*.example.test") })
	key := must(t, func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(cert.PrivateKey) })
	i.write(t, "server.pem", testpki.CertificatePEM(cert.Leaf))
	i.write(t, "server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	i.write(t, "authgw.yaml", []byte("# as written below\n"))
	s := must(t, func() (*store.Store, error) {
		return store.Open(t.Context(), store.Config{Name: i.path("authgw.db"), Log: slog.New(slog.DiscardHandler)})
	})
	s.Close()
	backend := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(backend.Close)
	i.config = &config.Gateway{
		File: i.path("authgw.yaml"), Name: "test", PublicPort: 443, AgentPort: 24780, Admin: netip.MustParseAddrPort("127.0.0.1:1"),
		Hosts: config.Hosts{Auth: "auth.example.test", Card: "card.example.test"},
		TLS:   []config.KeyPair{{Cert: i.path("server.pem"), Key: i.path("server.key")}},
		Card:  config.Card{Trust: i.path("trust"), CRLs: lists},
		Services: []config.Service{{
			Name: "mail", Host: "mail.example.test", Backend: must(t, func() (*url.URL, error) { return url.Parse(backend.URL) }),
		}},
		Database: i.path("authgw.db"),
	}
	return i
}

func (i *installation) path(name string) string { return filepath.Join(i.dir, name) }

func (i *installation) write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(i.path(name), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (i *installation) examine(t *testing.T) []doctor.Finding {
	t.Helper()
	return doctor.Examine(t.Context(), doctor.Config{
		Gateway: i.config, Now: func() time.Time { return i.now },
		Lookup: func(_ context.Context, name string) ([]netip.Addr, error) {
			if i.names != nil && !i.names[name] {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		},
	})
}

// wantFinding wants one with this check and status, and the words in its text. What is not ok says what to do.
func wantFinding(t *testing.T, all []doctor.Finding, check string, status doctor.Status, words string) {
	t.Helper()
	found := false
	for _, f := range all {
		if strings.Contains(f.Text, "\n") || (f.Status == doctor.OK) != (f.Do == "") {
			t.Errorf("%+v: want one line, and what to do where something is", f)
		}
		found = found || f.Check == check && f.Status == status && strings.Contains(f.Text, words)
	}
	if !found {
		t.Errorf("no finding %s, %s, with %q in %+v", check, status, words, all)
	}
}

func TestNothingIsWrong(t *testing.T) {
	all := newInstallation(t).examine(t)
	for _, f := range all {
		if f.Status == doctor.Error {
			t.Errorf("%+v", f)
		}
	}
	for _, check := range []string{"configuration", "name", "certificate", "permissions", "revocation list", "clock", "database", "disk", "backend", "mail", "admin", "agent"} {
		wantFinding(t, all, check, doctor.OK, "")
	}
	wantFinding(t, all, "authority", doctor.Warning, "none that the ANS had published")
	wantFinding(t, all, "running", doctor.Warning, "no gateway answers")
	wantFinding(t, all, "certificate", doctor.Warning, "finds no way from it to an authority")
}

func TestFaultsAreFound(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name, check string
		status      doctor.Status
		words       string
		fault       func(t *testing.T, i *installation)
	}{
		{"a name that nobody knows", "name", doctor.Warning, "card.example.test is not known", func(_ *testing.T, i *installation) {
			i.names = map[string]bool{"auth.example.test": true, "mail.example.test": true}
		}},
		{"a certificate that expires", "certificate", doctor.Warning, "expires in ", func(_ *testing.T, i *installation) { i.now = i.now.Add(85 * day) }},
		{"a certificate that has expired", "certificate", doctor.Error, "has expired, since ", func(_ *testing.T, i *installation) { i.now = i.now.AddDate(0, 4, 0) }},
		{"a certificate of the future", "certificate", doctor.Error, "is good only in ", func(_ *testing.T, i *installation) { i.now = i.now.Add(-day) }},
		{"a clock that is behind the files", "clock", doctor.Error, "was written in the future", func(_ *testing.T, i *installation) { i.now = i.now.Add(-time.Hour) }},
		{"a clock that is behind the lists", "revocation list", doctor.Error, "was issued in the future", func(_ *testing.T, i *installation) { i.now = i.now.Add(-3 * time.Hour) }},
		{"a configuration that all may change", "permissions", doctor.Error, "authgw.yaml", func(t *testing.T, i *installation) { chmod(t, i.path("authgw.yaml"), 0o666) }},
		{"an authority that all may change", "permissions", doctor.Error, "AC_IGC-SANTE_FORT_PERSONNES.pem", func(t *testing.T, i *installation) {
			chmod(t, i.path("trust/AC_IGC-SANTE_FORT_PERSONNES.pem"), 0o602)
		}},
		{"a database that others read", "permissions", doctor.Error, "authgw.db", func(t *testing.T, i *installation) { chmod(t, i.path("authgw.db"), 0o644) }},
		{"an authority of tests", "authority", doctor.Warning, "is one of tests", func(t *testing.T, i *installation) {
			pki := must(t, func() (*testpki.PKI, error) { return testpki.New(testpki.Config{Test: true, CardsOnly: true}) })
			if err := pki.WriteTrust(i.path("trust")); err != nil {
				t.Fatal(err)
			}
			i.config.Card.AllowTest = true
		}},
		{"authorities that expired", "authority", doctor.Error, "has expired", func(_ *testing.T, i *installation) { i.now = i.now.AddDate(30, 0, 0) }},
		{"garbage among the authorities", "authority", doctor.Error, "note.txt", func(t *testing.T, i *installation) { i.write(t, "trust/note.txt", []byte("to do")) }},
		{"no list of a root", "revocation list", doctor.Error, "there is none of AC RACINE IGC-SANTE FORT", func(t *testing.T, i *installation) {
			i.config.Card.CRLs = []string{i.path("crl/AC_IGC-SANTE_FORT_PERSONNES.crl"), i.path("crl/AC_IGC-SANTE_STANDARD_PERSONNES.crl"), i.path("crl/AC_RACINE_IGC-SANTE_STANDARD.crl")}
		}},
		{"a list that is due", "revocation list", doctor.Warning, "is out of date in ", func(_ *testing.T, i *installation) { i.now = i.now.Add(6*day + 12*time.Hour) }},
		{"a list that is out of date", "revocation list", doctor.Error, "is out of date, since ", func(_ *testing.T, i *installation) { i.now = i.now.Add(9 * day) }},
		{"a list that is garbage", "revocation list", doctor.Error, "FORT_PERSONNES.crl", func(t *testing.T, i *installation) {
			i.write(t, "crl/AC_IGC-SANTE_FORT_PERSONNES.crl", []byte("garbage"))
		}},
		{"no lists", "revocation list", doctor.Warning, "stolen cards are accepted", func(_ *testing.T, i *installation) {
			i.config.Card.CRLs, i.config.Card.InsecureSkipRevocation = nil, true
		}},
		{"a database that is none", "database", doctor.Error, "authgw.db", func(t *testing.T, i *installation) {
			i.write(t, "authgw.db", []byte(strings.Repeat("this is no database. ", 50)))
		}},
		{"a backend that is down", "backend", doctor.Error, "mail at http://127.0.0.1:1: ", func(_ *testing.T, i *installation) { i.config.Services[0].Backend.Host = "127.0.0.1:1" }},
		{"a backend without TLS", "backend", doctor.Error, "mail at https://", func(_ *testing.T, i *installation) { i.config.Services[0].Backend.Scheme = "https" }},
		{"a backend of another authority", "backend", doctor.Error, "certificate", func(t *testing.T, i *installation) {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			i.config.Services[0].Backend = must(t, func() (*url.URL, error) { return url.Parse(s.URL) })
		}},
		{"no admin listener", "admin", doctor.Warning, "is off", func(_ *testing.T, i *installation) { i.config.Admin = netip.AddrPort{} }},
		{"an admin listener on a network", "admin", doctor.Warning, "192.168.1.2:9443", func(_ *testing.T, i *installation) {
			i.config.Admin = netip.MustParseAddrPort("192.168.1.2:9443")
		}},
		{"another port of agents", "agent", doctor.Warning, "port 1234", func(_ *testing.T, i *installation) { i.config.AgentPort = 1234 }},
		{"a gateway that is not ready", "running", doctor.Error, "no revocation list of X", func(t *testing.T, i *installation) {
			i.gateway(t, `{"ready":false,"problems":["no revocation list of X"]}`)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.name == "an admin listener on a network" {
				t.Parallel() // nobody answers there, and that takes its time
			}
			i := newInstallation(t)
			test.fault(t, i)
			wantFinding(t, i.examine(t), test.check, test.status, test.words)
		})
	}
}

func chmod(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(name, mode); err != nil {
		t.Fatal(err)
	}
}

// gateway answers /readyz with a text.
func (i *installation) gateway(t *testing.T, text string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }))
	t.Cleanup(s.Close)
	i.config.Admin = netip.MustParseAddrPort(s.Listener.Addr().String())
}

func TestGatewayThatRuns(t *testing.T) {
	i := newInstallation(t)
	i.gateway(t, `{"ready":true,"problems":[]}`)
	wantFinding(t, i.examine(t), "running", doctor.OK, "is ready")
}

func TestBackendWithTLS(t *testing.T) {
	i := newInstallation(t)
	s := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(s.Close)
	i.write(t, "ca.pem", testpki.CertificatePEM(s.Certificate()))
	i.config.Services[0].Backend = must(t, func() (*url.URL, error) { return url.Parse(s.URL) })
	i.config.Services[0].BackendCA = i.path("ca.pem")
	wantFinding(t, i.examine(t), "backend", doctor.OK, "mail answers")
}

// Looking leaves nothing behind: the first start makes the database.
func TestDatabaseOfTheFirstStart(t *testing.T) {
	i := newInstallation(t)
	i.config.Database = i.path("new.db")
	wantFinding(t, i.examine(t), "database", doctor.OK, "is made at the first start")
	if _, err := os.Stat(i.path("new.db")); err == nil {
		t.Error("the database was made")
	}
}

// A peer that accepts and says nothing does not hold the doctor up.
func TestSilentBackendIsGivenUp(t *testing.T) {
	t.Parallel()
	i := newInstallation(t)
	l := must(t, func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") })
	t.Cleanup(func() { l.Close() })
	i.config.Services[0].Backend = &url.URL{Scheme: "https", Host: l.Addr().String()}
	begun := time.Now()
	wantFinding(t, i.examine(t), "backend", doctor.Error, "mail at https://")
	if d := time.Since(begun); d > 15*time.Second {
		t.Errorf("it took %v", d)
	}
}
