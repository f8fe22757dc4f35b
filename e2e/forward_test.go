package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/testpki"
)

// elsewhere are the other reverse proxies of Debian, each on an address of its own and on the gateway's port, as with names that lead
// to several machines. Each runs the recipe of docs/forward-auth.md, for three services: one that everybody may open, one for nurses,
// and one whose configuration names another proxy.
var elsewhere = []struct {
	name, address string
	start         func(*forwardWorld, *testing.T, string, string)
}{
	{"nginx", "127.0.0.2", (*forwardWorld).startNginx},
	{"caddy", "127.0.0.3", (*forwardWorld).startCaddy},
	{"apache", "127.0.0.4", (*forwardWorld).startApache},
}

// forwardWorld is a gateway, and services behind other proxies.
type forwardWorld struct {
	*world
	service *recorder
	recipes map[string]string // by language
}

func TestForwardAuth(t *testing.T) {
	w := newForwardWorld(t)
	for _, p := range elsewhere {
		t.Run(p.name, func(t *testing.T) {
			p.start(w, t, p.name, p.address)
			for _, c := range []struct {
				name string
				run  func(*forwardWorld, *testing.T, string)
			}{
				{"a page goes through the login and comes back", (*forwardWorld).roundTrip},
				{"a program is told in JSON", (*forwardWorld).programs},
				{"a form is told that it was not sent, and does not reach the gateway", (*forwardWorld).forms},
				{"the service gets a body, which the gateway does not", (*forwardWorld).largeBody},
				{"a rule refuses with a page", (*forwardWorld).ruled},
				{"B1 B2 B3: identity headers of the client do not reach the service", (*forwardWorld).forgedIdentity},
				{"B4: what the client says was asked for is not believed", (*forwardWorld).forgedAddress},
				{"a proxy that the service does not name is not answered", (*forwardWorld).stranger},
				{"C1: no spelling of a path gets past the question", (*forwardWorld).paths},
				{"B8: the gateway's cookies do not reach the service", (*forwardWorld).cookies},
				{"B15: WebSockets of the service's own pages only", (*forwardWorld).webSockets},
				{"a sign-out ends it", (*forwardWorld).signOut},
				{"E9: a session that is over opens nothing", (*forwardWorld).expired},
			} {
				t.Run(c.name, func(t *testing.T) { c.run(w, t, p.name) })
			}
		})
	}
	t.Run("B10: without the gateway nothing is let through", func(t *testing.T) { w.down(t) })
}

func newForwardWorld(t *testing.T) *forwardWorld {
	t.Helper()
	w := &forwardWorld{world: &world{t: t, dir: t.TempDir(), crl: map[string]string{}}, service: newRecorder(t), recipes: map[string]string{}}
	text, err := os.ReadFile("../docs/forward-auth.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if w.recipes[block[1]] == "" {
			w.recipes[block[1]] = block[2]
		}
	}
	if w.pki, err = testpki.New(testpki.Config{CardsOnly: true}); err != nil {
		t.Fatal(err)
	}
	w.writeCertificates(t)
	ports := freePorts(t, 2)
	w.port, w.adminPort = ports[0], ports[1]
	var crls, services strings.Builder
	for _, file := range w.crl {
		fmt.Fprintf(&crls, "    - %s\n", file)
	}
	for _, p := range elsewhere {
		fmt.Fprintf(&services, `
  - {name: %[1]s, host: %[1]s.%[2]s, proxies: [127.0.0.1], title: "Agenda"}
  - {name: %[1]s-nurses, host: %[1]s-nurses.%[2]s, proxies: [127.0.0.1], title: "Soins", allow: {professions: ["60"]}}
  - {name: %[1]s-stranger, host: %[1]s-stranger.%[2]s, proxies: [127.0.0.9], title: "Autre"}
`, p.name, domain)
	}
	w.write(t, "authgw.yaml", fmt.Appendf(nil, `
name: e2e
listen: 127.0.0.1:%d
admin: 127.0.0.1:%d
hosts: {auth: auth.%[3]s, card: card.%[3]s}
tls: [{cert: server.crt, key: server.key}]
card:
  trust: trust
  crls:
%s
services:
%s
session: {idle: 1h, absolute: 1h}
database: authgw.db
log: {level: debug}
`, w.port, w.adminPort, domain, crls.String(), services.String()))
	w.gateway = startProcess(t, nil, binaries.authgw, "serve", "--config", w.path("authgw.yaml"))
	w.gateway.await(t, "authgw serves")
	return w
}

