package psc_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp/psc"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
)

// makeDue makes the tokens of a browser's session due now.
func (w *world) makeDue(t testing.TB, id string) {
	t.Helper()
	if err := w.store.PostponePSC(t.Context(), id, w.now()); err != nil {
		t.Fatal(err)
	}
}

// renew renews what is due, and wants it to be so many sessions.
func (w *world) renew(t testing.TB, want int) {
	t.Helper()
	n, err := w.method.RenewDue(t.Context())
	if err != nil || n != want {
		t.Errorf("RenewDue = %d, %v, want %d", n, err, want)
	}
}

// active lets some time pass, and the person do something. The stand-in's tokens are good for two minutes.
func (b *browser) active() {
	b.t.Helper()
	b.w.advance(40 * time.Second)
	b.wantSignedIn(true)
}

func (w *world) ended(t testing.TB) []string {
	t.Helper()
	var reasons []string
	for _, e := range w.events(t, audit.SessionEnded) {
		reasons = append(reasons, e.Reason)
	}
	return reasons
}

func TestTokensAreRenewedWhileThePersonIsActiveAndNotOtherwise(t *testing.T) {
	onBoth(t, testTokensAreRenewedWhileThePersonIsActiveAndNotOtherwise)
}

func testTokensAreRenewedWhileThePersonIsActiveAndNotOtherwise(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	id := b.session().ID
	before, err := w.store.PSCSession(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if left := before.Due.Sub(w.now()); left < 3*time.Minute || left > 7*time.Minute {
		t.Errorf("due in %s, want about a sixth of 30 minutes", left)
	}
	w.renew(t, 0) // not due
	w.advance(40 * time.Second)
	w.makeDue(t, id)
	w.renew(t, 0) // nobody was there since
	b.active()
	w.renew(t, 1)
	if n := w.psc.Requests(psctest.Refresh); n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	after, err := w.store.PSCSession(t.Context(), id)
	if err != nil || after.Tokens == before.Tokens {
		t.Errorf("the tokens are the same (%v)", err)
	}
	w.makeDue(t, id)
	b.active()
	w.renew(t, 1) // with the new token: the stand-in takes each once, and ends a session whose token comes twice
	b.wantSignedIn(true)
	if got := w.ended(t); len(got) != 0 {
		t.Errorf("ends = %v", got)
	}
}

func TestSessionThatPSCHasEndedEndsAndThePageSaysSo(t *testing.T) {
	onBoth(t, testSessionThatPSCHasEndedEndsAndThePageSaysSo)
}

func testSessionThatPSCHasEndedEndsAndThePageSaysSo(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	w.makeDue(t, b.session().ID)
	b.active()
	w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Refresh: psctest.Refused()}})
	w.renew(t, 1)
	b.wantSignedIn(false)
	if got := w.ended(t); len(got) != 1 || got[0] != "psc_ended" {
		t.Errorf("ends = %v", got)
	}
	if p := b.get(auth + "/login"); !strings.Contains(p.body, textEnded) {
		t.Error("the login page does not say why")
	}
	if p := b.get(auth + "/login"); strings.Contains(p.body, textEnded) {
		t.Error("the login page says it again")
	}
}

func TestPSCThatDoesNotAnswerEndsNoSession(t *testing.T) {
	onBoth(t, testPSCThatDoesNotAnswerEndsNoSession)
}

func testPSCThatDoesNotAnswerEndsNoSession(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	id := b.session().ID
	w.makeDue(t, id)
	b.active()
	w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Refresh: {Status: 502}}})
	w.renew(t, 1)
	b.wantSignedIn(true)
	v, err := w.store.PSCSession(t.Context(), id)
	if left := v.Due.Sub(w.now()); err != nil || left < 30*time.Second || left > 2*time.Minute {
		t.Errorf("due in %s (%v), want in about a minute", left, err)
	}
	w.psc.Set(psctest.Quirks{})
	w.makeDue(t, id)
	w.renew(t, 1)
	b.wantSignedIn(true)
}

// In 2026 another doctor's mailbox was shown after a change of cards.
func TestAnotherPersonAtARefreshEndsTheSession(t *testing.T) {
	onBoth(t, testAnotherPersonAtARefreshEndsTheSession)
}

