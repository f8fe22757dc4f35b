package idp_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/token"
)

// events returns the audit events of a kind.
func (w *world) events(t *testing.T, kind audit.Kind) []audit.Event {
	t.Helper()
	var found []audit.Event
	for line := range strings.Lines(w.audit.String()) {
		var e audit.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("audit line %q: %v", line, err)
		}
		if e.Kind == kind {
			found = append(found, e)
		}
	}
	return found
}

func TestLoginShowsThePortalWithThePersonAndTheServices(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	if p := b.get(auth + "/"); p.location != auth+"/login" {
		t.Errorf("portal without a session leads to %q, want the login page", p.location)
	}
	if p := b.get(auth + "/login"); p.status != http.StatusOK || !strings.Contains(p.body, "Se connecter avec ma carte CPS") {
		t.Errorf("login page = %d %.300s", p.status, p.body)
	}
	b.logIn()
	p := b.get(auth + "/")
	for _, want := range []string{"JEANNE MARTIN", "Carte CPS", mail + "/inbox", agenda + "/"} {
		if !strings.Contains(p.body, want) {
			t.Errorf("the portal does not say %q", want)
		}
	}
	if p := b.get(auth + "/login"); p.location != auth+"/" {
		t.Errorf("login page with a session leads to %q, want the portal", p.location)
	}
}

// E1: a session id that was there before the login is worth nothing after it, and the session of before is over.
func TestE1LoginMakesANewSessionAndEndsTheOneBefore(t *testing.T) {
	each(t, testE1LoginMakesANewSessionAndEndsTheOneBefore)
}

func testE1LoginMakesANewSessionAndEndsTheOneBefore(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	b := w.browser(t)
	planted := token.New() // session fixation: somebody else's choice
	b.setCookie(auth, sessionCookie, planted)
	b.logIn()
	first := b.cookie(auth, sessionCookie)
	if first == planted {
		t.Fatal("the login kept the cookie that was planted")
	}
	thief := w.browser(t)
	thief.setCookie(auth, sessionCookie, planted)
	thief.wantSignedIn(false)

	b.logIn()
	if b.cookie(auth, sessionCookie) == first {
		t.Error("the second login kept the cookie of the first")
	}
	b.wantSignedIn(true)
	thief.setCookie(auth, sessionCookie, first)
	thief.wantSignedIn(false)
	ended := w.events(t, audit.SessionEnded)
	if len(ended) != 1 || ended[0].Reason != "replaced" {
		t.Errorf("ends of sessions = %+v, want one that was replaced", ended)
	}
}

// E6: the login page removes a cookie that opens nothing.
func TestE6LoginPageClearsAStaleCookie(t *testing.T) {
	w := newWorld(t)
	for name, value := range map[string]string{"of a session that is over": token.New(), "garbage": "x"} {
		t.Run(name, func(t *testing.T) {
			b := w.browser(t)
			b.setCookie(auth, sessionCookie, value)
			b.get(auth + "/login")
			if got := b.cookie(auth, sessionCookie); got != "" {
				t.Errorf("cookie = %q, want none", got)
			}
		})
	}
}

// D14: a disabled account is refused at the login, and its open sessions are over, on every host.
func TestD14DisabledAccount(t *testing.T) { each(t, testD14DisabledAccount) }

func testD14DisabledAccount(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	b := w.browser(t)
	b.logIn()
	b.follow(b.get(mail + "/"))
	account, err := w.store.AccountByNationalID(t.Context(), "RPPS", "899700218896")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.DisableAccount(t.Context(), account.Subject, w.now()); err != nil {
		t.Fatal(err)
	}
	b.wantSignedIn(false)
	if p := b.get(mail + "/"); p.status != http.StatusSeeOther {
		t.Errorf("service = %d, want a redirect to the login", p.status)
	}
	p := b.post(auth + "/login/card")
	p.wantError(t, http.StatusForbidden, textDisabled)
	b.wantSignedIn(false)
	refused := w.events(t, audit.LoginRefused)
	if len(refused) != 1 || refused[0].Reason != "account_disabled" || !p.shows(refused[0].Support) {
		t.Errorf("refusals = %+v, want account_disabled with the code of the page", refused)
	}
}

// A11, A24, A25: an account is one identifier of one type, compared exactly. Whoever differs in either is somebody else.
func TestA11A24A25AccountsAreMappedExactly(t *testing.T) {
	each(t, testA11A24A25AccountsAreMappedExactly)
}