// recipe is the part of the documentation in a language, with the names and places of a service of the test.
func (w *forwardWorld) recipe(t *testing.T, language, service, address string) string {
	t.Helper()
	text := w.recipes[language]
	if text == "" {
		t.Fatalf("docs/forward-auth.md has no recipe in %s", language)
	}
	backend := strings.TrimPrefix(w.service.URL, "http://")
	for _, r := range [][2]string{
		{"agenda.example.fr", service + "." + domain}, {"auth.example.fr", fmt.Sprintf("auth.%s", domain)},
		{"gateway.example.fr:443", fmt.Sprintf("127.0.0.1:%d", w.port)}, {"127.0.0.1:8081", backend},
	} {
		text = strings.ReplaceAll(text, r[0], r[1])
	}
	text = regexp.MustCompile(`/etc/[a-z0-9]+/tls/agenda\.pem`).ReplaceAllString(text, w.path("server.crt"))
	text = regexp.MustCompile(`/etc/[a-z0-9]+/tls/agenda\.key`).ReplaceAllString(text, w.path("server.key"))
	return regexp.MustCompile(`/etc/[a-z0-9]+/tls/authorities\.pem`).ReplaceAllString(text, w.path("root.crt"))
}

func forwardServices(name string) []string {
	return []string{name, name + "-nurses", name + "-stranger"}
}

func (w *forwardWorld) startNginx(t *testing.T, name, address string) {
	var servers strings.Builder
	for i, service := range forwardServices(name) {
		text := w.recipe(t, "nginx", service, address)
		text = strings.Replace(text, "listen 443 ssl", fmt.Sprintf("listen %s:%d ssl", address, w.port), 1)
		// What is outside of the blocks server has names of its own in each.
		text = regexp.MustCompile(`\b(authgw_verify|authgw_own)\b`).ReplaceAllString(text, fmt.Sprintf("${1}_%d", i))
		text = regexp.MustCompile(`\$(service_upgrade|service_connection)\b`).ReplaceAllString(text, fmt.Sprintf("$$${1}_%d", i))
		servers.WriteString(text)
	}
	w.write(t, "nginx.conf", fmt.Appendf(nil, `
daemon off;
master_process off;
pid %[1]s/nginx.pid;
error_log stderr info;
events { worker_connections 256; }
http {
    access_log off;
    client_max_body_size 16m;
    client_body_temp_path %[1]s/nginx-body;
    proxy_temp_path %[1]s/nginx-proxy;
    fastcgi_temp_path %[1]s/nginx-fastcgi;
    uwsgi_temp_path %[1]s/nginx-uwsgi;
    scgi_temp_path %[1]s/nginx-scgi;
    server_names_hash_bucket_size 128;
%[2]s
}
`, w.dir, servers.String()))
	startProcess(t, nil, mustFind(t, "nginx-light", "nginx", "/usr/sbin/nginx"), "-e", "stderr", "-p", w.dir, "-c", w.path("nginx.conf"))
	w.awaitPort(t, address)
}

func (w *forwardWorld) startCaddy(t *testing.T, name, address string) {
	var sites strings.Builder
	for _, service := range forwardServices(name) {
		text := w.recipe(t, "caddyfile", service, address)
		host := service + "." + domain
		sites.WriteString(strings.Replace(text, host+" {", fmt.Sprintf("https://%s:%d {\n\tbind %s", host, w.port, address), 1))
	}
	w.write(t, "Caddyfile", fmt.Appendf(nil, "{\n\tadmin off\n\tauto_https off\n\tstorage file_system %s\n}\n%s", w.path("caddy"), sites.String()))
	startProcess(t, []string{"HOME=" + w.dir, "XDG_CONFIG_HOME=" + w.dir, "XDG_DATA_HOME=" + w.dir},
		mustFind(t, "caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", w.path("Caddyfile"))
	w.awaitPort(t, address)
}

func (w *forwardWorld) startApache(t *testing.T, name, address string) {
	port := freePorts(t, 1)[0]
	var hosts strings.Builder
	for i, service := range forwardServices(name) {
		script := fmt.Sprintf("authgw-%s.lua", service)
		lua := w.recipe(t, "lua", service, address)
		w.write(t, script, []byte(strings.ReplaceAll(lua, "127.0.0.1:8099", fmt.Sprintf("127.0.0.1:%d", port))))
		text := strings.ReplaceAll(w.recipe(t, "apache", service, address), "127.0.0.1:8099", fmt.Sprintf("127.0.0.1:%d", port))
		text = strings.ReplaceAll(text, "*:443", fmt.Sprintf("%s:%d", address, w.port))
		text = strings.ReplaceAll(text, "/etc/apache2/authgw.lua", w.path(script))
		if i > 0 { // the way to the gateway is there once
			_, text, _ = strings.Cut(text, "</VirtualHost>")
		}
		hosts.WriteString(text)
	}
	var modules strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_host", "ssl", "socache_shmcb", "lua", "proxy", "proxy_http"} {
		fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
	}
	w.write(t, "apache.conf", fmt.Appendf(nil, `
%[2]s
ServerRoot %[1]s
ServerName localhost
PidFile %[1]s/apache.pid
DefaultRuntimeDir %[1]s
Mutex file:%[1]s default
ErrorLog /dev/stderr
Listen %[3]s:%[4]d
%[5]s
`, w.dir, modules.String(), address, w.port, hosts.String()))
	startProcess(t, nil, mustFind(t, "apache2-bin", "apache2", "/usr/sbin/apache2"), "-f", w.path("apache.conf"), "-X")
	w.awaitPort(t, address)
}