func testAnotherPersonAtARefreshEndsTheSession(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for name, q := range map[string]psctest.Quirks{
		"in the tokens":              {RefreshPerson: pscstub.Nurse},
		"in the tokens, same sub":    {RefreshPerson: pscstub.Nurse, RefreshKeepSub: true},
		"in userinfo only":           {RefreshPerson: pscstub.Nurse, BareIDToken: true},
		"in userinfo only, same sub": {RefreshPerson: pscstub.Nurse, BareIDToken: true, RefreshKeepSub: true},
	} {
		t.Run(name, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			b := w.browser(t)
			b.mustLogIn(pscstub.Doctor)
			w.makeDue(t, b.session().ID)
			b.active()
			w.psc.Set(q)
			w.renew(t, 1)
			b.wantSignedIn(false)
			if got := w.ended(t); len(got) != 1 || got[0] != "psc_other_person" {
				t.Errorf("ends = %v\n%s", got, w.log.String())
			}
			if p := b.get(auth + "/login"); !strings.Contains(p.body, "Une autre personne s’est identifiée") {
				t.Error("the login page does not say why")
			}
		})
	}
}

func TestSubThatChangesAtARefreshIsSurvived(t *testing.T) {
	onBoth(t, testSubThatChangesAtARefreshIsSurvived)
}

func testSubThatChangesAtARefreshIsSurvived(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	w.makeDue(t, b.session().ID)
	b.active()
	w.psc.Set(psctest.Quirks{Sub: psctest.SubLegacy})
	w.renew(t, 1)
	b.wantSignedIn(true)
	subject, err := w.store.PSCSubject(t.Context(), w.psc.Issuer(), psctest.LegacySub("899700218896"))
	if err != nil || subject != b.session().Account.Subject {
		t.Errorf("the new sub is of %q (%v)", subject, err)
	}
}

func TestAnotherPersonInTheSameBrowserEndsTheSession(t *testing.T) {
	onBoth(t, testAnotherPersonInTheSameBrowserEndsTheSession)
}

func testAnotherPersonInTheSameBrowserEndsTheSession(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	w.psc.Set(psctest.Quirks{AskAgain: true})
	b.wantRefused(b.logIn(pscstub.Nurse), http.StatusForbidden, textOther, "psc_other_person")
	if got := w.ended(t); len(got) != 1 || got[0] != "psc_other_person" {
		t.Errorf("ends = %v", got)
	}
	b.mustLogIn(pscstub.Nurse)
	if a := b.session().Account; a.FamilyName != "LE BIHAN" {
		t.Errorf("the session is of %s", a.FamilyName)
	}
}

func TestOneRefreshOfASessionAcrossGateways(t *testing.T) {
	onBoth(t, testOneRefreshOfASessionAcrossGateways)
}

func testOneRefreshOfASessionAcrossGateways(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	w.makeDue(t, b.session().ID)
	b.active()
	hold := make(chan struct{})
	w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Refresh: {Hold: hold}}})
	var group sync.WaitGroup
	taken := make(chan int, 3)
	for range 3 {
		other := psc.New(w.method.Config)
		if err := other.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			n, err := other.RenewDue(context.WithoutCancel(t.Context()))
			if err != nil {
				t.Error(err)
			}
			taken <- n
		})
	}
	if first, second := <-taken, <-taken; first+second != 0 {
		t.Errorf("two of three that were not held took %d and %d", first, second)
	}
	close(hold)
	group.Wait()
	if n := w.psc.Requests(psctest.Refresh); n != 1 || <-taken != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
	b.wantSignedIn(true)
}

// signOut presses "sign out", and goes round to where PSC is asked.
func (b *browser) signOut() string {
	b.t.Helper()
	p := b.send(http.MethodPost, auth+"/logout", nil)
	b.wantSignedIn(false) // whatever comes of the rest
	for range 5 {
		if !strings.Contains(p.location, ".example.test/") {
			return p.location
		}
		p = b.get(p.location)
	}
	b.t.Fatal("the sign-out goes round in circles")
	return ""
}

func TestSignOutEndsTheSessionAtPSCTooAndComesBackWithOrWithoutState(t *testing.T) {
	onBoth(t, testSignOutEndsTheSessionAtPSCTooAndComesBackWithOrWithoutState)
}

