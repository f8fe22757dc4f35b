package idp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
)

// enrol gives the person of a browser a means of proof.
func (w *world) enrol(t *testing.T, b *browser, id, acr string) {
	t.Helper()
	f := store.Factor{ID: id, Subject: w.find(t, b).Account.Subject, Kind: store.TOTP, Label: "My phone", ACR: acr, Secret: "sealed", Created: w.now()}
	if ok, err := w.store.AddFactor(t.Context(), f, nil, 5); !ok || err != nil {
		t.Fatalf("AddFactor = %t, %v", ok, err)
	}
}

// factors counts the means of proof of the person of a browser.
func (w *world) factors(t *testing.T, b *browser) int {
	t.Helper()
	all, err := w.store.Factors(t.Context(), w.find(t, b).Account.Subject)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestPersonRemovesAMeansOfProof(t *testing.T) {
	w := newWorld(t)
	b := w.at(t, firefox)
	w.enrol(t, b, "f-1", idp.ACRTwoFactor)
	if p := b.get(auth + "/account"); !strings.Contains(p.body, "My phone") || !strings.Contains(p.body, "/account/factors/f-1/remove") {
		t.Fatal("the account page does not show it")
	}
	for range 2 { // the button pressed twice
		if p := b.post(auth + "/account/factors/f-1/remove"); p.location != auth+"/account?done=factor_removed" {
			t.Fatalf("remove = %d %s", p.status, p.location)
		}
	}
	if n := w.factors(t, b); n != 0 {
		t.Errorf("%d factors are left", n)
	}
	if trail := w.audit.String(); !strings.Contains(trail, `"kind":"factor_removed"`) || !strings.Contains(trail, `"factor":"totp"`) {
		t.Error("the audit trail does not have it")
	}
}

// D6: what gives a level is removed after a recent login of that level only. D7: and by no other site.
func TestD6D7RemovalThatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name, acr string
		after     time.Duration
		headers   []string
		status    int
	}{
		{"the login is not recent", idp.ACRTwoFactor, 11 * time.Minute, nil, http.StatusOK},
		{"the login is of a lower level", idp.ACRHardware, 0, nil, http.StatusOK},
		{"the level is unknown", "urn:else", 0, nil, http.StatusOK},
		{"another site posts", idp.ACRTwoFactor, 0, []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			p := martin()
			p.ACR = idp.ACRTwoFactor
			w.method.believe(p)
			b := w.at(t, firefox)
			w.enrol(t, b, "f-1", tt.acr)
			w.advance(tt.after)
			if p := b.post(auth+"/account/factors/f-1/remove", tt.headers...); p.status != tt.status {
				t.Errorf("remove = %d %s, want %d", p.status, p.location, tt.status)
			}
			if n := w.factors(t, b); n != 1 {
				t.Errorf("%d factors are left, want 1", n)
			}
		})
	}
}

// G1: the means of proof of somebody else are not one's own.
func TestG1OthersMeansOfProofStay(t *testing.T) {
	w := newWorld(t)
	b := w.at(t, firefox)
	w.enrol(t, b, "f-1", idp.ACRTwoFactor)
	p := martin()
	p.NationalID = "899700218897"
	w.method.believe(p)
	w.at(t, firefox).post(auth + "/account/factors/f-1/remove")
	if n := w.factors(t, b); n != 1 {
		t.Errorf("%d factors are left, want 1", n)
	}
}

// Without its line in the audit trail there is no change.
func TestNoRemovalWithoutItsAuditLine(t *testing.T) {
	w := newWorld(t)
	b := w.at(t, firefox)
	w.enrol(t, b, "f-1", idp.ACRTwoFactor)
	w.audit.breakDown()
	if p := b.post(auth + "/account/factors/f-1/remove"); p.status != http.StatusServiceUnavailable {
		t.Errorf("remove = %d, want 503", p.status)
	}
	if n := w.factors(t, b); n != 1 {
		t.Errorf("%d factors are left, want 1", n)
	}
}

// D13: nobody rises by enrolling.
func TestD13LowerOfTwoLevels(t *testing.T) {
	for _, tt := range []struct{ a, b, want string }{
		{idp.ACRHardware, idp.ACRTwoFactor, idp.ACRTwoFactor},
		{idp.ACRTwoFactor, idp.ACRHardware, idp.ACRTwoFactor},
		{idp.ACRHardware, idp.ACRHardware, idp.ACRHardware},
		{idp.ACRHardware, "urn:else", "urn:else"},
		{idp.ACRTwoFactor, "", ""},
	} {
		if got := idp.Lower(tt.a, tt.b); got != tt.want {
			t.Errorf("Lower(%q, %q) = %q, want %q", tt.a, tt.b, got, tt.want)
		}
	}
}

// A change of a login that another gateway makes reaches who waits here.
func TestWaitersHearOfTheirLogin(t *testing.T) {
	w := newWorld(t)
	mine, release := w.idp.Sessions.Await("a")
	defer release()
	other, releaseOther := w.idp.Sessions.Await("b")
	w.idp.Sessions.Changed("a")
	w.idp.Sessions.Changed("a") // once more before it looks
	select {
	case <-mine:
	default:
		t.Error("who waits for it does not hear")
	}
	select {
	case <-mine:
		t.Error("who has looked is told again")
	case <-other:
		t.Error("who waits for another is told")
	default:
	}
	releaseOther()
	w.idp.Sessions.Changed("b") // nobody waits: nothing happens
}