func (w *forwardWorld) awaitPort(t *testing.T, address string) {
	t.Helper()
	eventually(t, address+" answers", func() error {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("%s:%d", address, w.port), time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// recorder is a service that keeps what reaches it.
type recorder struct {
	*httptest.Server
	mu   sync.Mutex
	seen []*http.Request
	size int64 // of the last body
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	s := &recorder{}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, _ := io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.seen, s.size = append(s.seen, r), n
	s.mu.Unlock()
	if r.Header.Get("Upgrade") == "websocket" {
		conn, brw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = brw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
		_ = brw.Flush() // the test sees what is missing
		return
	}
	fmt.Fprintf(w, "the agenda, for %s", r.Header.Get("X-Authgw-National-Id"))
}

// take returns what has reached the service since, and forgets it.
func (s *recorder) take() ([]*http.Request, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.seen
	s.seen = nil
	return all, s.size
}

// visitor is a person's browser: cookies, and the headers of a navigation.
type visitor struct {
	t *testing.T
	w *forwardWorld
	*http.Client
}

func (w *forwardWorld) visitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: w.dial, TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots(), MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &visitor{t, w, &http.Client{Jar: jar, Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// dial goes where a name leads to.
func (w *forwardWorld) dial(ctx context.Context, network, name string) (net.Conn, error) {
	address := "127.0.0.1"
	for _, p := range elsewhere {
		if strings.HasPrefix(name, p.name) {
			address = p.address
		}
	}
	return new(net.Dialer).DialContext(ctx, network, fmt.Sprintf("%s:%d", address, w.port))
}

var pageHeaders = []string{"Accept", "text/html", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "none"}
var scriptHeaders = []string{"Accept", "application/json", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"}

// ask sends a request whose path goes out as it is written. Headers come in pairs, in the spelling that is given.
func (v *visitor) ask(method, address string, body io.Reader, headers ...string) (*http.Response, string) {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), method, address, body)
	if err != nil {
		v.t.Fatal(err)
	}
	if _, rest, ok := strings.Cut(strings.TrimPrefix(address, "https://"), "/"); ok {
		r.URL.Opaque = "/" + rest
		r.URL.RawQuery = ""
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	answer, err := v.Do(r)
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, address, err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		v.t.Fatalf("%s %s: %v", method, address, err)
	}
	return answer, string(data)
}

// open opens a page and goes where it leads, until it comes to the login or to a page; it returns that.
func (v *visitor) open(address string) (*http.Response, string, string) {
	v.t.Helper()
	for range 10 {
		answer, body := v.ask(http.MethodGet, address, nil, pageHeaders...)
		to := answer.Header.Get("Location")
		if _, next, ok := strings.Cut(answer.Header.Get("Refresh"), "; url="); ok {
			to = next
		}
		if to == "" {
			return answer, body, address
		}
		at, err := url.Parse(address)
		if err != nil {
			v.t.Fatal(err)
		}
		next, err := at.Parse(to)
		if err != nil {
			v.t.Fatal(err)
		}
		address = next.String()
		if strings.HasPrefix(to, "https://") {
			address = to // to the letter
		}
	}
	v.t.Fatalf("too many redirects; the last is to %s", address)
	return nil, "", ""
}

// logIn opens a page of a service without a session, signs in with the card, and returns what is shown then, and where.
func (v *visitor) logIn(address string) (status int, body, at string) {
	v.t.Helper()
	answer, body, at := v.open(address)
	if !strings.HasPrefix(at, v.w.auth("/login")) || answer.StatusCode != http.StatusOK {
		v.t.Fatalf("%s leads to %s (%s), want the login\n%.500s", address, at, answer.Status, body)
	}
	begun, body := v.ask(http.MethodPost, v.w.auth("/login/card"), nil, "Sec-Fetch-Site", "same-origin")
	handle := begun.Header.Get("Location")
	handle = handle[strings.LastIndexByte(handle, '/')+1:]
	if handle == "" {
		v.t.Fatalf("POST /login/card: %s\n%.300s", begun.Status, body)
	}
	key, cert := v.w.doctor(v.t)
	answer, body, at = v.open(v.w.auth(cardwire.CallbackPath + v.w.prove(v.t, handle, key, cert)))
	return answer.StatusCode, body, at
}

// signedIn is a visitor with a session at a service.
func (w *forwardWorld) signedIn(t *testing.T, name string) *visitor {
	t.Helper()
	v := w.visitor(t)
	if status, body, _ := v.logIn(w.origin(name) + "/"); status != http.StatusOK || !strings.Contains(body, "899700218896") {
		t.Fatalf("after the login: %d\n%.500s", status, body)
	}
	w.service.take()
	return v
}

func (w *forwardWorld) roundTrip(t *testing.T, name string) {
	page := w.origin(name) + "/day//2026?view=week&x=a%2Fb;c"
	v := w.visitor(t)
	w.service.take()
	status, body, at := v.logIn(page)
	if status != http.StatusOK || at != page || body != "the agenda, for 899700218896" {
		t.Fatalf("after the login: %d at %s, want 200 at %s:\n%.500s", status, at, page, body)
	}
	seen, _ := w.service.take()
	if len(seen) != 1 {
		t.Fatalf("%d requests reached the service, want one", len(seen))
	}
	h := seen[0].Header
	if h.Get("X-Authgw-Name") != "HÉLÈNE D'ARTAGNAN-LE GOFF" || h.Get("X-Authgw-User") == "" || h.Get("X-Authgw-Acr") == "" {
		t.Errorf("headers of the service = %v", h)
	}
	// The assertion is for this service alone.
	_, keys := v.ask(http.MethodGet, w.auth("/oauth/keys"), nil)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(keys), &set); err != nil {
		t.Fatal(err)
	}
	assertion, err := jwt.ParseSigned(h.Get("X-Authgw-Assertion"), []jose.SignatureAlgorithm{jose.ES256})
	var claims jwt.Claims
	if err == nil {
		err = assertion.Claims(set, &claims)
	}
	if err != nil || !slices.Equal(claims.Audience, jwt.Audience{name}) || claims.Subject != h.Get("X-Authgw-User") || claims.Issuer != w.origin("auth") {
		t.Errorf("assertion = %+v, %v", claims, err)
	}
	// The question is not the browser's to see.
	answer, _ := v.ask(http.MethodGet, page, nil, pageHeaders...)
	for header := range answer.Header {
		if strings.HasPrefix(header, "X-Authgw") {
			t.Errorf("the browser is told %s", header)
		}
	}
}

func (w *forwardWorld) programs(t *testing.T, name string) {
	w.service.take()
	for _, headers := range [][]string{scriptHeaders, {"X-Requested-With", "XMLHttpRequest", "Accept", "text/html"}, {"Accept", "*/*"}} {
		answer, body := w.visitor(t).ask(http.MethodGet, w.origin(name)+"/api/days", nil, headers...)
		var said struct{ Error, Login string }
		if err := json.Unmarshal([]byte(body), &said); err != nil || answer.StatusCode != http.StatusUnauthorized || said.Error != "login_required" || said.Login != w.origin(name)+"/" {
			t.Errorf("with %v: %s %q (%v)", headers, answer.Status, body, err)
		}
		if got := answer.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control = %q, want no-store", got)
		}
	}
	if seen, _ := w.service.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the service", len(seen))
	}
}

func (w *forwardWorld) forms(t *testing.T, name string) {
	w.service.take()
	answer, body := w.visitor(t).ask(http.MethodPost, w.origin(name)+"/day", strings.NewReader("text=x"), append(slices.Clone(pageHeaders), "Content-Type", "application/x-www-form-urlencoded")...)
	if answer.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "Votre session est terminée") {
		t.Errorf("a form without a session: %s\n%.300s", answer.Status, body)
	}
	answer, body = w.visitor(t).ask(http.MethodPost, w.origin(name)+"/upload", bytes.NewReader(make([]byte, 1<<20)), append(slices.Clone(scriptHeaders), "Content-Type", "application/octet-stream")...)
	if answer.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `"login_required"`) {
		t.Errorf("an upload without a session: %s\n%.300s", answer.Status, body)
	}
	if seen, _ := w.service.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the service", len(seen))
	}
}

