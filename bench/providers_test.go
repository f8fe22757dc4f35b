package bench

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/testpki"
)

// startAuthgw starts the gateway with a client and as many sessions as there are visitors.
func startAuthgw(b *testing.B) *provider {
	b.Helper()
	dir := b.TempDir()
	program := build(b, dir)
	secret := make([]byte, 32)
	rand.Read(secret)
	p := &provider{name: "authgw", client: oidcClient, secret: base64.RawURLEncoding.EncodeToString(secret)}
	for name, text := range map[string]string{
		"seal.keys": "k1 " + base64.StdEncoding.EncodeToString(secret) + "\n", "agenda.secret": p.secret + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	w := configure(b, dir, "http://127.0.0.1:9", "seal_keys: seal.keys\n", fmt.Sprintf(`clients:
  - {id: %s, title: Agenda, secret_file: agenda.secret, redirect_uris: [%q], scopes: [openid, profile, email], introspect: true}
`, oidcClient, oidcRedirect))
	cookies := fillSessions(b, filepath.Join(dir, "authgw.db"), oidcVisitors)
	p.process, _, _ = start(b, program, w)
	auth := &url.URL{Scheme: "https", Host: hosts[0].name}
	for i := range oidcVisitors {
		c := browser(b, &tls.Config{RootCAs: w.pki.ServerRoots(), MinVersion: tls.VersionTLS12}, func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, w.listen)
		})
		c.Jar.SetCookies(auth, []*http.Cookie{{Name: "__Host-authgw", Value: cookies[i][0], Path: "/", Secure: true}})
		p.browsers = append(p.browsers, c)
	}
	base := auth.String() + "/oauth"
	p.authorize, p.token, p.userinfo, p.introspect = base+"/authorize", base+"/token", base+"/userinfo", base+"/introspect"
	return p
}

// startNPM installs oidc-provider, in the versions of the lock file of internal/psctest, and starts it.
func startNPM(b *testing.B) *provider {
	b.Helper()
	dir := b.TempDir()
	for from, to := range map[string]string{
		"../internal/psctest/npm/.npmrc": ".npmrc", "../internal/psctest/npm/package.json": "package.json",
		"../internal/psctest/npm/package-lock.json": "package-lock.json", "testdata/oidc-provider.mjs": "server.mjs",
	} {
		data, err := os.ReadFile(from)
		if err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), data, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	install := exec.CommandContext(b.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		b.Fatalf("npm ci: %v\n%s", err, out)
	}
	cmd := exec.Command("node", "server.mjs")
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	cmd.Env = append(os.Environ(), "NODE_ENV=production")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close() // its end
		_ = cmd.Wait()
	})
	pki, err := testpki.New(testpki.Config{})
	if err != nil {
		b.Fatal(err)
	}
	cert, err := pki.ServerCertificate("localhost")
	if err != nil {
		b.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		b.Fatal(err)
	}
	input, err := json.Marshal(map[string]string{
		"issuer": "https://localhost", "client": oidcClient, "secret": "secret", "redirect_uri": oidcRedirect,
		"cert": string(testpki.CertificatePEM(cert.Leaf)), "key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := stdin.Write(append(input, '\n')); err != nil {
		b.Fatal(err)
	}
	port, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatalf("oidc-provider does not start: %v", err)
	}
	base := "https://localhost:" + strings.TrimSpace(port)
	p := &provider{name: "oidc-provider", process: cmd.Process.Pid, client: oidcClient, secret: "secret",
		authorize: base + "/auth", token: base + "/token", userinfo: base + "/me", introspect: base + "/token/introspection"}
	for range oidcVisitors {
		p.browsers = append(p.browsers, browser(b, &tls.Config{RootCAs: pki.ServerRoots(), MinVersion: tls.VersionTLS12}, nil))
	}
	return p
}

// startExampleServer builds the example server of the library, in the version that the module has, and starts it.
func startExampleServer(b *testing.B) *provider {
	b.Helper()
	const library = "github.com/zitadel/oidc/v3"
	dir := b.TempDir()
	version, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", library).Output()
	if err != nil {
		b.Fatalf("go list: %v", err)
	}
	install := exec.CommandContext(b.Context(), "go", "install", library+"/example/server@"+strings.TrimSpace(string(version)))
	install.Env = append(os.Environ(), "GOBIN="+dir)
	if out, err := install.CombinedOutput(); err != nil {
		b.Fatalf("go install: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	cmd := exec.Command(filepath.Join(dir, "server"))
	cmd.Env = append(os.Environ(), "PORT="+port, "REDIRECT_URI="+oidcRedirect)
	if err := cmd.Start(); err != nil { // what it logs goes nowhere
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill() // it knows no other end
		_ = cmd.Wait()
	})
	base := "http://localhost:" + port
	p := &provider{
		name: "example", process: cmd.Process.Pid, client: "web", secret: "secret",
		authorize: base + "/auth", token: base + "/oauth/token", userinfo: base + "/userinfo",
		login: func(page *url.URL) *http.Request {
			form := url.Values{"id": {page.Query().Get("authRequestID")}, "username": {"test-user@localhost"}, "password": {"verysecure"}}
			return &http.Request{
				Method: http.MethodPost, URL: page, Body: io.NopCloser(strings.NewReader(form.Encode())),
				Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
			}
		},
	}
	for range oidcVisitors {
		p.browsers = append(p.browsers, browser(b, nil, nil))
	}
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, _, err := send(b.Context(), p.browsers[0], &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: "localhost:" + port, Path: "/ready"}})
		if err == nil {
			return p
		}
		if time.Now().After(deadline) {
			b.Fatalf("the example server does not listen: %v", err)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
}

// browser is one with a cookie jar, and one connection for each host.
func browser(b *testing.B, tlsConfig *tls.Config, dial func(context.Context, string, string) (net.Conn, error)) *http.Client {
	b.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: tlsConfig, DialContext: dial, DisableCompression: true, MaxConnsPerHost: 1}
	b.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}
