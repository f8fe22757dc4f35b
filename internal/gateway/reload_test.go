package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/certs"
	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
	"promess/authgw/internal/testpki"
)

// patience bounds every wait; nothing waits that long unless it fails.
const patience = 30 * time.Second

// save writes the configuration as an operator would, to a file beside and then by renaming.
func (f *files) save(t *testing.T) {
	t.Helper()
	f.config.Listen, f.config.Admin = netip.MustParseAddrPort("127.0.0.1:8443"), netip.MustParseAddrPort("127.0.0.1:9443")
	if f.config.Services[0].Backend.Scheme == "http" {
		f.config.Services[0].BackendCA = ""
	}
	f.config.Log = config.Log{Level: "debug", Format: "json"}
	f.replace(t, "authgw.yaml", []byte(f.config.Dump()))
}

// replace puts a file in the place of another at once.
func (f *files) replace(t *testing.T, name string, data []byte) {
	t.Helper()
	f.write(t, name+".new", data)
	if err := os.Rename(f.path(name+".new"), f.path(name)); err != nil {
		t.Fatal(err)
	}
}

// certify gives the listener a new certificate, and returns it.
func (f *files) certify(t *testing.T, names ...string) *x509.Certificate {
	t.Helper()
	cert := must(t, func() (tls.Certificate, error) { return f.pki.ServerCertificate(names...) })
	key := must(t, func() ([]byte, error) { return x509.MarshalPKCS8PrivateKey(cert.PrivateKey) })
	f.replace(t, "server.pem", testpki.CertificatePEM(cert.Leaf))
	f.replace(t, "server.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	return cert.Leaf
}

// serve runs a gateway as authgw serve does: it reads its file again. hangup is SIGHUP.
func (f *files) serve(t *testing.T) (r *running, hangup chan<- os.Signal) {
	t.Helper()
	f.save(t)
	signals := make(chan os.Signal)
	r = &running{files: f, ended: make(chan error, 1)}
	load := func() (*config.Gateway, gateway.Materials, error) { return gateway.Load(f.path("authgw.yaml")) }
	c, m, err := load()
	if err != nil {
		t.Fatal(err)
	}
	r.Gateway = must(t, func() (*gateway.Gateway, error) {
		return gateway.New(t.Context(), gateway.Config{
			Gateway: c, Materials: m, Audit: &r.audit, Log: slog.New(slog.NewJSONHandler(&r.log, nil)), Load: load, Hangup: signals, Version: "test",
		})
	})
	r.start(t)
	return r, signals
}

// connection is a browser with one connection, by which it makes every request.
func (r *running) connection(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	tr := &http.Transport{
		Protocols: protocols, TLSClientConfig: &tls.Config{RootCAs: r.files.pki.ServerRoots()},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, r.address)
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// certificate returns that of a new connection.
func (r *running) certificate(t *testing.T) *x509.Certificate {
	t.Helper()
	answer, err := r.connection(t, false).Get(auth + "/login")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer.TLS.PeerCertificates[0]
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %v: not %s", patience, what)
		}
	}
}

// refusals counts what the log says of configurations that were refused.
func (r *running) refusals() int { return strings.Count(r.log.String(), "NEW CONFIGURATION REFUSED") }

func (r *running) reloads() int { return strings.Count(r.log.String(), `"configuration reloaded"`) }

func TestReloadUnderLoad(t *testing.T) {
	f := newFiles(t)
	r, hangup := f.serve(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	if status, _, _ := p.logIn(); status != http.StatusSeeOther {
		t.Fatalf("login = %d", status)
	}
	ctx, stop := context.WithCancel(t.Context())
	var load sync.WaitGroup
	var requests atomic.Int64
	var dialed [4]atomic.Int64
	for i := range dialed {
		c := r.connection(t, i%2 == 1)
		tr := c.Transport.(*http.Transport)
		dial := tr.DialContext
		tr.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialed[i].Add(1)
			return dial(ctx, network, address)
		}
		c.Jar = p.client.Jar
		load.Go(func() {
			for ctx.Err() == nil {
				answer, err := c.Get(auth + "/") // the portal: the session is asked for each time
				if err != nil {
					t.Errorf("a request failed: %v", err)
					return
				}
				body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
				answer.Body.Close()
				if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "Messagerie") {
					t.Errorf("a request = %d, %v", answer.StatusCode, err)
					return
				}
				requests.Add(1)
			}
		})
	}
	for i := range 8 {
		done, before := requests.Load(), r.reloads()
		eventually(t, "requests under way", func() bool { return requests.Load() > done+20 || t.Failed() })
		leaf := f.certify(t, "*.example.test")
		f.config.Services[0].Description = fmt.Sprintf("Messagerie %d", i)
		f.save(t)
		hangup <- os.Interrupt // any signal: the channel gets no other
		eventually(t, "reloaded", func() bool { return r.reloads() > before })
		if got := r.certificate(t); !got.Equal(leaf) {
			t.Errorf("reload %d: a new connection gets another certificate than the new one", i)
		}
	}
	done := requests.Load()
	eventually(t, "requests after the reloads", func() bool { return requests.Load() > done+20 || t.Failed() })
	stop()
	load.Wait()
	for i := range dialed {
		if n := dialed[i].Load(); n != 1 {
			t.Errorf("client %d connected %d times, want once", i, n)
		}
	}
	if r.refusals() != 0 {
		t.Errorf("a reload was refused: %s", r.log.String())
	}
}

