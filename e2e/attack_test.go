package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/testpki"
)

// TestAttacks tries to be let in without being the person with the card at this workstation.
func TestAttacks(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		run  func(*world, *testing.T)
	}{
		{"a login that somebody else began signs nobody in", (*world).relayed},
		{"a code that was used once is worth nothing", (*world).codeTwice},
		{"the address by which a browser came back opens nothing again, there and elsewhere", (*world).addressAgain},
		{"the certificate of a signature key, shown by an agent that does not care", (*world).roguePresents},
		{"an agent without a certificate", (*world).rogueWithout},
		{"start requests that a browser of this person did not make", (*world).foreignStarts},
		{"names that the listener does not know", (*world).foreignNames},
		{"identity headers of the client never reach the service", (*world).forgedHeaders},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(w, t) })
	}
}

// client is a browser made of Go's HTTP client: it keeps cookies, follows no redirect, and finds the hosts of the tests.
func (w *world) client(t *testing.T, certificates ...tls.Certificate) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", w.port))
		},
		TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots(), MinVersion: tls.VersionTLS12, Certificates: certificates},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send makes a request and returns its answer with the body read.
func send(t *testing.T, c *http.Client, method, url, contentType, body string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(data)
}

// begin begins a card login in a client and returns the address at the agent that the gateway sends it to.
func (w *world) begin(t *testing.T, c *http.Client) (agentURL, handle string) {
	t.Helper()
	answer, body := send(t, c, http.MethodPost, w.auth("/login/card"), "application/x-www-form-urlencoded", "")
	if answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("POST /login/card: %s\n%s", answer.Status, body)
	}
	agentURL = answer.Header.Get("Location")
	return agentURL, agentURL[strings.LastIndexByte(agentURL, '/')+1:]
}

// relayed plays the attacker who begins a login and has the victim finish it: by a link to the victim's own agent.
func (w *world) relayed(t *testing.T) {
	w.insertDoctor(t)
	attacker := w.client(t)
	link, _ := w.begin(t, attacker)
	before := len(w.events(t, audit.LoginSucceeded))

	victim := w.browser.browser(t)
	victim.open(t, link)
	victim.enterPIN(t, "1234") // the agent names the gateway, and the victim believes that all is well
	victim.await(t, "Cette connexion n’est plus valable", "prévenez l’assistance")
	victim.screenshot(t, "relayed")

	if event := w.lastEvent(t, audit.LoginRefused); event.Reason != "other_browser" {
		t.Errorf("audited reason %q, want other_browser", event.Reason)
	}
	// The attacker, who has the cookie and not the code, is told nothing and has nothing.
	_, state := send(t, attacker, http.MethodGet, w.auth("/login/card/status"), "", "")
	if !strings.Contains(state, `"over"`) {
		t.Errorf("the attacker is told %s", state)
	}
	// Nor does the code help, had it leaked from the victim's history: it is used up.
	code := victim.url()
	answer, _ := send(t, attacker, http.MethodGet, code, "", "")
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(code, cardwire.CallbackPath) {
		t.Errorf("the leaked address %s gave the attacker %s, want 403", code, answer.Status)
	}
	if after := len(w.events(t, audit.LoginSucceeded)); after != before {
		t.Errorf("%d logins succeeded, want none", after-before)
	}
	for _, u := range []string{w.auth("/"), w.mail("/")} {
		if answer, _ := send(t, attacker, http.MethodGet, u, "", ""); answer.StatusCode == http.StatusOK {
			t.Errorf("the attacker opens %s", u)
		}
	}
}

// prove plays an agent that presents any certificate with its key, and returns the code.
func (w *world) prove(t *testing.T, handle string, key crypto.Signer, cert *x509.Certificate) string {
	t.Helper()
	var certificates []tls.Certificate
	if cert != nil {
		certificates = []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}}
	}
	body, err := json.Marshal(cardwire.Prove{Handle: handle})
	if err != nil {
		t.Fatal(err)
	}
	c := w.client(t, certificates...)
	if cert != nil {
		// Certificates would be left out when the server does not name their issuer.
		c.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &certificates[0], nil
		}
	}
	answer, data := send(t, c, http.MethodPost, w.origin("card")+cardwire.ProvePath, "application/json", string(body))
	var proved cardwire.Proved
	if err := json.Unmarshal([]byte(data), &proved); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("prove: %s\n%s", answer.Status, data)
	}
	return proved.Code
}

func (w *world) codeTwice(t *testing.T) {
	key, cert := w.doctor(t)
	c := w.client(t)
	_, handle := w.begin(t, c)
	callback := w.auth(cardwire.CallbackPath + w.prove(t, handle, key, cert))
	if answer, body := send(t, c, http.MethodGet, callback, "", ""); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("the first use: %s\n%s", answer.Status, body)
	}
	answer, body := send(t, c, http.MethodGet, callback, "", "")
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(body, "Cette connexion n’est plus valable") {
		t.Errorf("the second use: %s\n%s", answer.Status, body)
	}
	if event := w.lastEvent(t, audit.LoginRefused); event.Reason != "code_unknown" {
		t.Errorf("audited reason %q, want code_unknown", event.Reason)
	}
}

