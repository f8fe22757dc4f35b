package e2e

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/testpki"
)

// TestBrowserCard is the login without the agent: Chromium itself has the certificate and its key, as a browser with the card's
// module or minidriver has.
func TestBrowserCard(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), crl: map[string]string{}}
	var err error
	if w.pki, err = testpki.New(testpki.Config{}); err != nil {
		t.Fatal(err)
	}
	w.backend = newBackend(t)
	ports := freePorts(t, 3)
	w.port, w.agentPort, w.adminPort = ports[0], ports[1], ports[2]
	w.writeCertificates(t)
	w.startGateway(t)

	t.Run("with its certificate", func(t *testing.T) {
		key, cert := w.doctor(t)
		c := w.chromiumWithCertificate(t, key, cert)
		tab := c.browser(t)
		proofs := tab.redirectsFrom(t, w.origin("cps"))
		tab.open(t, w.mail("/inbox?q=1"))
		tab.click(t, "form[action='/login/card/browser'] button")
		tab.awaitURL(t, w.mail("/inbox?q=1"))
		tab.await(t, "HÉLÈNE D'ARTAGNAN-LE GOFF 899700218896")
		// TLS 1.2 only: a browser could not say that its card cannot do PSS.
		if log := w.gateway.out.String(); !strings.Contains(log, `"host":"cps.promess.test","tls":"TLS 1.2","certificates":1`) {
			t.Errorf("the browser card host saw no certificate over TLS 1.2")
		}
		tab.open(t, w.auth("/"))
		tab.click(t, "details.menu summary")
		tab.click(t, "form[action$='/logout'] button")
		tab.await(t, "Vous êtes déconnecté")
		// A29: the browser remembers its choice of certificate; the handshake is made anew all the same.
		tab.open(t, w.mail("/inbox?q=2"))
		tab.click(t, "form[action='/login/card/browser'] button")
		tab.awaitURL(t, w.mail("/inbox?q=2"))
		if n := strings.Count(w.gateway.out.String(), `"host":"cps.promess.test","tls":"TLS 1.2","certificates":1`); n != 2 {
			t.Errorf("%d proofs with a certificate, want 2", n)
		}
		var came []float64
		eventually(t, "the browser tells of the proofs", func() error { // which may come after what it answers
			if came = proofs.connections(); len(came) < 2 {
				return fmt.Errorf("they came on the connections %v", came)
			}
			return nil
		})
		if len(came) != 2 || came[0] == came[1] {
			t.Errorf("the proofs came on the connections %v, want 2 that differ", came)
		}
	})
	t.Run("without a certificate", func(t *testing.T) {
		tab := startChromium(t, w.pki.Server.Certificate).browser(t)
		tab.open(t, w.mail("/"))
		tab.click(t, "form[action='/login/card/browser'] button")
		tab.await(t, "Aucune carte présentée", "choisissez celui d’authentification")
		tab.screenshot(t, "refused-none")
		if event := w.lastEvent(t, audit.LoginRefused); event.Reason != "none" {
			t.Errorf("audited reason %q, want none", event.Reason)
		}
	})
}

// redirects are the connections on which a tab was sent on by a host.
type redirects struct {
	mu  sync.Mutex
	all []float64 // Chromium's numbers
}

// redirectsFrom begins to note them.
func (b *tab) redirectsFrom(t *testing.T, origin string) *redirects {
	t.Helper()
	r := &redirects{}
	err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok && e.RedirectResponse != nil && strings.HasPrefix(e.RedirectResponse.URL, origin+"/") {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.all = append(r.all, e.RedirectResponse.ConnectionID)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *redirects) connections() []float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// chromiumWithCertificate starts Chromium with a certificate and its key in its own store, and the policy of an establishment that
// says where to present it, so that no dialog waits for a hand. The policy is mounted over the system's directory for this process
// alone.
func (w *world) chromiumWithCertificate(t *testing.T, key *rsa.PrivateKey, cert *x509.Certificate) *chromium {
	t.Helper()
	policy, err := json.Marshal(map[string]any{"AutoSelectCertificateForUrls": []string{
		fmt.Sprintf(`{"pattern":"%s","filter":{}}`, w.origin("cps")),
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "chromium/policies/managed/card.json", policy)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "card.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	w.write(t, "card.crt", testpki.CertificatePEM(cert))
	w.write(t, "issuer.crt", testpki.CertificatePEM(w.pki.FortPersonnes.Certificate))
	out, err := runTool(t, nil, mustFind(t, "openssl", "openssl"), "pkcs12", "-export", "-inkey", w.path("card.key"), "-in", w.path("card.crt"),
		"-certfile", w.path("issuer.crt"), "-name", "card", "-passout", "pass:", "-out", w.path("card.p12"))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// The browser is started by a script, which first makes a file system of its own.
	namespace := []string{"--mount"}
	if os.Geteuid() != 0 {
		namespace = append(namespace, "--map-root-user")
	}
	script := fmt.Sprintf("#!/bin/sh\nexec %s %s sh -c 'mount --bind \"$0\" /etc/chromium && exec \"$@\"' %s %s \"$@\"\n",
		mustFind(t, "util-linux", "unshare"), strings.Join(namespace, " "), w.path("chromium"), mustFind(t, "chromium", "chromium"))
	w.write(t, "chromium.sh", []byte(script))
	if err := os.Chmod(w.path("chromium.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	return startChromium(t, w.pki.Server.Certificate, func(c *chromium) []chromedp.ExecAllocatorOption {
		c.nss(t, "pk12util", "-i", filepath.Join(w.dir, "card.p12"), "-W", "", "-K", "")
		return []chromedp.ExecAllocatorOption{chromedp.ExecPath(w.path("chromium.sh"))}
	})
}