// C6: what a file says is in force within ten seconds, without anybody telling the gateway.
func TestC6ChangedFilesComeIntoForceByThemselves(t *testing.T) {
	f := newFiles(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "another backend") }))
	t.Cleanup(other.Close)
	r, _ := f.serve(t)
	begun := time.Now()
	leaf := f.certify(t, "*.example.test")
	f.config.Services[0].Title = "Une autre boîte"
	f.config.Services[0].Backend = must(t, func() (*url.URL, error) { return url.Parse(other.URL) })
	f.save(t)
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })
	if d := time.Since(begun); d > 10*time.Second {
		t.Errorf("it took %v, want at most 10 s", d)
	}
	if !r.certificate(t).Equal(leaf) {
		t.Error("a new connection gets the old certificate")
	}
	p := r.person(t, f.card(t, testpki.Card{}))
	p.logIn()
	if _, _, body := p.visit(http.MethodGet, auth+"/"); !strings.Contains(body, "Une autre boîte") {
		t.Errorf("the portal does not show the new title: %.300s", body)
	}
	_, login, _ := p.visit(http.MethodGet, mail+"/")
	_, enter, _ := p.visit(http.MethodGet, login)
	p.visit(http.MethodGet, enter)
	if _, _, body := p.visit(http.MethodGet, mail+"/"); body != "another backend" {
		t.Errorf("service = %.100q, want the new backend", body)
	}
}

