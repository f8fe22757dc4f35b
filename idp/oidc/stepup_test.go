package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/idptest"
)

// offered are the forms of the login page, by the method.
func offered(page idptest.Answer) (methods []string) {
	for _, m := range []string{"card", "otp"} {
		if strings.Contains(page.Body, `action="/login/`+m+`"`) {
			methods = append(methods, m)
		}
	}
	return methods
}

// E1: a login at a higher level is another session, which keeps what clients were given in the one before. The login page asks for what is
// missing alone, and says why.
func TestE1StepUpAsksForWhatIsMissing(t *testing.T) {
	low, high := agenda(), agenda()
	high.ID, high.Allow.Level = "records", "hardware"
	f := newFront(t, low, high)
	b := f.Browser(t, "127.0.0.2")
	page := wantLogin(t, b, ask(b))
	if diff := cmp.Diff([]string{"card", "otp"}, offered(page)); diff != "" {
		t.Errorf("methods for any level (-want +got):\n%s", diff)
	}
	given := f.use(t, wantCode(t, logIn(t, b, "/login/weak")))
	before := f.Session(t, b)

	page = wantLogin(t, b, ask(b, "client_id", "records"))
	if diff := cmp.Diff([]string{"card"}, offered(page)); diff != "" {
		t.Errorf("methods for the highest level (-want +got):\n%s", diff)
	}
	if !strings.Contains(page.Body, "plus sûr") || !strings.Contains(page.Body, "JEANNE MARTIN") {
		t.Errorf("the page does not say why it asks, or whom:\n%s", page.Body)
	}
	if v := f.Session(t, b); v.ID != before.ID {
		t.Error("the login page has ended the session")
	}
	wantCode(t, logIn(t, b, "/login/believed"))
	after := f.Session(t, b)
	if after.ID == before.ID || after.ACR != idp.ACRHardware {
		t.Errorf("session %s of %s after %s", after.ID, after.ACR, before.ID)
	}
	g, err := f.Store.GrantByID(t.Context(), given.ID)
	if err != nil || g.Session != after.ID || g.SID != before.ID || g.Ended {
		t.Errorf("grant of before %+v, %v; want it in the session %s, known as %s", g, err, after.ID, before.ID)
	}
	// F13: it says what it was given on, still.
	if acr := body(t, g.Body)["acr"]; acr != idp.ACRTwoFactor {
		t.Errorf("acr %v of what was given before", acr)
	}
	wantCode(t, ask(b, "client_id", "records")) // asks no more
}

// Another person, or a lower level, takes nothing over.
func TestLoginOfAnotherEndsWhatWasGiven(t *testing.T) {
	f := newFront(t, agenda())
	for name, next := range map[string]func(*idptest.Browser){
		"another person": func(b *idptest.Browser) {
			p := f.Proof()
			defer f.Believe(p)
			other := p
			other.NationalID, other.GivenName = "899700218904", "PAUL"
			f.Believe(other)
			b.LogIn()
		},
		"a lower level": func(b *idptest.Browser) { b.Post("/login/weak") },
		"a sign-out":    func(b *idptest.Browser) { b.Post("/logout") },
	} {
		t.Run(name, func(t *testing.T) {
			b := f.Browser(t, "127.0.0.2")
			b.LogIn()
			given := f.use(t, wantCode(t, ask(b)))
			next(b)
			if g, err := f.Store.GrantByID(t.Context(), given.ID); err != nil || !g.Ended {
				t.Errorf("grant %+v, %v: want it ended", g, err)
			}
		})
	}
}