func (w *forwardWorld) largeBody(t *testing.T, name string) {
	const size = 8 << 20 // the gateway would refuse one of 64 KiB
	v := w.signedIn(t, name)
	answer, body := v.ask(http.MethodPost, w.origin(name)+"/upload", bytes.NewReader(make([]byte, size)), scriptHeaders...)
	seen, got := w.service.take()
	if answer.StatusCode != http.StatusOK || len(seen) != 1 || seen[0].Method != http.MethodPost || got != size {
		t.Errorf("an upload: %s, %d requests, %d bytes:\n%.300s", answer.Status, len(seen), got, body)
	}
}

func (w *forwardWorld) ruled(t *testing.T, name string) {
	v := w.signedIn(t, name)
	nurses := w.origin(name + "-nurses")
	// The auth host refuses a doctor who comes for it; the proxy must refuse one who has a session there from before the rule.
	if answer, body, at := v.open(nurses + "/"); answer.StatusCode != http.StatusForbidden || !strings.HasPrefix(at, w.origin("auth")) {
		t.Errorf("the page of a service for others: %s at %s\n%.300s", answer.Status, at, body)
	}
	before, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.reload(t, bytes.ReplaceAll(before, []byte(`, allow: {professions: ["60"]}`), nil))
	defer w.reload(t, before)
	if answer, body, at := v.open(nurses + "/"); answer.StatusCode != http.StatusOK || at != nurses+"/" {
		t.Fatalf("without the rule: %s at %s\n%.300s", answer.Status, at, body)
	}
	w.reload(t, before)
	w.service.take()
	answer, body := v.ask(http.MethodGet, nurses+"/", nil, pageHeaders...)
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(body, "<h1") || !strings.Contains(answer.Header.Get("Content-Type"), "text/html") {
		t.Errorf("a page: %s %v\n%.500s", answer.Status, answer.Header, body)
	}
	answer, body = v.ask(http.MethodGet, nurses+"/", nil, scriptHeaders...)
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(body, `"service_not_allowed"`) {
		t.Errorf("a script: %s %q", answer.Status, body)
	}
	if seen, _ := w.service.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the service", len(seen))
	}
}