// A1: a file that is missing, empty or garbage at a reload keeps everything that was in force, and everybody is told.
func TestA1UnusableFilesKeepWhatIsInForce(t *testing.T) {
	f := newFiles(t)
	f.config.Services[0].Backend.Scheme = "https" // so that backend.pem is read; nobody connects
	r, hangup := f.serve(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	before := r.certificate(t)
	fort := "trust/AC_IGC-SANTE_FORT_PERSONNES.pem"
	for _, name := range []string{"server.pem", "server.key", "backend.pem", fort, "crl/AC_IGC-SANTE_FORT_PERSONNES.crl", "authgw.yaml"} {
		good := must(t, func() ([]byte, error) { return os.ReadFile(f.path(name)) })
		for state, data := range map[string][]byte{
			"missing": nil, "empty": {}, "garbage": []byte("\x30\x82\xff\xff: - {"), "cut off": good[:len(good)/2],
		} {
			if name == "authgw.yaml" && state == "cut off" || name == fort && state == "missing" {
				continue // half a file may be a whole one, and a directory without a file is a directory
			}
			t.Run(name+" "+state, func(t *testing.T) {
				if data == nil {
					if err := os.Remove(f.path(name)); err != nil {
						t.Fatal(err)
					}
				} else {
					f.write(t, name, data)
				}
				told := r.refusals()
				hangup <- os.Interrupt
				eventually(t, "refused", func() bool { return r.refusals() > told })
				if status, _, _ := p.logIn(); status != http.StatusSeeOther {
					t.Errorf("login = %d, want what was in force to stay", status)
				}
				if !r.certificate(t).Equal(before) {
					t.Error("the certificate has changed")
				}
				status, body := r.get(t, "/readyz")
				if status != http.StatusOK || !strings.Contains(body, `"warnings":["the configuration on disk is refused`) {
					t.Errorf("readyz = %d %s, want ready, with a warning", status, body)
				}
				if _, body := r.get(t, "/metrics"); !strings.Contains(body, "\nauthgw_config_reload_failed 1\n") {
					t.Error("the metrics do not say so")
				}
				f.write(t, name, good)
				done := r.reloads()
				hangup <- os.Interrupt
				eventually(t, "reloaded", func() bool { return r.reloads() > done })
				if _, body := r.get(t, "/readyz"); strings.Contains(body, "warnings") {
					t.Errorf("readyz = %s, want no warning any more", body)
				}
			})
		}
	}
}

// A card that an authority has issued is refused as soon as the authority is not believed any more.
func TestAuthorityTakenAwayIsNotBelieved(t *testing.T) {
	f := newFiles(t)
	f.config.Card.CRLs = []string{f.path("crl/AC_IGC-SANTE_STANDARD_PERSONNES.crl"), f.path("crl/AC_RACINE_IGC-SANTE_STANDARD.crl")}
	f.config.Card.CRLs = append(f.config.Card.CRLs, f.path("crl/AC_IGC-SANTE_FORT_PERSONNES.crl"), f.path("crl/AC_RACINE_IGC-SANTE_FORT.crl"))
	r, hangup := f.serve(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	if status, _, _ := p.logIn(); status != http.StatusSeeOther {
		t.Fatalf("login = %d", status)
	}
	for _, name := range []string{"trust/AC_IGC-SANTE_FORT_PERSONNES.pem", "trust/AC_RACINE_IGC-SANTE_FORT.pem"} {
		if err := os.Remove(f.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	f.config.Card.CRLs = f.config.Card.CRLs[:2]
	f.save(t)
	hangup <- os.Interrupt
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })
	p = r.person(t, f.card(t, testpki.Card{}))
	if status, body, _ := p.logIn(); status != http.StatusForbidden {
		t.Errorf("login = %d %.200s, want a refusal", status, body)
	}
}

// What a running gateway cannot change is named, and then nothing of the file is taken: half a configuration is none.
func TestWhatTakesARestartIsNamed(t *testing.T) {
	f := newFiles(t)
	r, hangup := f.serve(t)
	for i, test := range []struct {
		keys   string
		change func(c *config.Gateway)
	}{
		{"listen", func(c *config.Gateway) { c.Listen = netip.MustParseAddrPort("127.0.0.1:8444") }},
		{"admin", func(c *config.Gateway) { c.Admin = netip.MustParseAddrPort("127.0.0.1:9444") }},
		{"hosts", func(c *config.Gateway) { c.Hosts.Card = "other.example.test" }},
		{"database", func(c *config.Gateway) { c.Database = f.path("other.db") }},
		{"public_port, log", func(c *config.Gateway) { c.PublicPort, c.Log.Level = 8443, "info" }},
	} {
		f.save(t)
		good := *f.config
		test.change(&good)
		good.Services[0].Title = fmt.Sprint("never seen ", i)
		f.replace(t, "authgw.yaml", []byte(good.Dump()))
		told := r.refusals()
		hangup <- os.Interrupt
		eventually(t, "refused", func() bool { return r.refusals() > told })
		if want := `"` + test.keys + `: a change of it takes a restart; restart authgw, or give back what was there"`; !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not say %s: %s", want, r.log.String())
		}
	}
	p := r.person(t, f.card(t, testpki.Card{}))
	p.logIn()
	if _, _, body := p.visit(http.MethodGet, auth+"/"); strings.Contains(body, "never seen") {
		t.Error("a part of a refused configuration is in force")
	}
}

// A configuration with faults is told with all of them, once, however often it is tried again.
func TestEveryFaultOfANewConfigurationIsTold(t *testing.T) {
	f := newFiles(t)
	r, _ := f.serve(t)
	bad := strings.Replace(f.config.Dump(), "title:", "titel:", 1) + "nonsense: 1\n"
	f.replace(t, "authgw.yaml", []byte(bad))
	r.Refresh()
	for range 3 {
		r.Refresh()
	}
	if n := r.refusals(); n != 1 {
		t.Errorf("told %d times, want once", n)
	}
	for _, want := range []string{"services[0].titel", "services[0].title", "nonsense"} {
		if !strings.Contains(r.log.String(), want) {
			t.Errorf("the log does not name %s: %s", want, r.log.String())
		}
	}
	if !strings.Contains(r.audit.String(), `"reason":"reload_failed"`) {
		t.Error("the audit does not say it")
	}
}

// A list that cannot be read is tried again though nothing shows that it could be now.
func TestListThatCouldNotBeReadIsTriedAgain(t *testing.T) {
	f := newFiles(t)
	broken := true
	m := must(t, func() (gateway.Materials, error) { return gateway.LoadMaterials(f.config) })
	read, changes := m.CRLs, 0
	good := must(t, read)
	m.CRLs = func() (lists *certs.CRLs, err error) {
		if broken && changes > 0 {
			return nil, os.ErrPermission
		}
		return good, nil
	}
	m.Changed = func() bool { changes++; return changes == 1 } // once
	var log output
	g := must(t, func() (*gateway.Gateway, error) {
		return gateway.New(t.Context(), gateway.Config{Gateway: f.config, Materials: m, Log: slog.New(slog.NewTextHandler(&log, nil))})
	})
	defer g.Close()
	loaded := strings.Count(log.String(), "revocation list loaded")
	g.Refresh()
	g.Refresh()
	if strings.Count(log.String(), "new revocation lists refused") != 1 {
		t.Errorf("log = %s, want one refusal", log.String())
	}
	broken = false
	g.Refresh()
	if strings.Count(log.String(), "revocation list loaded") != 2*loaded {
		t.Error("the lists are not read again")
	}
}

// A login in progress, an open session and the key of assertions outlive a reload.
func TestLoginInProgressOutlivesAReload(t *testing.T) {
	f := newFiles(t)
	r, hangup := f.serve(t)
	keys := func() string {
		answer, err := r.connection(t, false).Get(auth + "/oauth/keys")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return string(must(t, func() ([]byte, error) { return io.ReadAll(io.LimitReader(answer.Body, 1<<16)) }))
	}
	before := keys()
	p := r.person(t, f.card(t, testpki.Card{}))
	_, login, _ := p.visit(http.MethodGet, mail+"/folder") // the service host keeps state in a cookie
	p.visit(http.MethodGet, login)
	hangup <- os.Interrupt
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })
	p.logIn()
	_, enter, _ := p.visit(http.MethodGet, login)
	if _, back, _ := p.visit(http.MethodGet, enter); back != mail+"/folder" {
		t.Errorf("the login leads to %q, want where it began", back)
	}
	p.wantSignedIn(true)
	hangup <- os.Interrupt
	eventually(t, "reloaded", func() bool { return r.reloads() > 1 })
	p.wantSignedIn(true)
	if keys() != before {
		t.Error("the keys of assertions are others")
	}
}