// F13: what a client requires is required, whatever is asked for; and what is asked for more is too.
func TestF13LevelIsTheHigherOfRuleAndRequest(t *testing.T) {
	s := agenda()
	s.Allow.Level = "hardware"
	f := newFront(t, s)
	for name, pairs := range map[string][]string{
		"no acr_values":        nil,
		"a lower one":          {"acr_values", idp.ACRTwoFactor},
		"an unknown one":       {"acr_values", "eidas1 0"},
		"a claims parameter":   {"claims", `{"id_token":{"acr":{"values":["` + idp.ACRTwoFactor + `"]}}}`},
		"max_age":              {"max_age", "3600"},
		"the highest, in vain": {"acr_values", idp.ACRHardware},
	} {
		t.Run(name, func(t *testing.T) {
			b := f.Browser(t, "127.0.0.2")
			b.Post("/login/weak")
			wantLogin(t, b, ask(b, pairs...))
			if got := logIn(t, b, "/login/weak"); got.Status != http.StatusSeeOther || got.Location != "/login" {
				t.Errorf("after a login of the same level: %d to %q, want the login page", got.Status, got.Location)
			}
			wantCode(t, logIn(t, b, "/login/believed"))
		})
	}
	f.have(t, agenda())
	b := f.Browser(t, "127.0.0.3")
	b.Post("/login/weak")
	wantLogin(t, b, ask(b, "acr_values", idp.ACRHardware))
	wantCode(t, ask(b, "acr_values", idp.ACRHardware+" "+idp.ACRTwoFactor)) // either will do
}

// OpenID Connect Core 1.0, section 3.1.2.1: a login that is asked for is a new one, however old the session is.
func TestPromptLoginAsksForANewLogin(t *testing.T) {
	f := newFront(t, agenda())
	for _, prompt := range []string{"login", "select_account", "login consent"} {
		b := f.Browser(t, "127.0.0.2")
		b.LogIn()
		before := f.Session(t, b)
		wantLogin(t, b, ask(b, "prompt", prompt))
		handle := ""
		if got := b.Get("/login"); got.Status != http.StatusOK { // again, and it does not pass
			t.Errorf("%s: the login page = %d to %q", prompt, got.Status, got.Location)
		}
		got := b.Post("/login/believed")
		handle = strings.TrimPrefix(got.Location, "/oauth/resume?request=")
		if got = b.Get(got.Location); prompt == "login consent" {
			got = b.Post("/oauth/consent", "request", handle, "answer", "agree")
		}
		wantCode(t, got)
		if after := f.Session(t, b); after.ID == before.ID {
			t.Errorf("%s: the session is the one of before", prompt)
		}
	}
	// The session of before does not do at resume either.
	b := f.Browser(t, "127.0.0.3")
	b.LogIn()
	wantLogin(t, b, ask(b, "prompt", "login"))
	got := b.Get("/login?x=1")
	if got.Status != http.StatusOK || !strings.Contains(got.Body, "prouviez") {
		t.Errorf("login page = %d:\n%s", got.Status, got.Body)
	}
}

// max_age, of the request or of the client, is counted from the login.
func TestMaxAgeIsCountedFromTheLogin(t *testing.T) {
	s := agenda()
	s.ID, s.MaxAge = "strict", "10m"
	f := newFront(t, agenda(), s)
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	f.Advance(9 * time.Minute)
	wantCode(t, ask(b, "max_age", "540"))
	wantCode(t, ask(b, "client_id", "strict"))
	wantCode(t, ask(b, "client_id", "strict", "max_age", "100000"))
	wantLogin(t, b, ask(b, "max_age", "539"))
	wantError(t, ask(b, "max_age", "539", "prompt", "none"), "login_required")
	f.Advance(2 * time.Minute)
	wantLogin(t, b, ask(b, "client_id", "strict", "max_age", "100000"))
	wantCode(t, logIn(t, b, "/login/believed"))
	// 0 is a new login, which is not too old by the time the request goes on.
	wantLogin(t, b, ask(b, "max_age", "0"))
	got := b.Post("/login/believed")
	f.Advance(time.Minute)
	wantCode(t, b.Get(got.Location))
}

