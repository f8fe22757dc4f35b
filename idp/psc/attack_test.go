package psc_test

import (
	"database/sql"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"promess/authgw/idp"
	"promess/authgw/idp/psc"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
)

func TestTwoTabsOfOneBrowserBothComeBack(t *testing.T) {
	onBoth(t, testTwoTabsOfOneBrowserBothComeBack)
}

func testTwoTabsOfOneBrowserBothComeBack(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	first := b.toPSC()
	second := b.toPSC()
	back := w.psc.Choose(t, b.client, first, pscstub.Doctor)
	if p := b.get(back.String()); p.location != auth+"/" {
		t.Fatalf("the first tab comes back to %d %q: %.300s", p.status, p.location, p.body)
	}
	// The other one has nothing to open any more, and takes nothing away.
	to, err := w.psc.Follow(t.Context(), b.client, second)
	if err != nil {
		t.Fatal(err)
	}
	if p := b.get(to.String()); p.status != http.StatusForbidden || !strings.Contains(p.body, textUnknown) {
		t.Errorf("the second tab comes back to %d %q", p.status, p.location)
	}
	b.wantSignedIn(true)
}

// In one browser, a tab may offer the situations of somebody, and a later one those of somebody else.
func TestTwoTabsChooseEachForItsOwnPerson(t *testing.T) {
	onBoth(t, testTwoTabsChooseEachForItsOwnPerson)
}

func testTwoTabsChooseEachForItsOwnPerson(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	first := b.logIn(pscstub.TwoPlaces)
	exercises := map[string]any{"exercices": []any{map[string]any{"codeProfession": "60", "activities": []any{
		map[string]any{"raisonSocialeSite": "A"}, map[string]any{"raisonSocialeSite": "B"},
	}}}}
	w.psc.Set(psctest.Quirks{AskAgain: true, UserinfoExtra: map[string]any{"SubjectRefPro": exercises}})
	second := b.logIn(pscstub.Nurse)
	if first.location == second.location {
		t.Fatal("both choose at one address")
	}
	if p := b.send(http.MethodPost, first.location, url.Values{"situation": {"1"}}); p.location != auth+"/" {
		t.Fatalf("the choice leads to %d %q", p.status, p.location)
	}
	if v := b.session(); v.Account.FamilyName != "DUPRÉ" || !strings.Contains(v.Situation, "DEMONSTRATION") {
		t.Errorf("the first tab opens a session of %s at %s", v.Account.FamilyName, v.Situation)
	}
	// The nurse's choice would now be in the session of somebody else.
	b.send(http.MethodPost, second.location, url.Values{"situation": {"0"}})
	if v, err := w.idp.Sessions.Find(b.request(), authHost); err == nil && v.Account.FamilyName != "DUPRÉ" {
		t.Errorf("the second tab opens a session of %s", v.Account.FamilyName)
	}
}

// request is one that the browser would send to the auth host.
func (b *browser) request() *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, auth+"/", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range b.client.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	return r
}

// F7: a code that was given to somebody else's login (RFC 9700, section 4.5: code injection).
func TestF7CodeOfAnotherLoginOpensNothing(t *testing.T) {
	onBoth(t, testF7CodeOfAnotherLoginOpensNothing)
}

func testF7CodeOfAnotherLoginOpensNothing(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	victim, attacker := w.browser(t), w.browser(t)
	stolen, err := url.Parse(victim.returned(pscstub.Doctor))
	if err != nil {
		t.Fatal(err)
	}
	own, err := url.Parse(attacker.returned(pscstub.Nurse))
	if err != nil {
		t.Fatal(err)
	}
	q := own.Query()
	q.Set("code", stolen.Query().Get("code"))
	own.RawQuery = q.Encode()
	attacker.wantRefused(attacker.get(own.String()), http.StatusForbidden, textRefused, "psc_token")
	for name, change := range map[string]func(url.Values){
		"two states": func(q url.Values) { q.Add("state", q.Get("state")) },
		"two issuers": func(q url.Values) {
			q.Set("iss", w.psc.Issuer())
			q.Add("iss", w.psc.Issuer())
		},
		"two codes": func(q url.Values) { q.Add("code", q.Get("code")) },
	} {
		at, err := url.Parse(victim.returned(pscstub.Doctor))
		if err != nil {
			t.Fatal(err)
		}
		q := at.Query()
		change(q)
		at.RawQuery = q.Encode()
		if p := victim.get(at.String()); p.status != http.StatusForbidden {
			t.Errorf("%s: the return = %d %q", name, p.status, p.location)
		}
		victim.wantSignedIn(false)
	}
}