// reload puts a configuration in force.
func (w *forwardWorld) reload(t *testing.T, text []byte) {
	t.Helper()
	now, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(now, text) {
		return
	}
	taken := strings.Count(w.gateway.out.String(), `"config_loaded"`)
	w.write(t, "authgw.yaml", text)
	if err := w.gateway.cmd.Process.Signal(syscall.SIGHUP); err != nil { // as systemctl reload does
		t.Fatal(err)
	}
	eventually(t, "the configuration is taken", func() error {
		if n := strings.Count(w.gateway.out.String(), `"config_loaded"`); n == taken {
			return fmt.Errorf("still %d", n)
		}
		return nil
	})
}

// spellings of a header's name that some server takes for X-Authgw-User.
var spellings = []string{
	"X-Authgw-User", "x-authgw-user", "X_Authgw_User", "x_authgw_user", "X-Authgw_User", "X_Authgw-User", "X.Authgw.User", "X-Authgw.User", "X!Authgw!User", "x~authgw-user",
	"X-Authgw-National-Id", "X-Authgw-Email", "X-AUTHGW-ASSERTION", "X-Authgw-Roles", "X_Authgw_Assertion",
}

func (w *forwardWorld) forgedIdentity(t *testing.T, name string) {
	v := w.signedIn(t, name)
	const lie = "somebody-else"
	check := func(t *testing.T, what string, answer *http.Response) {
		t.Helper()
		seen, _ := w.service.take()
		for _, r := range seen {
			for header, values := range r.Header {
				if strings.Contains(strings.Join(values, " "), lie) && !strings.EqualFold(header, "Connection") {
					t.Errorf("%s: the service got %s: %q", what, header, values)
				}
			}
			if r.Header.Get("X-Authgw-User") == "" || r.Header.Get("X-Authgw-Assertion") == "" || r.Header.Get("X-Authgw-National-Id") != "899700218896" {
				t.Errorf("%s: the service got no identity: %v", what, r.Header)
			}
		}
		if len(seen) == 0 && answer.StatusCode == http.StatusOK {
			t.Errorf("%s: %s, and nothing reached the service", what, answer.Status)
		}
	}
	for _, spelling := range spellings {
		answer, _ := v.ask(http.MethodGet, w.origin(name)+"/", nil, append(slices.Clone(pageHeaders), spelling, lie)...)
		check(t, spelling, answer)
		// And by who has no session: nothing reaches the service at all.
		w.visitor(t).ask(http.MethodGet, w.origin(name)+"/", nil, append(slices.Clone(scriptHeaders), spelling, lie)...)
		if seen, _ := w.service.take(); len(seen) != 0 {
			t.Errorf("%s: a request of nobody reached the service", spelling)
		}
	}
	for _, list := range []string{"X-Authgw-User", "close, X-Authgw-User, X-Authgw-Assertion, X-Authgw-National-Id, Cookie", "x-authgw-user, keep-alive"} {
		answer, _ := v.ask(http.MethodGet, w.origin(name)+"/", nil, append(slices.Clone(pageHeaders), "Connection", list)...)
		check(t, "Connection: "+list, answer)
	}
}

