package gateway_test

import (
	"crypto/x509"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	rp "github.com/coreos/go-oidc/v3/oidc"

	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
	"promess/authgw/internal/gateway"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
)

// D14, E3: an administrator disables a person with another process, while the gateway runs: the service where they had signed in is told, and
// what it was given is worth nothing.
func TestServiceIsToldThatASessionIsOver(t *testing.T) {
	told := make(chan string, 10)
	service := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.PostFormValue("logout_token") }))
	defer service.Close()

	f := newFiles(t)
	f.write(t, "seal.keys", sealKey("k1"))
	f.config.SealKeys = f.path("seal.keys")
	secret, _ := client.NewSecret()
	f.write(t, "agenda.secret", []byte(secret+"\n"))
	s := agenda()
	s.Scopes, s.Refresh = []string{"offline_access"}, true
	s.BackchannelLogoutURI, s.BackchannelNetworks = service.URL+"/logout", []string{"127.0.0.0/8"}
	f.config.Clients = []config.Client{{Settings: s, SecretFile: f.path("agenda.secret")}}
	f.save(t)
	c, m, err := gateway.Load(f.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(service.Certificate())
	r := &running{files: f, ended: make(chan error, 1)}
	r.Gateway = must(t, func() (*gateway.Gateway, error) {
		return gateway.New(t.Context(), gateway.Config{
			Gateway: c, Materials: m, Audit: &r.audit, Log: slog.New(slog.NewJSONHandler(&r.log, nil)), Version: "test", ClientRoots: roots,
		})
	})
	r.start(t)

	p := r.person(t, f.card(t, testpki.Card{NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN", Profession: 10}))
	p.logIn()
	q := url.Values{
		"client_id": {"agenda"}, "redirect_uri": {"https://agenda.example.test/callback"}, "response_type": {"code"}, "scope": {"openid offline_access"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636, appendix B
	}
	_, location, body := p.visit(http.MethodGet, auth+"/oauth/authorize?"+q.Encode())
	to, err := url.Parse(location)
	if err != nil || to.Query().Get("code") == "" {
		t.Fatalf("the answer leads to %q\n%s", location, body)
	}
	token := func(fields url.Values) (answer struct {
		Refresh string `json:"refresh_token"`
		Error   string `json:"error"`
	}) {
		t.Helper()
		fields.Set("client_id", "agenda")
		fields.Set("client_secret", secret)
		got, err := p.client.PostForm(auth+"/oauth/token", fields)
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		if err := json.NewDecoder(io.LimitReader(got.Body, 1<<20)).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	given := token(url.Values{
		"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {"https://agenda.example.test/callback"},
		"code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
	})
	if given.Refresh == "" {
		t.Fatalf("token = %+v", given)
	}

	admin := must(t, func() (*store.Store, error) {
		return store.Open(t.Context(), store.Config{Name: f.config.Database})
	})
	defer admin.Close()
	account := must(t, func() (store.Account, error) { return admin.FindAccount(t.Context(), "899700218896") })
	must(t, func() ([]string, error) { return admin.DisableAccount(t.Context(), account.Subject, time.Now()) })
	select {
	case text := <-told:
		ctx := rp.ClientContext(t.Context(), p.client)
		v := rp.NewVerifier(auth, rp.NewRemoteKeySet(ctx, auth+"/oauth/keys"), &rp.Config{ClientID: "agenda", SupportedSigningAlgs: []string{"ES256"}})
		if logout, err := v.VerifyLogout(ctx, text); err != nil || logout.Subject != account.Subject || logout.SessionID == "" {
			t.Errorf("logout token %+v, %v", logout, err)
		}
		if strings.Contains(r.log.String()+r.audit.String(), text) {
			t.Error("the logout token is in the log or the audit")
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("the service is not told; log:\n%s", r.log.String())
	}
	if again := token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {given.Refresh}}); again.Error != "invalid_grant" {
		t.Errorf("refresh = %+v, want invalid_grant", again)
	}
	eventually(t, "it is counted", func() bool {
		_, text := r.get(t, "/metrics")
		return strings.Contains(text, `authgw_logouts_told_total{outcome="told"} 1`) && strings.Contains(text, "authgw_logouts_waiting 0")
	})
}