// OpenID Connect Core 1.0, section 3.1.2.6: with prompt=none, what would be on a page is an error.
func TestPromptNoneShowsNoPage(t *testing.T) {
	high, asks, doctors, carded := agenda(), agenda(), agenda(), agenda()
	high.ID, high.Allow.Level = "high", "hardware"
	asks.ID, asks.Consent = "asks", true
	doctors.ID, doctors.Allow.Professions = "pharmacists", []string{"21"}
	carded.ID, carded.Allow.CardTypes = "carded", []string{"CPS"}
	f := newFront(t, agenda(), high, asks, doctors, carded)
	nobody, low := f.Browser(t, "127.0.0.2"), f.Browser(t, "127.0.0.3")
	low.Post("/login/weak")
	wantError(t, ask(nobody, "prompt", "none"), "login_required")
	wantCode(t, ask(low, "prompt", "none"))
	wantError(t, ask(low, "prompt", "none", "client_id", "high"), "interaction_required")
	wantError(t, ask(low, "prompt", "none", "client_id", "carded"), "interaction_required")
	wantError(t, ask(low, "prompt", "none", "client_id", "asks"), "consent_required")
	wantError(t, ask(low, "prompt", "none", "client_id", "pharmacists"), "access_denied")
	if nobody.Cookie("__Host-authgw-asked") != "" || low.Cookie("__Host-authgw-asked") != "" {
		t.Error("a request was kept")
	}
}

// The rule of a client, each of its parts: what a login can mend is asked for, what none can is said on a page with a way back.
func TestRuleOfAClient(t *testing.T) {
	for name, c := range map[string]struct {
		allow  client.Allow
		login  string
		offers []string // nil: the person is not admitted
		reason string
	}{
		"a method":                {client.Allow{Methods: []string{"card"}}, "/login/weak", []string{"card"}, ""},
		"a weaker method":         {client.Allow{Methods: []string{"otp"}}, "/login/believed", []string{"otp"}, ""},
		"a card's type":           {client.Allow{CardTypes: []string{"CPS"}}, "/login/weak", []string{"card"}, ""},
		"another type of card":    {client.Allow{CardTypes: []string{"CPE"}}, "/login/believed", nil, "card_type"},
		"another profession":      {client.Allow{Professions: []string{"21"}}, "/login/believed", nil, "profession"},
		"another structure":       {client.Allow{Structures: []string{"10B0057881"}}, "/login/believed", nil, "structure"},
		"profession before level": {client.Allow{Professions: []string{"21"}, Level: "hardware"}, "/login/weak", nil, "profession"},
	} {
		t.Run(name, func(t *testing.T) {
			s := agenda()
			s.Allow = c.allow
			f := newFront(t, s)
			b := f.Browser(t, "127.0.0.2")
			b.Post(c.login)
			got := ask(b)
			if c.offers != nil {
				if diff := cmp.Diff(c.offers, offered(wantLogin(t, b, got))); diff != "" {
					t.Errorf("methods (-want +got):\n%s", diff)
				}
				return
			}
			page := b.Get(got.Location)
			wantPage(t, page, http.StatusForbidden)
			for _, want := range []string{"Agenda", `action="/oauth/refuse"`, "JEANNE MARTIN"} {
				if !strings.Contains(page.Body, want) {
					t.Errorf("no %s on the page:\n%s", want, page.Body)
				}
			}
			events := f.Events(t, audit.AuthorizationRefused)
			if len(events) != 1 || events[0].Reason != c.reason || events[0].Client != "agenda" || events[0].Subject == "" || events[0].Support == "" {
				t.Errorf("audit %+v", events)
			}
			back := b.Post("/oauth/refuse", "request", strings.TrimPrefix(got.Location, "/oauth/resume?request="))
			wantError(t, back, "access_denied")
			if back.Status != http.StatusSeeOther {
				t.Errorf("the way back = %d", back.Status)
			}
		})
	}
}

// idToken signs one for the client agenda.
func idToken(t *testing.T, f *front, alg string, claims map[string]any) string {
	t.Helper()
	key, err := f.ring.Signing(t.Context(), alg)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: jose.JSONWebKey{Key: key.Signer, KeyID: key.ID}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"iss": idptest.Origin, "aud": "agenda", "exp": f.Now().Add(-time.Hour).Unix(), "iat": f.Now().Add(-2 * time.Hour).Unix()}
	for name, value := range claims {
		all[name] = value
	}
	data, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(data)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// OpenID Connect Core 1.0, section 3.1.2.1: with an id_token_hint it is that person or an error.