func testSignOutEndsTheSessionAtPSCTooAndComesBackWithOrWithoutState(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for _, state := range []psctest.Presence{psctest.Present, psctest.Absent, psctest.Wrong} {
		t.Run("state "+string(state), func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			b := w.browser(t)
			b.mustLogIn(pscstub.Doctor)
			w.psc.Set(psctest.Quirks{LogoutState: state})
			at := b.signOut()
			u, err := url.Parse(at)
			if err != nil || u.Query().Get("id_token_hint") == "" || u.Query().Get("post_logout_redirect_uri") != auth+"/logout" || u.Query().Get("state") == "" {
				t.Fatalf("PSC is asked with %v (%v)", u.Query(), err)
			}
			back, err := w.psc.Follow(t.Context(), b.client, at)
			if err != nil || back == nil {
				t.Fatalf("PSC sends the browser to %v, %v", back, err)
			}
			if p := b.get(back.String()); p.status != http.StatusOK || !strings.Contains(p.body, textSignedOut) {
				t.Errorf("the return = %d %.300s", p.status, p.body)
			}
			if _, err := w.psc.Follow(t.Context(), b.client, b.toPSC()); !errors.Is(err, psctest.ErrChoice) {
				t.Errorf("PSC still knows the browser: %v", err)
			}
		})
	}
}

func TestSignOutWithoutPSCIsASignOut(t *testing.T) { onBoth(t, testSignOutWithoutPSCIsASignOut) }

func testSignOutWithoutPSCIsASignOut(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	w.psc.Set(psctest.Quirks{Discovery: psctest.DiscoveryNoLogout})
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	p := b.send(http.MethodPost, auth+"/logout", nil)
	if p.location != auth+"/logout" {
		t.Errorf("the sign-out leads to %q", p.location)
	}
	b.wantSignedIn(false)
}

func TestHandleOfASignOutIsGoodOnce(t *testing.T) { onBoth(t, testHandleOfASignOutIsGoodOnce) }

func testHandleOfASignOutIsGoodOnce(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	p := b.send(http.MethodPost, auth+"/logout", nil)
	if !strings.HasPrefix(p.location, auth+"/logout/psc/") {
		t.Fatalf("the sign-out leads to %q", p.location)
	}
	if first := b.get(p.location); !strings.Contains(first.location, "id_token_hint=") {
		t.Errorf("it leads to %q", first.location)
	}
	if second := b.get(p.location); second.location != auth+"/logout" {
		t.Errorf("the second time it leads to %q", second.location)
	}
}

// F14: a logout token is verified as an ID token is, and taken once.
func TestF14BackChannelLogout(t *testing.T) { onBoth(t, testF14BackChannelLogout) }

func testF14BackChannelLogout(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	sid, _ := w.psc.IDTokens()[0]["sid"].(string)
	post := func(l psctest.LogoutToken) int {
		t.Helper()
		return psctest.SendLogout(t, b.client, auth+psc.BackchannelPath, w.psc.LogoutToken(t, l))
	}
	good := psctest.LogoutToken{Audience: clientID, Sid: sid, JTI: "once"}
	for name, change := range map[string]func(*psctest.LogoutToken){
		"another audience": func(l *psctest.LogoutToken) { l.Audience = "another" },
		"another issuer":   func(l *psctest.LogoutToken) { l.Issuer = "https://other.example" },
		"no event":         func(l *psctest.LogoutToken) { l.NoEvent = true },
		"a nonce":          func(l *psctest.LogoutToken) { l.Nonce = true },
		"expired":          func(l *psctest.LogoutToken) { l.Lasts = -10 * time.Minute },
		"old":              func(l *psctest.LogoutToken) { l.Age = time.Hour },
		"nobody":           func(l *psctest.LogoutToken) { l.Sid = "" },
		"another key":      func(l *psctest.LogoutToken) { l.Quirk = psctest.IDTokenOtherKey },
		"alg none":         func(l *psctest.LogoutToken) { l.Quirk = psctest.IDTokenAlgNone },
		"HS256":            func(l *psctest.LogoutToken) { l.Quirk = psctest.IDTokenHS256Public },
	} {
		l := good
		l.JTI = name
		change(&l)
		if status := post(l); status != http.StatusBadRequest {
			t.Errorf("%s: status %d, want 400", name, status)
		}
	}
	if status := psctest.SendLogout(t, b.client, auth+psc.BackchannelPath, "x"); status != http.StatusBadRequest {
		t.Errorf("no token: status %d, want 400", status)
	}
	b.wantSignedIn(true)
	if status := post(good); status != http.StatusOK {
		t.Errorf("status %d, want 200", status)
	}
	b.wantSignedIn(false)
	if status := post(good); status != http.StatusBadRequest {
		t.Errorf("a second time: status %d, want 400", status)
	}
	if p := b.get(auth + "/login"); !strings.Contains(p.body, "Vous vous êtes déconnecté de Pro Santé Connect") {
		t.Error("the login page does not say why")
	}
}

