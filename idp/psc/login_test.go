package psc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/idp/psc"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
	"promess/authgw/internal/store"
)

func TestFirstLoginMakesTheAccountAndASecondFindsIt(t *testing.T) {
	onBoth(t, testFirstLoginMakesTheAccountAndASecondFindsIt)
}

func testFirstLoginMakesTheAccountAndASecondFindsIt(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	if p := b.get(auth + "/login"); !strings.Contains(p.body, "S&#39;identifier avec Pro Santé Connect") {
		t.Errorf("the login page lacks the button: %.500s", p.body)
	}
	b.mustLogIn(pscstub.Doctor)
	v := b.session()
	if v.Method != "psc" || v.ACR != idp.ACRTwoFactor || cmp.Diff([]string{"sc", "pin", "mfa"}, v.AMR) != "" {
		t.Errorf("session = %s %s %v", v.Method, v.ACR, v.AMR)
	}
	// The person of internal/pscstub; a doctor's code in table G15 is 10.
	want := store.Account{Subject: v.Account.Subject, IDType: "RPPS", NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN", Profession: "10"}
	if diff := cmp.Diff(want, v.Account); diff != "" {
		t.Errorf("account (-want +got):\n%s", diff)
	}
	if until := v.AuthTime.Add(4 * time.Hour); !v.ExpiresAt.Equal(until) {
		t.Errorf("the session lasts until %s, want %s: that of PSC", v.ExpiresAt, until)
	}
	again := w.browser(t)
	again.mustLogIn(pscstub.Doctor)
	if got := again.session().Account.Subject; got != v.Account.Subject {
		t.Errorf("the second login opens %s, want %s", got, v.Account.Subject)
	}
	if made := w.events(t, audit.AccountCreated); len(made) != 1 || made[0].Method != "psc" {
		t.Errorf("accounts created: %+v, want one", made)
	}
}

func TestRequestSaysWhatPSCAsksFor(t *testing.T) { onBoth(t, testRequestSaysWhatPSCAsksFor) }

func testRequestSaysWhatPSCAsksFor(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	at, err := url.Parse(w.browser(t).toPSC())
	if err != nil {
		t.Fatal(err)
	}
	q := at.Query()
	for name, want := range map[string]string{
		"response_type": "code", "scope": "openid scope_all", "acr_values": "eidas1", "code_challenge_method": "S256",
		"redirect_uri": auth + "/login/psc/callback", "client_id": clientID,
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if at.Host != w.psc.Hosts()[1] {
		t.Errorf("the browser is sent to %s, want the wallet's host", at.Host)
	}
}

// F9: an account is found by the national identifier, so a card and PSC open the same.
func TestF9AnAccountOfACardIsOpenedByPSC(t *testing.T) {
	onBoth(t, testF9AnAccountOfACardIsOpenedByPSC)
}

func testF9AnAccountOfACardIsOpenedByPSC(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	card := store.Account{Subject: "of-the-card", IDType: "RPPS", NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN", Title: "Médecin", Profession: "10"}
	if _, err := w.store.OpenAccount(t.Context(), card, w.now()); err != nil {
		t.Fatal(err)
	}
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	if got := b.session().Account; got.Subject != "of-the-card" || got.Title != "Médecin" {
		t.Errorf("account = %s with the title %q, want the card's as it was", got.Subject, got.Title)
	}
}

func TestSubMayChangeAndNeverLeadsToSomebodyElse(t *testing.T) {
	onBoth(t, testSubMayChangeAndNeverLeadsToSomebodyElse)
}

func testSubMayChangeAndNeverLeadsToSomebodyElse(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	w.psc.Set(psctest.Quirks{Sub: psctest.SubLegacy})
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	subject := b.session().Account.Subject
	w.psc.Set(psctest.Quirks{})
	again := w.browser(t)
	again.mustLogIn(pscstub.Doctor)
	if got := again.session().Account.Subject; got != subject {
		t.Errorf("with another sub the account is %s, want %s", got, subject)
	}
	// The same (iss, sub) with another SubjectNameID.
	w.psc.Set(psctest.Quirks{BareIDToken: true, UserinfoExtra: map[string]any{"SubjectNameID": "899700990023"}})
	thief := w.browser(t)
	thief.wantRefused(thief.logIn(pscstub.Doctor), http.StatusForbidden, textIdentity, "psc_identity_changed")
}

func TestPersonOfAStructureHasHerIdentifierAsCardsDo(t *testing.T) {
	onBoth(t, testPersonOfAStructureHasHerIdentifierAsCardsDo)
}

func testPersonOfAStructureHasHerIdentifierAsCardsDo(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	b.mustLogIn(pscstub.Secretary)
	// As certs has it of a CPE: package certs, TestHolderOfEveryKindOfSubject.
	if a := b.session().Account; a.IDType != "FINESS" || a.NationalID != "30B9990001/CPET0002" {
		t.Errorf("account = %s %s", a.IDType, a.NationalID)
	}
}

func TestPersonChoosesOneOfTwoSituations(t *testing.T) {
	onBoth(t, testPersonChoosesOneOfTwoSituations)
}

func testPersonChoosesOneOfTwoSituations(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	b := w.browser(t)
	p := b.logIn(pscstub.TwoPlaces)
	at := p.location
	if !strings.HasPrefix(at, auth+"/login/psc/situation/") {
		t.Fatalf("the return leads to %q, want the choice: %.500s", p.location, p.body)
	}
	b.wantSignedIn(false)
	p = b.get(p.location)
	for _, want := range []string{"CABINET DES TILLEULS (FICTIF)", "HOPITAL DE LA DEMONSTRATION (FICTIF)", "35000 RENNES"} {
		if !strings.Contains(p.body, want) {
			t.Errorf("the choice lacks %q", want)
		}
	}
	for _, nothing := range []string{"", "2", "-1", "x"} { // D8
		if p := b.send(http.MethodPost, at, url.Values{"situation": {nothing}}); p.location != at {
			t.Errorf("choosing %q leads to %d %q", nothing, p.status, p.location)
		}
	}
	stranger := w.browser(t)
	stranger.wantRefused(stranger.send(http.MethodPost, at, url.Values{"situation": {"1"}}), http.StatusForbidden, textUnknown, "login_over")
	if p := b.send(http.MethodPost, at, url.Values{"situation": {"1"}}); p.location != auth+"/" {
		t.Fatalf("the choice leads to %d %q: %s", p.status, p.location, p.body)
	}
	v := b.session()
	if !strings.Contains(v.Situation, "HOPITAL DE LA DEMONSTRATION") || strings.Contains(v.Situation, "TILLEULS") {
		t.Errorf("situation = %s", v.Situation)
	}
	if diff := cmp.Diff([]string{"1990000012"}, v.Account.Structures); diff != "" { // type 1, and the FINESS of the stand-in's hospital
		t.Errorf("structures (-want +got):\n%s", diff)
	}
	b.wantSignedIn(true)
	if p := b.send(http.MethodPost, at, url.Values{"situation": {"0"}}); p.status != http.StatusForbidden {
		t.Errorf("a second choice = %d, want a refusal", p.status)
	}
}

func TestSparseAndSignedUserinfoAreTaken(t *testing.T) {
	onBoth(t, testSparseAndSignedUserinfoAreTaken)
}

func testSparseAndSignedUserinfoAreTaken(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for name, q := range map[string]psctest.Quirks{
		"sparse":              {Userinfo: psctest.UserinfoSparse},
		"no exercise":         {Userinfo: psctest.UserinfoNoExercise},
		"no name id there":    {Userinfo: psctest.UserinfoNoNameID},
		"name id there only":  {BareIDToken: true},
		"JWT":                 {UserinfoFormat: psctest.UserinfoJWT},
		"JWT typed as JSON":   {UserinfoFormat: psctest.UserinfoJWTAsJSONType},
		"iss not on callback": {CallbackIss: psctest.Absent},
		"fields of other kinds": {UserinfoExtra: map[string]any{
			"SubjectRefPro": "none", "SubjectRole": map[string]any{"a": 1}, "given_name": 7, "new_key": []any{nil},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			w.psc.Set(q)
			w.browser(t).mustLogIn(pscstub.Doctor)
		})
	}
}

func TestSparseUserinfoTakesNothingAway(t *testing.T) { onBoth(t, testSparseUserinfoTakesNothingAway) }

func testSparseUserinfoTakesNothingAway(t *testing.T, k psctest.Kind) {
	w := newWorldBefore(t, k)
	w.browser(t).mustLogIn(pscstub.Doctor)
	w.psc.Set(psctest.Quirks{UserinfoExtra: map[string]any{"SubjectRefPro": nil, "SubjectRole": nil, "family_name": ""}})
	b := w.browser(t)
	b.mustLogIn(pscstub.Doctor)
	if a := b.session().Account; a.Profession != "10" || a.FamilyName != "MARTIN" {
		t.Errorf("account = %q of profession %q, want what was known", a.FamilyName, a.Profession)
	}
}

func TestLevels(t *testing.T) { onBoth(t, testLevels) }

func testLevels(t *testing.T, k psctest.Kind) {
	s := standInOf(t, k)
	for _, tt := range []struct{ acr, want string }{
		{"eidas1", idp.ACRTwoFactor}, {"eidas2", idp.ACRTwoFactor}, {"eidas3", idp.ACRHardware}, {psctest.ACRNone, ""}, {"eidas4", ""}, {"1", ""},
	} {
		t.Run(tt.acr, func(t *testing.T) {
			s.Set(psctest.Quirks{})
			w := newWorldWith(t, s)
			w.psc.Set(psctest.Quirks{ACR: tt.acr})
			b := w.browser(t)
			if tt.want == "" {
				b.wantRefused(b.logIn(pscstub.Doctor), http.StatusForbidden, textLevel, "psc_acr")
				return
			}
			b.mustLogIn(pscstub.Doctor)
			if got := b.session().ACR; got != tt.want {
				t.Errorf("acr = %s, want %s", got, tt.want)
			}
		})
	}
	t.Run("one that is not accepted", func(t *testing.T) {
		s.Set(psctest.Quirks{})
		w := newWorldWith(t, s, func(c *psc.Config) { c.ACR = []string{"eidas2"} })
		b := w.browser(t)
		b.wantRefused(b.logIn(pscstub.Doctor), http.StatusForbidden, textLevel, "psc_acr")
	})
}