func TestIDTokenHintNamesWhoIsToSignIn(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	me := f.Session(t, b).Account.Subject
	for _, alg := range []string{"ES256", "RS256"} {
		wantCode(t, ask(b, "id_token_hint", idToken(t, f, alg, map[string]any{"sub": me}))) // it is expired, and says who
	}
	for name, claims := range map[string]map[string]any{
		"another client's":  {"sub": me, "aud": "other"},
		"another issuer's":  {"sub": me, "iss": "https://other.example"},
		"nobody's":          {},
		"an empty person's": {"sub": ""},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, ask(b, "id_token_hint", idToken(t, f, "ES256", claims)), "login_required")
		})
	}
	good := idToken(t, f, "ES256", map[string]any{"sub": me})
	wantError(t, ask(b, "id_token_hint", good[:len(good)-3]), "login_required")

	other := idToken(t, f, "ES256", map[string]any{"sub": "somebody else"})
	wantError(t, ask(b, "id_token_hint", other, "prompt", "none"), "login_required")
	page := wantLogin(t, b, ask(b, "id_token_hint", other))
	if !strings.Contains(page.Body, "une autre personne") {
		t.Errorf("the page does not say why it asks:\n%s", page.Body)
	}
	wantError(t, logIn(t, b, "/login/believed"), "login_required")
}

// F9: a pairwise subject is its sector's alone, and the same each time.
func TestPairwiseSubjectIsItsSectorsAlone(t *testing.T) {
	one, two, three := agenda(), agenda(), agenda()
	one.Subject, two.Subject = "pairwise", "pairwise"
	two.ID, two.Sector = "two", "other.example.test"
	three.ID = "three"
	f := newFront(t, one, two, three)
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	sub := func(id string) string {
		return body(t, f.use(t, wantCode(t, ask(b, "client_id", id))).Body)["sub"].(string)
	}
	account := f.Session(t, b).Account.Subject
	a, c := sub("agenda"), sub("two")
	if a == account || c == account || a == c || a != sub("agenda") || strings.Contains(a+c, ":") || sub("three") != account {
		t.Errorf("subjects %q, %q of the account %q", a, c, account)
	}
	wantCode(t, ask(b, "id_token_hint", idToken(t, f, "ES256", map[string]any{"sub": a})))
}

// login_hint goes to the form that has a field for it, and nowhere else.
func TestLanguageAndHintAreForThePage(t *testing.T) {
	f := newFront(t, agenda())
	b := f.Browser(t, "127.0.0.2")
	page := wantLogin(t, b, ask(b, "ui_locales", "de en", "login_hint", "jmartin"))
	if page.Header.Get("Content-Language") != "en" {
		t.Errorf("language %q, want en", page.Header.Get("Content-Language"))
	}
	r := httptest.NewRequest(http.MethodGet, idptest.Origin+"/login/otp", nil)
	for _, name := range []string{"__Host-authgw-login", "__Host-authgw-asked"} {
		r.AddCookie(&http.Cookie{Name: name, Value: b.Cookie(name)})
	}
	if got := f.Server.Wanted(r); got.Hint != "jmartin" || got.Title != "Agenda" || got.Fresh {
		t.Errorf("what a method learns: %+v", got)
	}
	if strings.Contains(f.Written(), "jmartin") {
		t.Error("the hint is in the log or the trail")
	}
}

// A rule that nobody understands admits nobody: a client is checked where it is made, and here again.
func TestRuleWithAnUnknownLevelIsForNobody(t *testing.T) {
	f := newFront(t)
	c, err := agenda().Client(client.Own{})
	if err != nil {
		t.Fatal(err)
	}
	c.Rule.Level = "biometric"
	f.clients.Use([]*client.Client{c}, client.Own{})
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	wantError(t, ask(b, "prompt", "none"), "access_denied")
	wantPage(t, b.Get(ask(b).Location), http.StatusForbidden)
}
