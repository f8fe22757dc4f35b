package psctest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"embed"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/pscstub"
)

// npmFiles are what is installed: oidc-provider in the versions of the lock file, whose hashes npm checks, and our script.
//
//go:embed npm/.npmrc npm/package.json npm/package-lock.json npm/server.mjs
var npmFiles embed.FS

// NPM is oidc-provider.
type NPM struct{ dir string }

var _ Kind = (*NPM)(nil)

// InstallNPM installs oidc-provider until the end of the test, for as many Starts as it likes.
func InstallNPM(tb testing.TB) *NPM {
	tb.Helper()
	n, err := InstallNPMIn(tb.Context(), tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

// InstallNPMIn installs oidc-provider in an empty directory, for a TestMain, so that all tests of a package have one installation.
func InstallNPMIn(ctx context.Context, dir string) (*NPM, error) {
	for _, name := range []string{".npmrc", "package.json", "package-lock.json", "server.mjs"} {
		data, err := npmFiles.ReadFile("npm/" + name)
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return nil, err
		}
	}
	ctx, done := context.WithTimeout(ctx, 5*time.Minute) // a slow disk and a slow network
	defer done()
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir, cmd.WaitDelay = dir, patience
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("psctest: npm ci: %w\n%s", err, out)
	}
	return &NPM{dir: dir}, nil
}

// String returns its name.
func (*NPM) String() string { return "oidc-provider" }

// Start runs it in a process of its own, which ends with the test, and with the test's process when that is killed.
func (n *NPM) Start(tb testing.TB, c Config) *Server {
	tb.Helper()
	return start(tb, c, n)
}

func (n *NPM) start(tb testing.TB, c pscstub.Config) http.Handler {
	tb.Helper()
	input, err := npmInput(c)
	if err != nil {
		tb.Fatal(err)
	}
	cmd := exec.Command("node", "server.mjs")
	cmd.Dir, cmd.WaitDelay = n.dir, patience
	said := &transcript{}
	cmd.Stderr = said
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("node: %v", err)
	}
	tb.Cleanup(func() {
		stdin.Close() // its end
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait() // what it ended with is nobody's concern
		if tb.Failed() {
			tb.Logf("oidc-provider said:\n%s", said)
		}
	})
	if _, err := stdin.Write(append(input, '\n')); err != nil {
		tb.Fatalf("oidc-provider takes no configuration: %v\n%s", err, said)
	}
	return n.proxy(tb, c, "127.0.0.1:"+port(tb, stdout, said))
}

// port reads where the process listens.
func port(tb testing.TB, stdout io.Reader, said fmt.Stringer) string {
	tb.Helper()
	lines := make(chan string, 1)
	go func() { // ends with the line, or with the process
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		lines <- strings.TrimSpace(line)
	}()
	select {
	case line := <-lines:
		if _, err := strconv.ParseUint(line, 10, 16); err != nil {
			tb.Fatalf("oidc-provider does not start:\n%s", said)
		}
		return line
	case <-time.After(patience):
		tb.Fatalf("oidc-provider does not listen after %v:\n%s", patience, said)
	}
	return "" // unreachable
}

// npmInput is the configuration that the script reads.
func npmInput(c pscstub.Config) ([]byte, error) {
	page, err := pscstub.ChoicePage("__CLIENT__", "/__ACTION__", c.People)
	if err != nil {
		return nil, err
	}
	style, err := pscstub.Style()
	if err != nil {
		return nil, err
	}
	type client struct {
		ID           string   `json:"id"`
		Secret       string   `json:"secret"`
		Subject      string   `json:"subject"`
		RedirectURIs []string `json:"redirect_uris"`
		LogoutURIs   []string `json:"logout_uris"`
	}
	var clients []client
	for _, k := range c.Clients {
		clients = append(clients, client{k.ID, k.Secret, k.CertificateSubject, k.RedirectURIs, k.LogoutURIs})
	}
	var people []map[string]any
	for _, p := range c.People {
		people = append(people, map[string]any{"key": p.Key, "sub": p.Sub, "userinfo": p.Claims(), "token": p.TokenClaims()})
	}
	return json.Marshal(map[string]any{
		"issuer": c.Issuer, "wallet": c.Wallet, "clients": clients, "people": people,
		"page": string(page), "page_policy": pscstub.PagePolicy, "style": string(style),
		"key": jose.JSONWebKey{Key: c.Key, KeyID: pscstub.KeyID(&c.Key.PublicKey), Algorithm: string(jose.RS256), Use: "sig"},
		"paths": map[string]string{
			"authorization": pscstub.AuthorizePath, "token": pscstub.TokenPath, "userinfo": pscstub.UserinfoPath, "jwks": pscstub.KeysPath,
			"end_session": pscstub.LogoutPath, "end_session_confirm": pscstub.LogoutPath + "/confirm", "end_session_success": pscstub.LogoutPath + "/done",
		},
		"discovery_path": pscstub.DiscoveryPath, "choice_path": pscstub.ChoicePath,
		"access_lifetime": pscstub.AccessLifetime / time.Second, "refresh_lifetime": pscstub.RefreshLifetime / time.Second,
		"session_lifetime": pscstub.SessionLifetime / time.Second,
	})
}

// The headers by which oidc-provider knows the certificate of a connection that the front has.
const (
	headerCertificate = "X-Psctest-Certificate"
	headerSubject     = "X-Psctest-Subject"
	headerTrustedBy   = "X-Psctest-Trusted-By" // ids of the clients whose roots vouch for the certificate
)

// proxy passes requests on to the process.
func (n *NPM) proxy(tb testing.TB, c pscstub.Config, address string) http.Handler {
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	tb.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: address})
			r.Out.Host = r.In.Host
			r.SetXForwarded()
			for _, name := range []string{headerCertificate, headerSubject, headerTrustedBy} {
				r.Out.Header.Del(name)
			}
			if r.In.TLS == nil || len(r.In.TLS.PeerCertificates) == 0 {
				return
			}
			leaf := r.In.TLS.PeerCertificates[0]
			block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
			r.Out.Header.Set(headerCertificate, strings.ReplaceAll(string(block), "\n", " "))
			r.Out.Header.Set(headerSubject, leaf.Subject.String())
			r.Out.Header.Set(headerTrustedBy, strings.Join(trustedBy(c.Clients, leaf), " "))
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "psctest: oidc-provider: "+err.Error(), http.StatusInternalServerError)
		},
	}
}

func trustedBy(clients []pscstub.Client, leaf *x509.Certificate) []string {
	var ids []string
	for _, c := range clients {
		if c.CertificateRoots == nil {
			continue
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.CertificateRoots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// transcript keeps the end of what a process says.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p)
	if extra := t.text.Len() - 64<<10; extra > 0 {
		t.text.Next(extra)
	}
	return len(p), nil
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
