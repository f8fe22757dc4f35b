package e2e

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"html"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/testpki"
)

// Relying parties of other authors, each on an address of its own and on the gateway's port.
const (
	nodeAddress   = "127.0.0.5" // openid-client
	apacheAddress = "127.0.0.6" // mod_auth_openidc
	goAddress     = "127.0.0.7" // docs/examples/login, with go-oidc
)

// partyWorld is a gateway whose clients are services of other authors.
type partyWorld struct {
	*forwardWorld
	secret string // of all clients that have one
	signIn func(v *visitor, address string) (status int, body, at string)
}

// clientConfig is the configuration of the clients; %[1]s is the authority under which the services are found.
const clientConfig = `
seal_keys: seal.keys
services: [{name: mail, host: mail.%[1]s, backend: "http://127.0.0.1:9", title: Messagerie}]
clients:
  - id: web
    title: Dossier
    redirect_uris: ["https://party.%[1]s:%[2]d/web/callback"]
    post_logout_redirect_uris: ["https://party.%[1]s:%[2]d/web/bye"]
    scopes: [openid, profile, email, national_id, profession, card, offline_access]
    refresh: true
    introspect: true
    secret_file: client.secret
    backchannel_logout_uri: https://127.0.0.5:%[2]d/web/backchannel
    backchannel_networks: [127.0.0.5]
  - id: post
    title: Secret dans le corps
    redirect_uris: ["https://party.%[1]s:%[2]d/post/callback"]
    scopes: [openid, profile]
    secret_file: client.secret
    signing: RS256
  - id: keys
    title: Signature
    redirect_uris: ["https://party.%[1]s:%[2]d/keys/callback"]
    scopes: [openid, profile]
    auth: private_key_jwt
    jwks_file: client.jwks
  - id: public
    title: Sans secret
    redirect_uris: ["https://party.%[1]s:%[2]d/public/callback"]
    scopes: [openid, profile, offline_access]
    refresh: true
    auth: none
  - id: tv
    title: Écran
    scopes: [openid, profile]
    device: true
    secret_file: client.secret
  - id: apache
    title: Apache
    redirect_uris: ["https://apache.%[1]s:%[2]d/oidc/callback"]
    post_logout_redirect_uris: ["https://apache.%[1]s:%[2]d/bye"]
    scopes: [openid, profile, email]
    secret_file: client.secret
    introspect: true
    backchannel_logout_uri: https://127.0.0.6:%[2]d/oidc/callback?logout=backchannel
    backchannel_networks: [127.0.0.6]
  - id: agenda
    title: Agenda
    redirect_uris: ["https://agenda.%[1]s:%[2]d/callback"]
    scopes: [openid, profile]
    secret_file: client.secret
`

// newPartyWorld starts the gateway.
func newPartyWorld(t *testing.T) *partyWorld {
	t.Helper()
	w := preparePartyWorld(t)
	w.startExampleGateway(t, fmt.Sprintf(clientConfig, domain, w.port))
	w.signIn = (*visitor).logIn
	return w
}

// preparePartyWorld writes what the gateway and the services need.
func preparePartyWorld(t *testing.T) *partyWorld {
	t.Helper()
	w := &partyWorld{forwardWorld: prepareExampleWorld(t)}
	w.places = map[string]string{"party.": nodeAddress, "apache.": apacheAddress, "agenda.": goAddress}
	seed := make([]byte, 32)
	rand.Read(seed)
	w.secret = base64.RawURLEncoding.EncodeToString(seed)
	w.write(t, "client.secret", []byte(w.secret+"\n"))
	w.write(t, "seal.keys", []byte("k1 "+base64.StdEncoding.EncodeToString(seed)+"\n"))

	key := newP256(t)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "client.jwks", set)
	w.write(t, "client.key", privatePEM(t, key))

	certificate, err := w.pki.ServerCertificate("*."+domain, nodeAddress, apacheAddress, goAddress)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "party.crt", testpki.CertificatePEM(certificate.Leaf))
	w.write(t, "party.key", privatePEM(t, certificate.PrivateKey))
	return w
}