func testA11A24A25AccountsAreMappedExactly(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	subjects := map[string]string{}
	for _, person := range []struct{ name, idType, id string }{
		{"a doctor", "RPPS", "899700218896"},
		{"the same number of another type", "ADELI", "899700218896"},
		{"an employee", "FINESS", "30B0057881/CPET0002"},
		{"in lower case", "FINESS", "30b0057881/cpet0002"},
		{"with a space", "FINESS", "30B0057881/CPET0002 "},
		{"without leading zero", "RPPS", "99700218896"},
		{"a longer one", "RPPS", "8997002188960"},
		{"a wildcard", "RPPS", "8%"},
	} {
		proof := martin()
		proof.IDType, proof.NationalID = person.idType, person.id
		w.method.believe(proof)
		b := w.browser(t)
		b.logIn()
		account, err := w.store.AccountByNationalID(t.Context(), person.idType, person.id)
		if err != nil {
			t.Fatal(err)
		}
		if same := subjects[account.Subject]; same != "" {
			t.Errorf("%s has the account of %s", person.name, same)
		}
		subjects[account.Subject] = person.name
	}

	// The newest card's names are shown; the account stays.
	proof := martin()
	proof.FamilyName = "DURAND"
	w.method.believe(proof)
	b := w.browser(t)
	b.logIn()
	if p := b.get(auth + "/"); !strings.Contains(p.body, "JEANNE DURAND") {
		t.Error("the portal does not show the name of the new card")
	}
	opened := w.events(t, audit.SessionOpened)
	if first, last := opened[0].Subject, opened[len(opened)-1].Subject; first != last {
		t.Errorf("subject after a change of name = %q, want %q", last, first)
	}
}

// A proof without an identifier is nobody: it opens no session.
func TestProofWithoutIdentifierIsRefused(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*idp.Proof){
		"no identifier": func(p *idp.Proof) { p.NationalID = "" },
		"no type":       func(p *idp.Proof) { p.IDType = "" },
	} {
		t.Run(name, func(t *testing.T) {
			proof := martin()
			change(&proof)
			w.method.believe(proof)
			b := w.browser(t)
			b.post(auth+"/login/card").wantError(t, http.StatusServiceUnavailable, textUnavailable)
			b.wantSignedIn(false)
		})
	}
}

func TestLoginIsRefusedWhenTheAuditCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	w.audit.breakDown()
	p := b.post(auth + "/login/card")
	p.wantError(t, http.StatusServiceUnavailable, textUnavailable)
	b.wantSignedIn(false)
	code := supportCode.FindStringSubmatch(w.log.String())
	if code == nil || !p.shows(code[1]) {
		t.Errorf("the log has code %q, and the page does not show it", code)
	}
}

var supportCode = regexp.MustCompile(`support=(\S+)`)

// shows says whether a page shows a support code: XXXX-XXXX, in two groups.
func (p page) shows(code string) bool {
	one, two, _ := strings.Cut(code, "-")
	return code != "" && strings.Contains(p.body, one) && strings.Contains(p.body, two)
}

// B10: without its database the gateway signs nobody in and lets nobody pass; it says 503, and no session is left over.
func TestB10DatabaseFailureFailsClosed(t *testing.T) { each(t, testB10DatabaseFailureFailsClosed) }

func testB10DatabaseFailureFailsClosed(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	b := w.browser(t)
	b.logIn()
	b.follow(b.get(mail + "/"))
	reached := w.backend.count()
	w.store.Close()
	for _, request := range []struct{ name, method, address string }{
		{"portal", http.MethodGet, auth + "/"},
		{"login page", http.MethodGet, auth + "/login"},
		{"login", http.MethodPost, auth + "/login/card"},
		{"sign out", http.MethodPost, auth + "/logout"},
		{"signed-out page", http.MethodGet, auth + "/logout"},
		{"service", http.MethodGet, mail + "/"},
		{"sign out of the service", http.MethodGet, mail + "/.authgw/logout"},
	} {
		t.Run(request.name, func(t *testing.T) {
			b.send(request.method, request.address, nil, "Sec-Fetch-Site", "same-origin").wantError(t, http.StatusServiceUnavailable, textUnavailable)
		})
	}
	if w.backend.count() != reached {
		t.Error("a request reached the service")
	}
	if b.cookie(auth, sessionCookie) == "" {
		t.Error("the cookie is gone, and the session is not over")
	}
}

// G9: a page of another site cannot make a browser sign in or out.
func TestG9CrossOriginPostsAreRefused(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.logIn()
	for name, headers := range map[string][]string{
		"cross-site":               {"Sec-Fetch-Site", "cross-site"},
		"same-site, a service":     {"Sec-Fetch-Site", "same-site"},
		"old browser, Origin only": {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"old browser, null Origin": {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/logout", "/login/card"} {
				b.post(auth+path, headers...).wantError(t, http.StatusForbidden, textForbidden)
			}
			b.wantSignedIn(true)
		})
	}
}

