package psc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"promess/authgw/idp/psc"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
)

// F5, F7, F14: whatever is wrong with an answer, it opens nothing.
func TestF5AnswersThatAreNotWhatTheyShouldBeOpenNothing(t *testing.T) {
	onBoth(t, testF5AnswersThatAreNotWhatTheyShouldBeOpenNothing)
}

func testF5AnswersThatAreNotWhatTheyShouldBeOpenNothing(t *testing.T, k psctest.Kind) {
	tokens := []psctest.IDTokenQuirk{
		psctest.IDTokenMissing, psctest.IDTokenWrongNonce, psctest.IDTokenNoNonce, psctest.IDTokenWrongIssuer, psctest.IDTokenWrongAudience,
		psctest.IDTokenTwoAudiences, psctest.IDTokenWrongAzp, psctest.IDTokenExpired, psctest.IDTokenFuture, psctest.IDTokenOtherKey,
		psctest.IDTokenUnknownKey, psctest.IDTokenAlgNone, psctest.IDTokenHS256, psctest.IDTokenHS256Public, psctest.IDTokenWrongAtHash,
		psctest.IDTokenNoAuthTime, psctest.IDTokenOldAuthTime, psctest.IDTokenNoSub,
	}
	quirks := map[string]psctest.Quirks{
		"userinfo of another":       {UserinfoAnother: true},
		"userinfo without sub":      {Userinfo: psctest.UserinfoNoSub},
		"userinfo no JSON":          {UserinfoFormat: psctest.UserinfoNotJSON},
		"userinfo by another key":   {UserinfoFormat: psctest.UserinfoJWTOtherKey},
		"userinfo alg none":         {UserinfoFormat: psctest.UserinfoJWTNone},
		"userinfo for another":      {UserinfoFormat: psctest.UserinfoJWTAudience},
		"userinfo of another iss":   {UserinfoFormat: psctest.UserinfoJWTIssuer},
		"userinfo of another name":  {UserinfoExtra: map[string]any{"SubjectNameID": "899700990023"}},
		"userinfo that has no end":  {Faults: map[psctest.Endpoint]psctest.Fault{psctest.Userinfo: {Huge: true}}},
		"userinfo 401":              {Faults: map[psctest.Endpoint]psctest.Fault{psctest.Userinfo: {Status: 401, Error: "invalid_token"}}},
		"another iss on the return": {CallbackIss: psctest.Wrong},
		"an unknown error":          {CallbackError: "login_required"},
	}
	for _, q := range tokens {
		quirks["ID token "+string(q)] = psctest.Quirks{IDToken: q}
	}
	w := newWorldBefore(t, k)
	for name, q := range quirks {
		t.Run(name, func(t *testing.T) {
			w.psc.Set(q)
			b := w.browser(t)
			p := b.logIn(pscstub.Doctor)
			if p.status != http.StatusForbidden || !strings.Contains(p.body, textRefused) {
				t.Errorf("page = %d to %q, want %q:\n%.300s", p.status, p.location, textRefused, p.body)
			}
			b.wantSignedIn(false)
		})
	}
	if made := w.events(t, audit.AccountCreated); len(made) != 0 {
		t.Errorf("accounts were made: %+v", made)
	}
}

func TestWhoHasNoNationalIdentifierIsNobody(t *testing.T) {
	onBoth(t, testWhoHasNoNationalIdentifierIsNobody)
}

func testWhoHasNoNationalIdentifierIsNobody(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for name, id := range map[string]any{"none": "", "a test identity": "ANS20990101000001", "two in one": "899700218896 899700990023", "not a text": 7} {
		t.Run(name, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			w.psc.Set(psctest.Quirks{BareIDToken: true, UserinfoExtra: map[string]any{"SubjectNameID": id}})
			b := w.browser(t)
			b.wantRefused(b.logIn(pscstub.Doctor), http.StatusForbidden, textIdentity, "psc_identity")
		})
	}
}

// F7: what answers no question of this browser, or answers it a second time, is nothing.
func TestF7StateMissingReplayedOrOfAnotherBrowser(t *testing.T) {
	onBoth(t, testF7StateMissingReplayedOrOfAnotherBrowser)
}

func testF7StateMissingReplayedOrOfAnotherBrowser(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	at := b.returned(pscstub.Doctor)
	without, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	q := without.Query()
	q.Del("state")
	without.RawQuery = q.Encode()
	b.wantRefused(b.get(without.String()), http.StatusForbidden, textUnknown, "state_unknown")
	stranger := w.browser(t)
	stranger.wantRefused(stranger.get(at), http.StatusForbidden, textUnknown, "other_browser")
	b.wantRefused(b.get(at), http.StatusForbidden, textUnknown, "state_unknown") // used up by the stranger

	other := w.browser(t)
	at = other.returned(pscstub.Doctor)
	other.get(at)
	other.wantSignedIn(true)
	if p := other.get(at); p.status != http.StatusForbidden || !strings.Contains(p.body, textUnknown) {
		t.Errorf("the return a second time = %d", p.status)
	}
	late := w.browser(t)
	at = late.returned(pscstub.Doctor)
	w.advance(16 * time.Minute)
	late.wantRefused(late.get(at), http.StatusForbidden, textUnknown, "state_unknown")
}