func (w *forwardWorld) forgedAddress(t *testing.T, name string) {
	v := w.signedIn(t, name)
	// A doctor asks the service for nurses, and says that it is the other one, with the cookie of that one.
	u, err := url.Parse(w.origin(name))
	if err != nil {
		t.Fatal(err)
	}
	nurses, err := url.Parse(w.origin(name + "-nurses"))
	if err != nil {
		t.Fatal(err)
	}
	v.Jar.SetCookies(nurses, v.Jar.Cookies(u))
	for _, headers := range [][]string{
		{},
		{"X-Forwarded-Host", u.Host}, {"x-forwarded-host", u.Hostname()}, {"X_Forwarded_Host", u.Host},
		{"X-Forwarded-Host", u.Host, "X-Forwarded-Host", u.Hostname()},
		{"X-Original-Host", u.Host, "X-Forwarded-Server", u.Host, "Forwarded", "host=" + u.Host},
		{"X-Forwarded-For", "127.0.0.1", "X-Real-Ip", "127.0.0.1"},
		{"Connection", "X-Forwarded-Host, X-Forwarded-Uri"},
		{"X-Forwarded-Uri", "/.authgw/start", "X-Original-Url", "/.authgw/start", "X-Rewrite-Url", "/.authgw/start"},
		{"X-Forwarded-Proto", "http"}, {"X-Forwarded-Method", "OPTIONS"},
	} {
		answer, body := v.ask(http.MethodGet, w.origin(name+"-nurses")+"/", nil, append(slices.Clone(scriptHeaders), headers...)...)
		if seen, _ := w.service.take(); len(seen) != 0 || answer.StatusCode < 400 {
			t.Errorf("with %q: %s, %d requests at the service\n%.300s", headers, answer.Status, len(seen), body)
		}
	}
	// A Host that is not the name of the handshake, in case the proxy takes it for a request of this service anyway.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, nurses.String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = u.Host
	for _, c := range v.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	answer, err := v.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if seen, _ := w.service.take(); len(seen) > 0 && seen[0].Header.Get("X-Authgw-User") == "" {
		t.Errorf("a request of nobody reached the service: %v", seen[0].Header)
	}
	// Where the person comes back to is what they asked for, not what else they say (F2).
	said, body := w.visitor(t).ask(http.MethodGet, w.origin(name)+"/day", nil, append(slices.Clone(pageHeaders), "X-Forwarded-Uri", "//evil.example/", "X-Forwarded-Host", "evil.example")...)
	to := said.Header.Get("Location")
	if want := w.origin(name) + "/.authgw/start?to=%2Fday"; to != want {
		t.Errorf("the login begins at %q (%s), want %q\n%.300s", to, said.Status, want, body)
	}
}