func TestLoginPageWithParametersThatNobodySent(t *testing.T) {
	w := newWorld(t)
	long := strings.Repeat("a", 5000)
	for _, test := range []struct {
		name, service, state string
		status               int
		target               string // after the login
	}{
		{"a state that is no token leads to the home of the service", "mail", "x", http.StatusOK, mail + "/inbox"},
		{"no state", "mail", "", http.StatusOK, mail + "/inbox"},
		// Longer than any cookie, and just short enough for one that has no room left for the login.
		{"a state of 5,000 characters", "mail", long, http.StatusOK, mail + "/inbox"},
		{"a state of 2,050 characters", "mail", long[:2050], http.StatusOK, mail + "/inbox"},
		{"a truncated token", "mail", token.New()[:token.Len-1], http.StatusOK, mail + "/inbox"},
		{"an unknown service", "payroll", token.New(), http.StatusNotFound, ""},
		{"a service of 5,000 characters", long, token.New(), http.StatusNotFound, ""},
		{"a service in another case", "MAIL", token.New(), http.StatusNotFound, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := w.browser(t)
			p := b.get(auth + "/login?" + url.Values{"service": {test.service}, "state": {test.state}}.Encode())
			if p.status != test.status {
				t.Fatalf("login page = %d, want %d", p.status, test.status)
			}
			if test.status != http.StatusOK {
				return
			}
			if p := b.post(auth + "/login/card"); p.location != test.target {
				t.Errorf("after the login: %d %s, want %s", p.status, p.location, test.target)
			}
		})
	}
}

// E2, E8: a token opens only what it was made for, and only whole.
func TestE2E8TokensOfOtherKindsAndTruncatedOnesOpenNothing(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	login := b.get(mail + "/")
	b.follow(login)
	entry := b.post(auth + "/login/card")
	b.get(auth + "/")
	at, err := url.Parse(entry.location)
	if err != nil {
		t.Fatal(err)
	}
	secret := b.cookie(auth, sessionCookie)
	for name, value := range map[string]string{
		"an entry code":          at.Query().Get("code"),
		"a state":                at.Query().Get("state"),
		"truncated":              secret[:len(secret)-1],
		"one character more":     secret + "A",
		"padded":                 secret + "=",
		"another case":           strings.ToUpper(secret),
		"its hash in hex":        strings.Repeat("0", 64),
		"empty":                  "",
		"of the service, beside": secret + "." + secret,
	} {
		t.Run(name, func(t *testing.T) {
			other := w.browser(t)
			other.setCookie(auth, sessionCookie, value)
			other.wantSignedIn(false)
		})
	}
	// The session's own token of one host is none of another's.
	other := w.browser(t)
	other.setCookie(mail, sessionCookie, secret)
	if p := other.get(mail + "/"); p.status != http.StatusSeeOther {
		t.Errorf("the auth host's token on a service host = %d, want a redirect to the login", p.status)
	}
	// And as a code it enters nowhere.
	q := at.Query()
	q.Set("code", secret)
	at.RawQuery = q.Encode()
	b.get(at.String()).wantError(t, http.StatusForbidden, textUnknown)
}

// No line of log or audit names the person, or holds what opens a session.
func TestLogAndAuditNameNobody(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.follow(b.get(mail + "/secret-path"))
	p := b.post(auth + "/login/card")
	code, _ := url.Parse(p.location)
	b.follow(p)
	secrets := []string{b.cookie(auth, sessionCookie), b.cookie(mail, sessionCookie), code.Query().Get("code"), code.Query().Get("state")}
	b.follow(b.post(auth + "/logout"))
	text := w.log.String() + w.audit.String()
	for _, s := range append(secrets, "MARTIN", "JEANNE", "899700218896", "Médecin", "secret-path") {
		if s == "" || strings.Contains(text, s) {
			t.Errorf("%q is in the log or the audit", s)
		}
	}
	var kinds []audit.Kind
	for _, k := range []audit.Kind{audit.LoginSucceeded, audit.SessionOpened, audit.ServiceEntered, audit.SessionEnded} {
		for _, e := range w.events(t, k) {
			kinds = append(kinds, k)
			if e.Subject == "" {
				t.Errorf("event %s has no subject", k)
			}
		}
	}
	if len(kinds) != 4 {
		t.Errorf("events = %v, want one of each kind", kinds)
	}
}

// Where the person wanted to go is in a cookie once they see the login, so the language may be changed there.
func TestLanguageIsChangedOnTheWayToAService(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	login := b.get(mail + "/deep").location
	if p := b.get(login); !strings.Contains(p.body, `href="?lang=en"`) {
		t.Fatalf("the login offers no other language:\n%s", p.body)
	}
	if p := b.get(auth + "/login?lang=en"); !strings.Contains(p.body, "To reach:") || !strings.Contains(p.body, `href="?lang=fr"`) {
		t.Errorf("in English it shows\n%s", p.body)
	}
	if _, last := b.follow(b.post(auth + "/login/card")); last != mail+"/deep" {
		t.Errorf("the login leads to %q", last)
	}
}