func privatePEM(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (w *partyWorld) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(w.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// party is a client of e2e/party, in its configuration.
type party map[string]string

// startNode starts e2e/party with the clients of clientConfig.
func (w *partyWorld) startNode(t *testing.T) {
	t.Helper()
	w.startParties(t, map[string]party{
		"web":    {"secret": w.secret, "scope": "openid profile email national_id profession card offline_access"},
		"post":   {"secret": w.secret, "auth": "client_secret_post", "scope": "openid profile", "alg": "RS256"},
		"keys":   {"auth": "private_key_jwt", "key": w.read(t, "client.key"), "kid": "k", "scope": "openid profile"},
		"public": {"auth": "none", "scope": "openid profile offline_access"},
		"tv":     {"secret": w.secret, "scope": "openid profile"},
	})
}

// startParties installs openid-client in the versions of the lock file, and starts e2e/party with it.
func (w *partyWorld) startParties(t *testing.T, clients map[string]party) {
	t.Helper()
	for _, name := range []string{".npmrc", "package.json", "package-lock.json", "party.mjs"} {
		text, err := os.ReadFile("party/" + name)
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, "party/"+name, text)
	}
	ctx, done := context.WithTimeout(t.Context(), 5*time.Minute) // a slow disk and a slow network
	defer done()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir, install.WaitDelay = w.path("party"), patience
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	input, err := json.Marshal(map[string]any{
		"issuer": w.auth(""), "origin": w.origin("party"), "address": nodeAddress, "port": w.port, "cert": w.read(t, "party.crt"), "key": w.read(t, "party.key"),
		"clients": clients,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "party/input.json", append(input, '\n'))
	p := startProcess(t, []string{"NODE_EXTRA_CA_CERTS=" + w.path("root.crt"), "PARTY=" + w.path("party/input.json")},
		mustFind(t, "nodejs", "node"), w.path("party/party.mjs"))
	p.await(t, "ready")
}

// startApacheParty starts Apache with mod_auth_openidc before a service, which gets the claims as headers.
func (w *partyWorld) startApacheParty(t *testing.T) {
	t.Helper()
	var modules strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "ssl", "socache_shmcb", "proxy", "proxy_http", "auth_openidc"} {
		fmt.Fprintf(&modules, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
	}
	w.write(t, "party.conf", fmt.Appendf(nil, `
%[2]s
ServerRoot %[1]s
ServerName localhost
PidFile %[1]s/party.pid
DefaultRuntimeDir %[1]s
Mutex file:%[1]s default
ErrorLog /dev/stderr
LogLevel warn auth_openidc:info
Listen %[3]s:%[4]d

OIDCProviderMetadataURL %[5]s/.well-known/openid-configuration
OIDCProviderBackChannelLogoutSupported On
OIDCClientID apache
OIDCClientSecret %[6]s
OIDCProviderTokenEndpointAuth client_secret_basic
OIDCRedirectURI %[7]s/oidc/callback
OIDCCryptoPassphrase %[6]s
OIDCScope "openid profile email"
OIDCResponseType code
OIDCPKCEMethod S256
OIDCIDTokenSignedResponseAlg ES256
OIDCRemoteUserClaim sub
OIDCPassClaimsAs headers
OIDCCABundlePath %[1]s/root.crt
OIDCSSLValidateServer On
OIDCOAuthClientID apache
OIDCOAuthClientSecret %[6]s
OIDCOAuthIntrospectionEndpoint %[5]s/oauth/introspect
OIDCOAuthIntrospectionEndpointAuth client_secret_basic
OIDCOAuthTokenIntrospectionInterval -1
OIDCOAuthSSLValidateServer On
OIDCOAuthRemoteUserClaim sub
OIDCSessionType server-cache
OIDCSessionInactivityTimeout 3600

<VirtualHost %[3]s:%[4]d>
    ServerName apache.%[8]s
    UseCanonicalName Off
    SSLEngine on
    SSLCertificateFile %[1]s/party.crt
    SSLCertificateKeyFile %[1]s/party.key
    <Location />
        AuthType openid-connect
        Require valid-user
    </Location>
    <Location /api>
        AuthType oauth20
        Require valid-user
    </Location>
    <Location /bye>
        AuthType none
        Require all granted
    </Location>
    ProxyPass /oidc/ !
    ProxyPass / %[9]s/
</VirtualHost>
`, w.dir, modules.String(), apacheAddress, w.port, w.auth(""), w.secret, w.origin("apache"), domain, w.service.URL))
	startProcess(t, nil, mustFind(t, "libapache2-mod-auth-openidc", "apache2", "/usr/sbin/apache2"), "-f", w.path("party.conf"), "-X")
	w.awaitPort(t, apacheAddress)
}

// startLoginExample starts docs/examples/login, behind a server that speaks TLS.
func (w *partyWorld) startLoginExample(t *testing.T) {
	t.Helper()
	port := freePorts(t, 1)[0]
	startProcess(t, []string{
		"ISSUER=" + w.auth(""), "CLIENT_SECRET=" + w.secret, "ORIGIN=" + w.origin("agenda"), fmt.Sprintf("LISTEN=127.0.0.1:%d", port),
		"SSL_CERT_FILE=" + w.path("root.crt"),
	}, w.buildExample(t, "login"))
	askDirectly(t, fmt.Sprintf("http://127.0.0.1:%d/ready", port), "")
	w.front(t, goAddress, fmt.Sprintf("http://127.0.0.1:%d", port))
}

// front speaks TLS at an address, and passes on to a service that does not.
func (w *partyWorld) front(t *testing.T, address, to string) {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.LoadX509KeyPair(w.path("party.crt"), w.path("party.key"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host }})
	s.Listener.Close()
	if s.Listener, err = tls.Listen("tcp", fmt.Sprintf("%s:%d", address, w.port), &tls.Config{
		Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12,
	}); err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(s.Close)
}

// said is an answer of e2e/party in JSON.
type said struct {
	Claims      map[string]any
	Tokens      []string
	Rotated     bool
	Active      bool
	Error       string
	Description string
	Bye         string
	Sub, Name   string
}

// isFor says whether an ID token is for a client alone, which may be written in two ways (RFC 7519, section 4.1.3).
func (s said) isFor(id string) bool {
	switch aud := s.Claims["aud"].(type) {
	case string:
		return aud == id
	case []any:
		return len(aud) == 1 && aud[0] == id
	}
	return false
}

// party opens a page of e2e/party by a browser that is signed in where it must be, and follows it to the end.
func (v *visitor) party(path string) said {
	v.t.Helper()
	_, body, at := v.open(v.w.origin("party") + path)
	return v.parse(body, at)
}

func (v *visitor) parse(body, at string) said {
	v.t.Helper()
	var s said
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		v.t.Fatalf("%s: %v\n%.1000s", at, err, body)
	}
	if s.Error != "" {
		v.t.Logf("%s: %s: %s", at, s.Error, body)
	}
	return s
}

var (
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	pageForm    = regexp.MustCompile(`(?s)<form[^>]* action="([^"]*)"[^>]*>(.*?)</form>`)
)

// readForm reads the hidden fields of the form of a page that goes to an address.
func readForm(t *testing.T, page, address string) url.Values {
	t.Helper()
	for _, f := range pageForm.FindAllStringSubmatch(page, -1) {
		if html.UnescapeString(f[1]) != address {
			continue
		}
		form := url.Values{}
		for _, m := range hiddenField.FindAllStringSubmatch(f[2], -1) {
			form.Set(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
		}
		return form
	}
	t.Fatalf("no form that goes to %s\n%.2000s", address, page)
	return nil
}