func TestTLSClientAuthentication(t *testing.T) { onBoth(t, testTLSClientAuthentication) }

func testTLSClientAuthentication(t *testing.T, k psctest.Kind) {
	authority := psctest.NewAuthority(t)
	right, wrong := authority.Issue(t, "gateway"), authority.Issue(t, "somebody else")
	foreign := psctest.NewAuthority(t).Issue(t, "gateway")
	pki, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	client := pscstub.Client{
		ID: clientID, CertificateSubject: right.Leaf.Subject.String(), CertificateRoots: authority.Roots(), RedirectURIs: []string{auth + psc.CallbackPath},
	}
	standIn := k.Start(t, psctest.Config{PKI: pki, Clients: []pscstub.Client{client}})
	for _, tt := range []struct {
		name string
		cert *tls.Certificate
		ok   bool
	}{{"right", &right, true}, {"of another name", &wrong, false}, {"of another authority", &foreign, false}, {"none", nil, false}} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorldWith(t, standIn, func(c *psc.Config) { c.Auth, c.Secret, c.Certificate = psc.TLS, "", tt.cert })
			b := w.browser(t)
			if tt.ok {
				b.mustLogIn(pscstub.Doctor)
				return
			}
			b.wantRefused(b.logIn(pscstub.Doctor), http.StatusForbidden, textRefused, "psc_token")
		})
	}
}

func TestSecretInTheForm(t *testing.T) {
	pki, err := hierarchy()
	if err != nil {
		t.Fatal(err)
	}
	client := pscstub.Client{ID: clientID, Secret: secret, RedirectURIs: []string{auth + psc.CallbackPath}}
	standIn := psctest.Go{}.Start(t, psctest.Config{PKI: pki, Clients: []pscstub.Client{client}})
	newWorldWith(t, standIn, func(c *psc.Config) { c.Auth = psc.Post }).browser(t).mustLogIn(pscstub.Doctor)
	b := newWorldWith(t, standIn, func(c *psc.Config) { c.Auth = psc.Post; c.Secret = "another" }).browser(t)
	b.wantRefused(b.logIn(pscstub.Doctor), http.StatusForbidden, textRefused, "psc_token")
}

// What cannot be checked is not believed, and is no reason to lose the session: the token of before is worth nothing any more.
func TestRenewalThatCannotBeCheckedIsRepeatedWithTheNewToken(t *testing.T) {
	onBoth(t, testRenewalThatCannotBeCheckedIsRepeatedWithTheNewToken)
}

func testRenewalThatCannotBeCheckedIsRepeatedWithTheNewToken(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for name, q := range map[string]psctest.Quirks{
		"no keys":     {Faults: map[psctest.Endpoint]psctest.Fault{psctest.Keys: {Status: 503}}},
		"no userinfo": {BareIDToken: true, Faults: map[psctest.Endpoint]psctest.Fault{psctest.Userinfo: {Status: 503}}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			b := w.browser(t)
			b.mustLogIn(pscstub.Doctor)
			id, before := b.session().ID, s.Requests(psctest.Refresh)
			w.makeDue(t, id)
			b.active()
			w.psc.Set(q)
			w.psc.RotateKey(t)
			w.renew(t, 1)
			b.wantSignedIn(true)
			w.psc.Set(psctest.Quirks{})
			w.makeDue(t, id)
			w.renew(t, 1)
			b.wantSignedIn(true)
			if n := s.Requests(psctest.Refresh) - before; n != 2 {
				t.Errorf("%d refreshes, want 2", n)
			}
		})
	}
}

func TestKeysThatAreNotToBeHadLeaveTheOtherWays(t *testing.T) {
	onBoth(t, testKeysThatAreNotToBeHadLeaveTheOtherWays)
}

func testKeysThatAreNotToBeHadLeaveTheOtherWays(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Keys: {Status: 503}}})
	b := w.browser(t)
	b.wantRefused(b.logIn(pscstub.Doctor), http.StatusServiceUnavailable, textDown, "psc_unavailable")
}