// addressAgain opens the address that the agent sent the browser to once more, after the login.
func (w *world) addressAgain(t *testing.T) {
	w.insertDoctor(t)
	_, signedIn := w.startLogin(t, w.mail("/inbox"))
	visited := signedIn.visits(t)
	signedIn.enterPIN(t, "1234")
	signedIn.awaitURL(t, w.mail("/inbox"))
	address := visited.find(t, w.auth(cardwire.CallbackPath))
	before := len(w.events(t, audit.LoginSucceeded))

	stranger := w.browser.browser(t)
	for who, b := range map[string]*tab{"the browser itself": signedIn, "another one": stranger} {
		b.open(t, address)
		b.await(t, "Cette connexion n’est plus valable")
		if event := w.lastEvent(t, audit.LoginRefused); event.Reason != "code_unknown" {
			t.Errorf("%s: audited reason %q, want code_unknown", who, event.Reason)
		}
	}
	if after := len(w.events(t, audit.LoginSucceeded)); after != before {
		t.Errorf("%d more logins succeeded, want none", after-before)
	}
	stranger.open(t, w.mail("/inbox"))
	stranger.await(t, "Se connecter avec ma carte CPS")
	signedIn.open(t, w.mail("/inbox")) // and nobody is signed out by it
	signedIn.await(t, "Boîte de réception", "ARTAGNAN")
}

// browserAtRogue opens the login in Chromium with a listener in the agent's place, and returns the tab with the handle.
func (w *world) browserAtRogue(t *testing.T) (*tab, string) {
	t.Helper()
	w.agent.stop(t)
	handles := make(chan string, 1)
	ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", w.agentPort))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if handle, ok := strings.CutPrefix(r.URL.Path, cardwire.StartPath+"e2e/"); ok {
			handles <- handle
		}
		fmt.Fprintln(rw, "caught")
	})}
	go srv.Serve(ln) // ends with Close
	_, tab := w.startLogin(t, w.mail("/"))
	defer w.startAgent(w.t)
	defer srv.Close()
	select {
	case handle := <-handles:
		tab.await(t, "caught") // a browser whose answer is cut off asks again, and then the agent that is there by then
		return tab, handle
	case <-time.After(patience):
		t.Fatal("the browser did not come")
		return nil, ""
	}
}

