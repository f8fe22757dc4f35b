package pscstub_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/pscstub"
)

const (
	issuer   = "https://issuer.example" + pscstub.Path
	wallet   = "https://wallet.example" + pscstub.WalletPath
	callback = "https://gateway.example/callback"

	// RFC 7636, appendix B.
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func config() pscstub.Config {
	return pscstub.Config{Issuer: issuer, Wallet: wallet, Clients: []pscstub.Client{{ID: "c", Secret: "s", RedirectURIs: []string{callback}}}}
}

// world is a provider at a time that the test sets.
type world struct {
	provider *pscstub.Provider
	now      time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{now: time.Date(2026, 11, 27, 9, 0, 0, 0, time.UTC)}
	c := config()
	c.Now = func() time.Time { return w.now }
	var err error
	if w.provider, err = pscstub.New(c); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) do(method, at string, form url.Values) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, at, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer := httptest.NewRecorder()
	w.provider.ServeHTTP(answer, req)
	return answer
}

var action = regexp.MustCompile(`action="([^"]+)"`)

// code returns a new code of the doctor.
func (w *world) code(t *testing.T) string {
	t.Helper()
	q := url.Values{
		"client_id": {"c"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid"}, "state": {"st"}, "nonce": {"n"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	toIssuer := w.do(http.MethodGet, wallet+"?"+q.Encode(), nil)
	page := w.do(http.MethodGet, toIssuer.Header().Get("Location"), nil)
	found := action.FindStringSubmatch(page.Body.String())
	if found == nil {
		t.Fatalf("no choice: %d %s", page.Code, page.Body)
	}
	back, err := url.Parse(w.do(http.MethodPost, found[1], url.Values{"person": {pscstub.Doctor}}).Header().Get("Location"))
	if err != nil || back.Query().Get("code") == "" {
		t.Fatalf("no code: %v", back)
	}
	return back.Query().Get("code")
}

// answer is what the token endpoint says.
type answer struct {
	Error     string  `json:"error"`
	Refresh   string  `json:"refresh_token"`
	ExpiresIn float64 `json:"refresh_expires_in"`
}

func (w *world) token(t *testing.T, form url.Values) answer {
	t.Helper()
	form.Set("client_id", "c")
	form.Set("client_secret", "s")
	var a answer
	if err := json.Unmarshal(w.do(http.MethodPost, issuer+pscstub.TokenPath, form).Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *world) redeem(t *testing.T, code string) answer {
	t.Helper()
	return w.token(t, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}})
}

func (w *world) renew(t *testing.T, token string) answer {
	t.Helper()
	return w.token(t, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// TestLifetimes lets time pass: a code is over soon, a refresh token after half an hour, and the session after four, however often it was
// renewed.
func TestLifetimes(t *testing.T) {
	t.Run("a code after two minutes", func(t *testing.T) {
		w := newWorld(t)
		code := w.code(t)
		w.now = w.now.Add(2 * time.Minute)
		if a := w.redeem(t, code); a.Error != "invalid_grant" {
			t.Errorf("it gives %q, want invalid_grant", a.Error)
		}
	})
	t.Run("a refresh token after half an hour", func(t *testing.T) {
		w := newWorld(t)
		a := w.redeem(t, w.code(t))
		w.now = w.now.Add(30*time.Minute + time.Second)
		if a = w.renew(t, a.Refresh); a.Error != "invalid_grant" {
			t.Errorf("it gives %q, want invalid_grant", a.Error)
		}
	})
	t.Run("a session after four hours", func(t *testing.T) {
		w := newWorld(t)
		end := w.now.Add(4 * time.Hour)
		a := w.redeem(t, w.code(t))
		for range 8 { // every 29 minutes, for 3 h 52 min
			w.now = w.now.Add(29 * time.Minute)
			if a = w.renew(t, a.Refresh); a.Error != "" {
				t.Fatalf("a refresh at %v gives %q", w.now, a.Error)
			}
		}
		if want := end.Sub(w.now).Seconds(); a.ExpiresIn != want {
			t.Errorf("refresh_expires_in = %v, want %v: what is left of the session", a.ExpiresIn, want)
		}
		w.now = end.Add(time.Second)
		if a = w.renew(t, a.Refresh); a.Error != "invalid_grant" {
			t.Errorf("it gives %q, want invalid_grant", a.Error)
		}
	})
}

// TestConfig refuses what would not look like PSC, and clients that anybody could be.
func TestConfig(t *testing.T) {
	for name, change := range map[string]func(*pscstub.Config){
		"an issuer without TLS":           func(c *pscstub.Config) { c.Issuer = "http://issuer.example" + pscstub.Path },
		"an issuer at another path":       func(c *pscstub.Config) { c.Issuer = "https://issuer.example/" },
		"a wallet at another path":        func(c *pscstub.Config) { c.Wallet = "https://wallet.example/" },
		"no client":                       func(c *pscstub.Config) { c.Clients = nil },
		"a certificate without an issuer": func(c *pscstub.Config) { c.Clients[0].CertificateSubject = "CN=x" },
	} {
		c := config()
		change(&c)
		if _, err := pscstub.New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// TestPeople finds that no two persons are the same, and who has an RPPS: 8, and eleven digits whose last is their Luhn check.
func TestPeople(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range pscstub.People() {
		for _, id := range []string{p.Key, p.Sub, p.NameID} {
			if seen[id] || id == "" {
				t.Errorf("%q is there twice, or empty", id)
			}
			seen[id] = true
		}
		if rpps, ok := strings.CutPrefix(p.NameID, "8"); ok == (p.Key == pscstub.Secretary) || ok && (len(rpps) != 11 || !luhn(rpps)) {
			t.Errorf("%s: SubjectNameID %s", p.Key, p.NameID)
		}
	}
}

func luhn(digits string) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