func TestMetricsOfARun(t *testing.T) {
	f := newFiles(t)
	revoked := f.card(t, testpki.Card{})
	must(t, func() ([]string, error) { return f.pki.WriteCRLs(f.path("crl"), revoked.Leaf) })
	r := f.run(t)
	p := r.person(t, f.card(t, testpki.Card{GivenName: "ZOÉ", FamilyName: "QUERTIER", NationalID: "810001234567"}))
	p.logIn()
	p.visit(http.MethodGet, mail+"/")
	p.visit(http.MethodPost, auth+"/logout")
	r.person(t, revoked).logIn()
	_, body := r.get(t, "/metrics")
	for _, want := range []string{
		`authgw_logins_total{method="card",outcome="success",reason="none"} 1`,
		`authgw_logins_total{method="card",outcome="refused",reason="revoked"} 1`,
		`authgw_sessions_opened_total{method="card"} 1`, `authgw_sessions_ended_total{reason="logout"} 1`,
		`authgw_proxy_requests_total{service="mail",status="3xx"} 1`, `authgw_database_up 1`, `authgw_config_reload_failed 0`, `authgw_audit_queue_length{queue="trail"} `,
		`authgw_crl_next_update_seconds{issuer="AC IGC-SANTE FORT PERSONNES"} `, `authgw_certificate_expires_seconds{host="mail.example.test"} `,
	} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	for _, secret := range append(p.cookies(), "ZOÉ", "QUERTIER", "810001234567", "127.0.0.1") {
		if strings.Contains(body, secret) {
			t.Errorf("%q is in the metrics", secret)
		}
	}
}

func TestReadinessTellsOfACertificateThatExpired(t *testing.T) {
	f := newFiles(t)
	g := must(t, func() (*gateway.Gateway, error) {
		return gateway.New(t.Context(), gateway.Config{
			Gateway: f.config, Materials: must(t, func() (gateway.Materials, error) { return gateway.LoadMaterials(f.config) }), Log: slog.New(slog.DiscardHandler),
			Now: func() time.Time { return time.Now().AddDate(0, 4, 0) },
		})
	})
	r := &running{files: f, Gateway: g, ended: make(chan error, 1)}
	r.start(t)
	if status, body := r.get(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "the server certificate of auth.example.test was good until ") {
		t.Errorf("readyz = %d %s", status, body)
	}
}