func (w *world) roguePresents(t *testing.T) {
	key, _ := w.doctor(t)
	cert, err := w.pki.Signature(testpki.Card{}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	tab, handle := w.browserAtRogue(t)
	tab.open(t, w.auth(cardwire.CallbackPath+w.prove(t, handle, key, cert)))
	tab.await(t, "Mauvais certificat choisi", "signer des documents")
	tab.screenshot(t, "refused-wrong_usage")
	if event := w.lastEvent(t, audit.LoginRefused); event.Reason != "wrong_usage" {
		t.Errorf("audited reason %q, want wrong_usage", event.Reason)
	}
}

func (w *world) rogueWithout(t *testing.T) {
	tab, handle := w.browserAtRogue(t)
	tab.open(t, w.auth(cardwire.CallbackPath+w.prove(t, handle, nil, nil)))
	tab.await(t, "Aucune carte présentée")
	if event := w.lastEvent(t, audit.LoginRefused); event.Reason != "none" {
		t.Errorf("audited reason %q, want none", event.Reason)
	}
}

// foreignStarts asks the agent for a login in ways that its own person's browser does not.
func (w *world) foreignStarts(t *testing.T) {
	card := w.insertDoctor(t)
	start := cardwire.StartPath + "e2e/" + strings.Repeat("A", 43)
	for _, c := range []struct {
		name   string
		method string
		path   string
		host   string
		header map[string]string
		status int
	}{
		{name: "Host localhost", path: start, host: fmt.Sprintf("localhost:%d", w.agentPort), status: http.StatusMisdirectedRequest},
		{name: "Host of a name that resolves to 127.0.0.1", path: start, host: fmt.Sprintf("evil.example:%d", w.agentPort), status: http.StatusMisdirectedRequest},
		{name: "Host without the port", path: start, host: "127.0.0.1", status: http.StatusMisdirectedRequest},
		{name: "fetch by a page", path: start, header: map[string]string{"Sec-Fetch-Mode": "cors"}, status: http.StatusForbidden},
		{name: "image of a page", path: start, header: map[string]string{"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, status: http.StatusForbidden},
		{name: "frame of a page", path: start, header: map[string]string{"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, status: http.StatusForbidden},
		{name: "form of a page", method: http.MethodPost, path: start, header: map[string]string{"Sec-Fetch-Mode": "navigate"}, status: http.StatusMethodNotAllowed},
		{name: "unknown gateway", path: cardwire.StartPath + "evil/" + strings.Repeat("A", 43), status: http.StatusNotFound},
		{name: "handle that is none", path: cardwire.StartPath + "e2e/AAAA", status: http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), cmp.Or(c.method, http.MethodGet), w.agentURL(c.path), nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.host != "" {
				r.Host = c.host
			}
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			answer, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != c.status {
				t.Errorf("status %d, want %d", answer.StatusCode, c.status)
			}
		})
	}
	t.Run("unknown gateway, in a browser", func(t *testing.T) {
		tab := w.browser.browser(t)
		tab.open(t, w.agentURL(cardwire.StartPath+"evil/"+strings.Repeat("A", 43)))
		tab.await(t, "Service inconnu de ce poste", "Votre carte n’a pas été utilisée")
	})
	t.Run("Host of a name that resolves to 127.0.0.1, in a browser", func(t *testing.T) {
		tab := w.browser.browser(t)
		tab.open(t, fmt.Sprintf("http://rebound.%s:%d%s", domain, w.agentPort, start))
		tab.await(t, "Demande refusée")
	})
	t.Run("process of another user", func(t *testing.T) {
		out, err := asAnotherUser(t, mustFind(t, "curl", "curl"), "--silent", "--max-time", "20", "--noproxy", "*",
			"--write-out", "%{http_code}", w.agentURL(start))
		if err != nil || !strings.HasSuffix(out, "403") || !strings.Contains(out, "autre utilisateur") {
			t.Errorf("the answer is not 403 «demande d’une autre session»: %v\n%s", err, out)
		}
	})
	if card.Signatures() != 0 || card.TriesLeft() != 3 {
		t.Error("the card was used")
	}
}

// asAnotherUser runs a program as a user who is not the one of the agent: nobody, or root for tests that are not root's.
func asAnotherUser(t *testing.T, path string, args ...string) (string, error) {
	t.Helper()
	if os.Geteuid() != 0 {
		return runTool(t, nil, mustFind(t, "sudo", "sudo"), append([]string{"-n", path}, args...)...)
	}
	return runTool(t, nil, mustFind(t, "util-linux", "setpriv"), append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", path}, args...)...)
}

// foreignNames asks the gateway for names that are not its own, and for one of them on the connection of another (A3, A4).
func (w *world) foreignNames(t *testing.T) {
	address := fmt.Sprintf("127.0.0.1:%d", w.port)
	for _, name := range []string{"", "www." + domain, domain, "127.0.0.1"} {
		conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
			t.Errorf("a handshake for %q succeeds", name)
		}
	}
	conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: "auth." + domain, RootCAs: w.pki.ServerRoots()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: card.%s:%d\r\nContent-Length: 0\r\n\r\n", cardwire.ProvePath, domain, w.port)
	answer, err := io.ReadAll(io.LimitReader(conn, 64<<10))
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 421 ")) {
		t.Errorf("the card host on a connection of the auth host answers %q (%v), want 421", answer, err)
	}
}

// forgedHeaders signs in and then says to be somebody else (B1, B2).
func (w *world) forgedHeaders(t *testing.T) {
	key, cert := w.doctor(t)
	c := w.client(t)
	// A page of the service first: so the login comes back to it.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.mail("/inbox"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "text/html")
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	send(t, c, http.MethodGet, answer.Header.Get("Location"), "", "")
	_, handle := w.begin(t, c)
	next := w.auth(cardwire.CallbackPath + w.prove(t, handle, key, cert))
	for range 3 { // the callback, the entry of the service, its page
		answer, _ := send(t, c, http.MethodGet, next, "", "")
		at, err := url.Parse(next)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode == http.StatusSeeOther {
			to, err := at.Parse(answer.Header.Get("Location"))
			if err != nil {
				t.Fatal(err)
			}
			next = to.String()
		}
	}
	if next != w.mail("/inbox") {
		t.Fatalf("the login ends at %s", next)
	}
	r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, w.mail("/inbox"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"X-Authgw-User", "x_authgw_user", "X-Authgw_National-Id", "X-AUTHGW-NAME", "X-Forwarded-User", "X-Client-Cert"} {
		r.Header[name] = []string{"somebody else"}
	}
	answer, err = c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	page, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil || !strings.Contains(string(page), "899700218896") {
		t.Fatalf("the page is not the person's: %s (%v)\n%s", answer.Status, err, page)
	}
	w.backend.mu.Lock()
	defer w.backend.mu.Unlock()
	for name, values := range w.backend.last {
		if strings.Contains(strings.Join(values, " "), "somebody else") {
			t.Errorf("the service got %s: %q", name, values)
		}
	}
}