// G10: the audit trail is never shortened, and anybody can open the address of a return, or of a choice, that nobody has begun.
func TestG10FloodOfReturnsThatNobodyBeganDoesNotFillTheAudit(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for range 100 {
		for _, at := range []string{psc.CallbackPath + "?code=x&state=x", psc.CallbackPath, "/login/psc/situation/x"} {
			if p := b.get(auth + at); p.status != http.StatusForbidden || !strings.Contains(p.body, textUnknown) {
				t.Fatalf("%s = %d: %.300s", at, p.status, p.body)
			}
		}
	}
	if n := len(w.events(t, audit.LoginRefused)); n < 100 || n > 200 { // as of others that cost nothing: a hundred, and one in five seconds
		t.Errorf("%d of 300 refusals are in the audit, want 100 and a few", n)
	}
	if !strings.Contains(w.log.String(), "refusal not recorded") {
		t.Error("what was not recorded is not in the log")
	}
	b.wantRefused(b.logIn(""), http.StatusForbidden, textCancelled, "cancelled") // of somebody who was at PSC
}

// A form of another site neither begins a login, nor chooses, nor signs out.
func TestFormsOfOtherSitesDoNothing(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	choice := b.logIn(pscstub.TwoPlaces).location
	post := func(at string) int {
		t.Helper()
		r := b.request()
		r.Method = http.MethodPost
		var err error
		if r.URL, err = url.Parse(at); err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Origin", "https://evil.example")
		answer, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	for _, at := range []string{auth + "/login/psc", choice + "?situation=1"} {
		if status := post(at); status != http.StatusForbidden {
			t.Errorf("%s = %d, want 403", at, status)
		}
	}
	b.wantSignedIn(false)
	b.send(http.MethodPost, choice, url.Values{"situation": {"1"}})
	b.wantSignedIn(true)
	if status := post(auth + "/logout"); status != http.StatusForbidden {
		t.Errorf("logout = %d, want 403", status)
	}
	b.wantSignedIn(true)
}

// B14, F10: no body is waited for without an end, and no redirect is followed, not even to a host that is allowed.
func TestEndpointsThatHaveNoEndOrLeadElsewhereOpenNothing(t *testing.T) {
	onBoth(t, testEndpointsThatHaveNoEndOrLeadElsewhereOpenNothing)
}

func testEndpointsThatHaveNoEndOrLeadElsewhereOpenNothing(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	const elsewhere = "https://" + psctest.ForeignHost + "/"
	for name, tt := range map[string]struct {
		at           psctest.Endpoint
		fault        psctest.Fault
		status       int
		text, reason string
	}{
		"token, slow":              {psctest.Token, psctest.Fault{Slow: true}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"token, without end":       {psctest.Token, psctest.Fault{Huge: true}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"token, lost":              {psctest.Token, psctest.Fault{Lost: true}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"token, elsewhere":         {psctest.Token, psctest.Fault{Status: http.StatusTemporaryRedirect, To: elsewhere}, http.StatusForbidden, textRefused, "psc_token"},
		"token, to itself":         {psctest.Token, psctest.Fault{Status: http.StatusTemporaryRedirect, To: "?again"}, http.StatusForbidden, textRefused, "psc_token"},
		"userinfo, slow":           {psctest.Userinfo, psctest.Fault{Slow: true}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"userinfo, elsewhere":      {psctest.Userinfo, psctest.Fault{Status: http.StatusFound, To: elsewhere}, http.StatusForbidden, textRefused, "psc_answer"},
		"userinfo, 502":            {psctest.Userinfo, psctest.Fault{Status: http.StatusBadGateway}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"keys, slow":               {psctest.Keys, psctest.Fault{Slow: true}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"keys, without end":        {psctest.Keys, psctest.Fault{Huge: true}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"keys, elsewhere":          {psctest.Keys, psctest.Fault{Status: http.StatusFound, To: elsewhere}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"discovery, slow":          {psctest.Discovery, psctest.Fault{Slow: true}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"discovery, without end":   {psctest.Discovery, psctest.Fault{Huge: true}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
		"discovery, to plain http": {psctest.Discovery, psctest.Fault{Status: http.StatusFound, To: "http://127.0.0.1/"}, http.StatusServiceUnavailable, textDown, "psc_unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s, func(c *psc.Config) {
				if tt.fault.Slow {
					c.Timeout = 2 * time.Second // of what never comes
				}
			})
			b := w.browser(t)
			faults := psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{tt.at: tt.fault}}
			if tt.at == psctest.Discovery {
				w.psc.Set(faults)
				b.wantRefused(b.send(http.MethodPost, auth+"/login/psc", nil), tt.status, tt.text, tt.reason)
				return
			}
			at, before := b.returned(pscstub.Doctor), s.Requests(tt.at)
			w.psc.Set(faults)
			b.wantRefused(b.get(at), tt.status, tt.text, tt.reason)
			if n := s.Requests(tt.at) - before; n != 1 && tt.at != psctest.Keys {
				t.Errorf("it was asked %d times", n)
			}
		})
	}
}

// RFC 6749, section 10.4: a refresh token that comes twice may have been stolen, so the provider ends what it is of. A lost answer looks
// the same to it, and nobody can tell: the person signs in again.
func TestAnswerOfARefreshThatIsLostEndsTheSessionAtTheNext(t *testing.T) {
	onBoth(t, testAnswerOfARefreshThatIsLostEndsTheSessionAtTheNext)
}

func testAnswerOfARefreshThatIsLostEndsTheSessionAtTheNext(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	id := b.session().ID
	w.makeDue(t, id)
	b.active()
	w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Refresh: {Lost: true}}})
	w.renew(t, 1)
	b.wantSignedIn(true)
	w.psc.Set(psctest.Quirks{})
	w.makeDue(t, id)
	w.renew(t, 1)
	b.wantSignedIn(false)
	if got := w.ended(t); len(got) != 1 || got[0] != "psc_ended" {
		t.Errorf("ends = %v", got)
	}
	if p := b.get(auth + "/login"); !strings.Contains(p.body, textEnded) || !strings.Contains(p.body, "Connectez-vous de nouveau pour continuer") {
		t.Error("the login page does not say what happened, and what to do")
	}
	b.mustLogIn(pscstub.Doctor)
}

// Another service may have asked the person anew: Keycloak says when it last did. The same person it is.
func TestRenewalMayBeOfALaterProofAndNotOfAnEarlierOne(t *testing.T) {
	onBoth(t, testRenewalMayBeOfALaterProofAndNotOfAnEarlierOne)
}

func testRenewalMayBeOfALaterProofAndNotOfAnEarlierOne(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for name, tt := range map[string]struct {
		by   time.Duration
		open bool
		end  string
	}{"later": {30 * time.Second, true, ""}, "earlier": {-time.Hour, false, "psc_ended"}} {
		t.Run(name, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			b := w.browser(t)
			b.mustLogIn(pscstub.Doctor)
			expires := b.session().ExpiresAt
			w.makeDue(t, b.session().ID)
			b.active()
			w.psc.Set(psctest.Quirks{RefreshAuthTime: tt.by})
			w.renew(t, 1)
			b.wantSignedIn(tt.open)
			if got := strings.Join(w.ended(t), " "); got != tt.end {
				t.Errorf("ends = %q, want %q", got, tt.end)
			}
			if tt.open && !b.session().ExpiresAt.Equal(expires) {
				t.Errorf("the session lasts until %s, want %s as before", b.session().ExpiresAt, expires)
			}
		})
	}
}

func TestSandboxIdentityIsTakenInTheSandboxOnly(t *testing.T) {
	onBoth(t, testSandboxIdentityIsTakenInTheSandboxOnly)
}

func testSandboxIdentityIsTakenInTheSandboxOnly(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	const editor = "ANS20990101000001" // as PSC's sandbox has it, with the origine EDIT
	w := newWorldWith(t, s, func(c *psc.Config) { c.Sandbox = true })
	b := w.browser(t)
	is := func(id string) {
		w.psc.Set(psctest.Quirks{BareIDToken: true, UserinfoExtra: map[string]any{"SubjectNameID": id}})
	}
	is(editor)
	b.mustLogIn(pscstub.Doctor)
	if a := b.session().Account; a.IDType != "EDIT" || a.NationalID != editor {
		t.Errorf("account = %s %s", a.IDType, a.NationalID)
	}
	w.makeDue(t, b.session().ID)
	b.active()
	w.renew(t, 1)
	b.wantSignedIn(true)
	for _, id := range []string{"ANS2099010100000", "ANS209901010000011", "ans20990101000001", "ANS2099010100000A", " " + editor} {
		is(id)
		other := w.browser(t)
		other.wantRefused(other.logIn(pscstub.Nurse), http.StatusForbidden, textIdentity, "psc_identity")
	}
	production := newWorldWith(t, s)
	production.psc.Set(psctest.Quirks{BareIDToken: true, UserinfoExtra: map[string]any{"SubjectNameID": editor}})
	b = production.browser(t)
	b.wantRefused(b.logIn(pscstub.Doctor), http.StatusForbidden, textIdentity, "psc_identity")
}

func TestDisabledAccountIsRefusedAndItsSessionEnds(t *testing.T) {
	onBoth(t, testDisabledAccountIsRefusedAndItsSessionEnds)
}

func testDisabledAccountIsRefusedAndItsSessionEnds(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	v := b.session()
	w.makeDue(t, v.ID)
	b.active()
	if _, err := w.store.DisableAccount(t.Context(), v.Account.Subject, w.now()); err != nil {
		t.Fatal(err)
	}
	w.renew(t, 0)
	if n := w.psc.Requests(psctest.Refresh); n != 0 {
		t.Errorf("%d refreshes of a session that is over", n)
	}
	again := w.browser(t)
	again.wantRefused(again.logIn(pscstub.Doctor), http.StatusForbidden, "désactivé", "account_disabled")
}

func TestLogoutTokenThatCouldNotBeFollowedMayComeAgain(t *testing.T) {
	onBoth(t, testLogoutTokenThatCouldNotBeFollowedMayComeAgain)
}

func testLogoutTokenThatCouldNotBeFollowedMayComeAgain(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	sid, _ := w.psc.IDTokens()[0]["sid"].(string)
	token := w.psc.LogoutToken(t, psctest.LogoutToken{Audience: clientID, Sid: sid})
	db, err := sql.Open("sqlite", w.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE TRIGGER broken BEFORE UPDATE OF ended_at ON sessions BEGIN SELECT RAISE(ABORT, 'broken'); END"); err != nil {
		t.Fatal(err)
	}
	if status := psctest.SendLogout(t, b.client, auth+psc.BackchannelPath, token); status != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", status)
	}
	if _, err := db.Exec("DROP TRIGGER broken"); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{http.StatusOK, http.StatusBadRequest} {
		if status := psctest.SendLogout(t, b.client, auth+psc.BackchannelPath, token); status != want {
			t.Errorf("time %d: status %d, want %d", i+2, status, want)
		}
	}
	b.wantSignedIn(false)
}

func TestBackChannelLogoutIsAFormOfBoundedSize(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	if status := psctest.SendLogout(t, b.client, auth+psc.BackchannelPath, strings.Repeat("x", 2<<20)); status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: status %d, want 400 or 413", status)
	}
	if p := b.get(auth + psc.BackchannelPath); p.status != http.StatusMethodNotAllowed && p.status != http.StatusNotFound {
		t.Errorf("GET: status %d", p.status)
	}
	if p := b.send(http.MethodPost, auth+psc.BackchannelPath+"?logout_token=x", url.Values{}); p.status != http.StatusBadRequest {
		t.Errorf("a token in the address: status %d, want 400", p.status)
	}
}

func TestButtonHasTheOperatorsImage(t *testing.T) {
	image := idp.NewLogo("image/svg+xml", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`))
	w := newWorld(t, func(c *psc.Config) { c.Button = image })
	b := w.browser(t)
	if p := b.get(auth + "/login"); !strings.Contains(p.body, `src="/login/psc/button`) || !strings.Contains(p.body, "S&#39;identifier avec Pro Santé Connect") {
		t.Errorf("the login page lacks the image, or the words for who does not see it: %.900s", p.body)
	}
	answer, err := b.client.Get(auth + "/login/psc/button" + image.Query())
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	for name, want := range map[string]string{
		"Content-Type": "image/svg+xml", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
		"Cache-Control": "public, max-age=31536000, immutable",
	} {
		if got := answer.Header.Get(name); answer.StatusCode != http.StatusOK || got != want {
			t.Errorf("status %d, %s = %q, want %q", answer.StatusCode, name, got, want)
		}
	}
	// A drawing that is opened by itself runs nothing.
	if policy := answer.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "sandbox") {
		t.Errorf("policy = %q", policy)
	}
	if p := newWorld(t).browser(t).get(auth + "/login/psc/button"); p.status != http.StatusNotFound {
		t.Errorf("without an image: %d, want 404", p.status)
	}
}

