package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

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
	places  map[string]string // where names lead to that begin so, beside those of elsewhere
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
	for prefix, place := range w.places {
		if strings.HasPrefix(name, prefix) {
			address = place
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