func (w *forwardWorld) stranger(t *testing.T, name string) {
	v := w.signedIn(t, name)
	for _, headers := range [][]string{pageHeaders, scriptHeaders} {
		answer, body := v.ask(http.MethodGet, w.origin(name+"-stranger")+"/", nil, headers...)
		if seen, _ := w.service.take(); len(seen) != 0 || answer.StatusCode < 400 {
			t.Errorf("a service that names another proxy: %s, %d requests\n%.300s", answer.Status, len(seen), body)
		}
	}
	// Somebody else asks the gateway itself, with the cookie of a session and the right words.
	u, err := url.Parse(w.origin(name))
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]int{"127.0.0.1": http.StatusOK, "127.0.0.9": http.StatusBadRequest} {
		transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			return d.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", w.port))
		}, TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots(), MinVersion: tls.VersionTLS12}}
		t.Cleanup(transport.CloseIdleConnections)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.auth("/auth/verify"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, s := range map[string]string{"X-Forwarded-Host": u.Host, "X-Forwarded-Proto": "https", "X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/", "X-Forwarded-For": "127.0.0.1"} {
			r.Header.Set(k, s)
		}
		for _, c := range v.Jar.Cookies(u) {
			r.AddCookie(c)
		}
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || (answer.Header.Get("X-Authgw-User") != "") != (want == http.StatusOK) {
			t.Errorf("asked from %s: %s, want %d", from, answer.Status, want)
		}
	}
}

func (w *forwardWorld) paths(t *testing.T, name string) {
	w.service.take()
	for _, path := range []string{
		"/.authgw/../inbox", "/.authgw/..%2finbox", "/.authgw/%2e%2e/inbox", "/.authgw/%2e%2e%2finbox", "/.authgw/..%5cinbox", "/.authgw/..;/inbox", "/.authgw;/../inbox",
		"//.authgw/../inbox", "/x/../.authgw/../inbox", "/.authgw//../../inbox", "/.authgw%2f..%2finbox", "/.authgw/%252e%252e/inbox", "/.AUTHGW/inbox", "/.authgw", "/.authgw?x",
		"/.authgw/static/../../inbox", "/_authgw", "/_authgw/", "/%5fauthgw", "//_authgw", "/auth/verify", "/.authgw/./../inbox", "/inbox%00/.authgw/", "/inbox?/.authgw/", "/inbox#/.authgw/", "/inbox/.authgw/",
	} {
		for _, headers := range [][]string{pageHeaders, scriptHeaders} {
			conn, err := tls.Dial("tcp", fmt.Sprintf("%s:%d", addressOf(name), w.port), &tls.Config{ServerName: name + "." + domain, RootCAs: w.pki.ServerRoots()})
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(patience)) // as good as no deadline when it fails
			var b strings.Builder
			fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s.%s:%d\r\nConnection: close\r\n", path, name, domain, w.port)
			for i := 0; i < len(headers); i += 2 {
				fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
			}
			if _, err := io.WriteString(conn, b.String()+"\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			conn.Close()
			if seen, _ := w.service.take(); len(seen) != 0 || answer.StatusCode == http.StatusOK {
				t.Errorf("GET %s: %s, and %d requests reached the service", path, answer.Status, len(seen))
			}
			for header := range answer.Header {
				if header == "X-Authgw-User" || header == "X-Authgw-Assertion" {
					t.Errorf("GET %s shows %s", path, header)
				}
			}
		}
	}
}

func addressOf(name string) string {
	for _, p := range elsewhere {
		if p.name == name {
			return p.address
		}
	}
	return ""
}

func (w *forwardWorld) cookies(t *testing.T, name string) {
	v := w.signedIn(t, name)
	u, err := url.Parse(w.origin(name))
	if err != nil {
		t.Fatal(err)
	}
	for _, cookies := range []string{"", "a=1; b=2", "__Host-authgw-login=x; a=1", "__HOST-Authgw-login=x"} {
		session := ""
		for _, c := range v.Jar.Cookies(u) {
			if c.Name == "__Host-authgw" {
				session = c.Value
			}
		}
		other := &visitor{t, w, &http.Client{Transport: v.Transport, Timeout: patience}}
		line := strings.TrimSuffix("__Host-authgw="+session+"; "+cookies, "; ")
		answer, body := other.ask(http.MethodGet, w.origin(name)+"/", nil, append(slices.Clone(pageHeaders), "Cookie", line)...)
		seen, _ := w.service.take()
		if len(seen) != 1 {
			t.Fatalf("with %q: %s\n%.300s", cookies, answer.Status, body)
		}
		got := strings.Join(seen[0].Header["Cookie"], "; ")
		if strings.Contains(strings.ToLower(got), "authgw") || strings.Contains(got, session) || strings.Contains(got, "a=1") != strings.Contains(cookies, "a=1") {
			t.Errorf("with %q: the service got the cookies %q", cookies, got)
		}
	}
}