// The tokens, codes, secrets of a login and the client's are in no log line, at any level, in no audit event, and nowhere in the files of
// the database, from the button to the sign-out; the person is in no log line or audit event.
func TestNothingOfALoginIsWrittenDownInClear(t *testing.T) {
	onBoth(t, testNothingOfALoginIsWrittenDownInClear)
}

func testNothingOfALoginIsWrittenDownInClear(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	secrets := map[string]string{"the client's secret": secret, "its form": url.QueryEscape(secret)}
	look := func(when string) {
		t.Helper()
		for _, token := range w.psc.Tokens() {
			secrets["a token "+token[:12]] = token
			if parts := strings.Split(token, "."); len(parts) == 3 {
				secrets["a payload "+parts[1][:12]] = parts[1]
			}
		}
		for _, c := range w.psc.IDTokens() {
			secrets["a nonce"], _ = c["nonce"].(string)
		}
		written := w.log.String() + w.audit.String()
		data := ""
		for _, name := range []string{w.database, w.database + "-wal"} {
			file, err := os.ReadFile(name)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			data += string(file)
		}
		for name, s := range secrets {
			if s == "" {
				t.Fatalf("%s: %s is not known", when, name)
			}
			if strings.Contains(written, s) {
				t.Errorf("%s: %s was written to the log or the audit", when, name)
			}
			if strings.Contains(data, s) {
				t.Errorf("%s: %s is in the database", when, name)
			}
		}
		for _, s := range []string{"DUPRÉ", "CLAIRE", "899700990015", "TILLEULS"} {
			if strings.Contains(written, s) {
				t.Errorf("%s: the person (%s) was written to the log or the audit", when, s)
			}
		}
	}
	toPSC, err := url.Parse(b.toPSC())
	if err != nil {
		t.Fatal(err)
	}
	secrets["the state"], secrets["the nonce asked for"] = toPSC.Query().Get("state"), toPSC.Query().Get("nonce")
	look("after the button")
	at := w.psc.Choose(t, b.client, toPSC.String(), pscstub.TwoPlaces)
	secrets["the code"] = at.Query().Get("code")
	p := b.get(at.String())
	look("before the choice")
	if p = b.send(http.MethodPost, p.location, url.Values{"situation": {"1"}}); p.location != auth+"/" {
		t.Fatalf("the choice leads to %d %q", p.status, p.location)
	}
	w.makeDue(t, b.session().ID)
	b.active()
	w.renew(t, 1)
	look("after a renewal")
	if n := len(w.psc.Tokens()); n != 6 { // access, refresh and ID token, twice
		t.Errorf("%d tokens were looked for, want 6", n)
	}
	hint, err := url.Parse(b.signOut())
	if err != nil {
		t.Fatal(err)
	}
	secrets["the hint"] = hint.Query().Get("id_token_hint")
	look("after the sign-out")
	if n := len(w.events(t, audit.SessionEnded)); n != 1 {
		t.Errorf("%d ends in the audit, want 1", n)
	}
}
