package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
	"promess/authgw/internal/testpki"
)

// A service that the configuration declares has a person sign in with a card, and gets tokens that are good after the configuration was read
// again. Without a key file there is no provider.
func TestServiceSignsItsUsersInByOpenIDConnect(t *testing.T) {
	f := newFiles(t)
	bare := f.run(t)
	for _, path := range []string{"/.well-known/openid-configuration", "/oauth/authorize?client_id=agenda", "/oauth/token"} {
		if status, _, _ := bare.person(t, nil).visit(http.MethodGet, auth+path); status != http.StatusNotFound {
			t.Errorf("without a key file %s = %d", path, status)
		}
	}

	f = newFiles(t)
	f.write(t, "seal.keys", sealKey("k1"))
	f.config.SealKeys = f.path("seal.keys")
	secret, _ := client.NewSecret()
	f.write(t, "agenda.secret", []byte(secret+"\n"))
	s := agenda()
	s.Scopes, s.Allow = []string{"profile"}, client.Allow{Level: "hardware", Professions: []string{"10"}}
	f.config.Clients = []config.Client{{Settings: s, SecretFile: f.path("agenda.secret")}}
	r, hangup := f.serve(t)
	p := r.person(t, f.card(t, testpki.Card{NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN", Profession: 10}))
	q := url.Values{
		"client_id": {"agenda"}, "redirect_uri": {"https://agenda.example.test/callback"}, "response_type": {"code"}, "scope": {"openid profile"}, "state": {"s"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}, // RFC 7636, appendix B
	}
	if status, location, body := p.visit(http.MethodGet, auth+"/oauth/authorize?"+q.Encode()); status != http.StatusSeeOther || location != "/login" {
		t.Fatalf("authorize = %d to %q\n%s", status, location, body)
	}
	p.logIn()
	_, location, body := p.visit(http.MethodGet, auth+"/oauth/authorize?"+q.Encode())
	to, err := url.Parse(location)
	if err != nil || to.Host != "agenda.example.test" || to.Query().Get("iss") != auth {
		t.Fatalf("the answer leads to %q\n%s", location, body)
	}
	form := url.Values{
		"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {"https://agenda.example.test/callback"},
		"code_verifier": {"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"}, "client_id": {"agenda"}, "client_secret": {secret},
	}
	answer, err := p.client.PostForm(auth+"/oauth/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var tokens struct {
		Access string `json:"access_token"`
		ID     string `json:"id_token"`
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&tokens); err != nil || answer.StatusCode != http.StatusOK || tokens.ID == "" {
		t.Fatalf("token = %d %+v, %v", answer.StatusCode, tokens, err)
	}
	userinfo := func() (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, auth+"/oauth/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+tokens.Access)
		answer, err := p.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(data)
	}
	if status, body := userinfo(); status != http.StatusOK || !strings.Contains(body, `"name":"JEANNE MARTIN"`) {
		t.Errorf("userinfo = %d %s", status, body)
	}
	f.config.Support.Phone = "01 23 45 67 89"
	f.save(t)
	hangup <- os.Interrupt
	eventually(t, "reloaded", func() bool { return r.reloads() > 0 })
	if status, body := userinfo(); status != http.StatusOK {
		t.Errorf("userinfo after a reload = %d %s", status, body)
	}
	p.visit(http.MethodPost, auth+"/logout")
	if status, body := userinfo(); status != http.StatusUnauthorized {
		t.Errorf("userinfo after the sign-out = %d %s", status, body)
	}
	if log := r.log.String(); strings.Contains(log, secret) || strings.Contains(log, tokens.Access) || strings.Contains(log, to.Query().Get("code")) {
		t.Error("a secret is in the log")
	}
}