func TestPersonWhoCancelsIsToldSo(t *testing.T) { onBoth(t, testPersonWhoCancelsIsToldSo) }

func testPersonWhoCancelsIsToldSo(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.wantRefused(b.logIn(""), http.StatusForbidden, textCancelled, "cancelled")
}

func TestTokenEndpointThatFailsLeavesTheOtherWays(t *testing.T) {
	onBoth(t, testTokenEndpointThatFailsLeavesTheOtherWays)
}

func testTokenEndpointThatFailsLeavesTheOtherWays(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for name, fault := range map[string]psctest.Fault{"502": {Status: 502}, "cut": {Cut: true}, "hangs": {Hang: true}} {
		t.Run(name, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s, func(c *psc.Config) {
				if fault.Hang {
					c.Timeout = 2 * time.Second // of what never comes
				}
			})
			b := w.browser(t)
			at := b.returned(pscstub.Doctor)
			w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Token: fault}})
			b.wantRefused(b.get(at), http.StatusServiceUnavailable, textDown, "psc_unavailable")
		})
	}
	for name, fault := range map[string]psctest.Fault{"400": {Status: 400}, "refused": psctest.Refused()} {
		t.Run(name, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Token: fault}})
			b := w.browser(t)
			b.wantRefused(b.logIn(pscstub.Doctor), http.StatusForbidden, textRefused, "psc_token")
		})
	}
}

func TestKeyRotationGoesUnnoticed(t *testing.T) { onBoth(t, testKeyRotationGoesUnnoticed) }

func testKeyRotationGoesUnnoticed(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	w.browser(t).mustLogIn(pscstub.Doctor)
	w.psc.RotateKey(t)
	w.browser(t).mustLogIn(pscstub.Nurse)
}

func TestWrongDiscoveryMakesTheMethodUnavailableAndRecovers(t *testing.T) {
	onBoth(t, testWrongDiscoveryMakesTheMethodUnavailableAndRecovers)
}

func testWrongDiscoveryMakesTheMethodUnavailableAndRecovers(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for _, q := range []psctest.DiscoveryQuirk{
		psctest.DiscoveryWrongIssuer, psctest.DiscoveryForeignHost, psctest.DiscoveryHTTP, psctest.DiscoveryNoKeys, psctest.DiscoveryNotJSON,
		psctest.DiscoveryForeignKeys,
	} {
		t.Run(string(q), func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			w.psc.Set(psctest.Quirks{Discovery: q})
			b := w.browser(t)
			b.wantRefused(b.send(http.MethodPost, auth+"/login/psc", nil), http.StatusServiceUnavailable, "n’est pas utilisable en ce moment", "psc_unavailable")
			if s := w.method.State(); !strings.HasPrefix(s, "unavailable: ") {
				t.Errorf("State = %q", s)
			}
			w.psc.Set(psctest.Quirks{})
			w.advance(10 * time.Second)
			b.mustLogIn(pscstub.Doctor)
			if s := w.method.State(); s != "ok" {
				t.Errorf("State = %q, want ok", s)
			}
		})
	}
}

func TestBreakerLeavesAServerAloneThatDoesNotAnswer(t *testing.T) {
	onBoth(t, testBreakerLeavesAServerAloneThatDoesNotAnswer)
}

func testBreakerLeavesAServerAloneThatDoesNotAnswer(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	w.browser(t).mustLogIn(pscstub.Doctor)
	w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Token: {Status: 503}}})
	for range 5 {
		w.browser(t).logIn(pscstub.Doctor)
	}
	asked := w.psc.Requests(psctest.Token)
	b := w.browser(t)
	if p := b.send(http.MethodPost, auth+"/login/psc", nil); p.status != http.StatusServiceUnavailable || !strings.Contains(p.body, textDown) {
		t.Errorf("the button leads to %d %q, want the other ways", p.status, p.location)
	}
	if p := b.get(auth + "/login"); strings.Contains(p.body, "S&#39;identifier avec") || !strings.Contains(p.body, textDown) {
		t.Error("the login page offers what does not work, or does not say why")
	}
	if got := w.psc.Requests(psctest.Token); got != asked {
		t.Errorf("it was asked %d times more", got-asked)
	}
	w.psc.Set(psctest.Quirks{})
	w.advance(time.Minute)
	b.mustLogIn(pscstub.Doctor)
}