func (w *forwardWorld) webSockets(t *testing.T, name string) {
	v := w.signedIn(t, name)
	u, err := url.Parse(w.origin(name))
	if err != nil {
		t.Fatal(err)
	}
	var line []string
	for _, c := range v.Jar.Cookies(u) {
		line = append(line, c.Name+"="+c.Value)
	}
	for _, c := range []struct {
		what, origin, cookie, upgrade string
		want                          int
	}{
		{"a page of the service", w.origin(name), strings.Join(line, "; "), "websocket", http.StatusSwitchingProtocols},
		{"a page of somebody else", "https://evil.example", strings.Join(line, "; "), "websocket", http.StatusForbidden},
		{"without a session", w.origin(name), "", "websocket", http.StatusUnauthorized},
	} {
		conn, err := tls.Dial("tcp", fmt.Sprintf("%s:%d", addressOf(name), w.port), &tls.Config{ServerName: u.Hostname(), RootCAs: w.pki.ServerRoots()})
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience)) // as good as no deadline when it fails
		fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: %s\r\nCookie: %s\r\n\r\n",
			u.Host, c.upgrade, c.origin, c.cookie)
		reader := bufio.NewReader(conn)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if answer.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", c.what, answer.Status, c.want)
		} else if c.want == http.StatusSwitchingProtocols {
			hello := make([]byte, 5)
			if _, err := io.ReadFull(reader, hello); err != nil || string(hello) != "hello" {
				t.Errorf("%s: %q, %v", c.what, hello, err)
			}
		}
		conn.Close()
	}
	w.service.take()
}

func (w *forwardWorld) signOut(t *testing.T, name string) {
	v := w.signedIn(t, name)
	// The link of the service, on its own host; the tour visits it and ends at the auth host.
	answer, body := v.ask(http.MethodGet, w.origin(name)+"/.authgw/logout", nil, append(slices.Clone(pageHeaders[:6]), "Sec-Fetch-Site", "same-origin")...)
	_, next, _ := strings.Cut(answer.Header.Get("Refresh"), "; url=")
	if answer.StatusCode != http.StatusOK || next == "" {
		t.Fatalf("the link: %s\n%.300s", answer.Status, body)
	}
	if last, body, at := v.open(next); at != w.auth("/logout") || last.StatusCode != http.StatusOK {
		t.Errorf("the sign-out ends at %s: %s\n%.300s", at, last.Status, body)
	}
	if _, _, at := v.open(w.origin(name) + "/"); !strings.HasPrefix(at, w.auth("/login")) {
		t.Errorf("afterwards the service's page leads to %s", at)
	}

	// And a sign-out at the auth host makes the cookie of the service worth nothing, also where the browser has not been on its tour.
	v = w.signedIn(t, name)
	v.ask(http.MethodPost, w.auth("/logout"), nil, "Sec-Fetch-Site", "same-origin")
	w.service.take()
	answer, _ = v.ask(http.MethodGet, w.origin(name)+"/", nil, scriptHeaders...)
	if seen, _ := w.service.take(); answer.StatusCode != http.StatusUnauthorized || len(seen) != 0 {
		t.Errorf("after the sign-out elsewhere: %s, %d requests", answer.Status, len(seen))
	}
}

func (w *forwardWorld) expired(t *testing.T, name string) {
	v := w.signedIn(t, name)
	before, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// The limit of idleness is lowered to a second, and passes.
	w.reload(t, bytes.ReplaceAll(before, []byte("session: {idle: 1h"), []byte("session: {idle: 1s")))
	defer w.reload(t, before)
	time.Sleep(1500 * time.Millisecond) // the thing itself: nothing is asked meanwhile, because asking is not being idle
	w.service.take()
	answer, body := v.ask(http.MethodGet, w.origin(name)+"/", nil, scriptHeaders...)
	if seen, _ := w.service.take(); answer.StatusCode != http.StatusUnauthorized || len(seen) != 0 {
		t.Errorf("after the limit: %s, %d requests\n%.300s", answer.Status, len(seen), body)
	}
}

// down stops the gateway and asks the proxies, which are started anew for it.
func (w *forwardWorld) down(t *testing.T) {
	sessions := map[string]*visitor{}
	for _, p := range elsewhere {
		p.start(w, t, p.name, p.address)
		sessions[p.name] = w.signedIn(t, p.name)
	}
	w.gateway.stop(t)
	for name, v := range sessions {
		for _, headers := range [][]string{pageHeaders, scriptHeaders} {
			answer, body := v.ask(http.MethodGet, w.origin(name)+"/", nil, headers...)
			if seen, _ := w.service.take(); answer.StatusCode < 500 || len(seen) != 0 {
				t.Errorf("%s without the gateway: %s, %d requests\n%.300s", name, answer.Status, len(seen), body)
			}
		}
	}
}
