package oidc_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/idptest"
)

// consented wants the consent page next, and returns it with the request.
func consented(t *testing.T, b *idptest.Browser, got idptest.Answer) (page idptest.Answer, request string) {
	t.Helper()
	for range 3 {
		if got.Status != http.StatusSeeOther {
			break
		}
		if rest, ok := strings.CutPrefix(got.Location, "/oauth/consent?request="); ok {
			request = rest
		}
		got = b.Get(got.Location)
	}
	if request == "" || got.Status != http.StatusOK || !strings.Contains(got.Body, `value="agree"`) {
		t.Fatalf("%d to %q, want the consent page\n%s", got.Status, got.Location, got.Body)
	}
	return got, request
}

// What is told to whom is asked once, and again when it is more; refusing tells nothing.
func TestConsentIsAskedAndRemembered(t *testing.T) {
	s := agenda()
	s.Consent = true
	f := newFront(t, s)
	b := f.Browser(t, "127.0.0.2")
	wantLogin(t, b, ask(b))
	page, request := consented(t, b, logIn(t, b, "/login/believed"))
	for _, want := range []string{"Agenda", "agenda.example.test", "vos nom et prénom", "JEANNE MARTIN"} {
		if !strings.Contains(page.Body, want) {
			t.Errorf("no %q on the page:\n%s", want, page.Body)
		}
	}
	if strings.Contains(page.Body, "RPPS") {
		t.Error("the page lists what is not asked for")
	}
	policy := page.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "form-action 'self' https://agenda.example.test;") {
		t.Errorf("policy %q: the form could not lead back to the client", policy)
	}

	// D8: an empty form decides nothing.
	for _, fields := range [][]string{{"request", request}, {"request", request, "answer", "yes"}} {
		if got := b.Post("/oauth/consent", fields...); got.Location != "/oauth/consent?request="+request {
			t.Errorf("%v = %d to %q", fields, got.Status, got.Location)
		}
	}
	got := b.Post("/oauth/consent", "request", request, "answer", "refuse")
	wantError(t, got, "access_denied")
	if got.Status != http.StatusSeeOther {
		t.Errorf("refusing = %d", got.Status)
	}
	wantPage(t, b.Post("/oauth/consent", "request", request, "answer", "agree"), http.StatusForbidden)

	_, request = consented(t, b, ask(b)) // nothing was remembered
	wantCode(t, b.Post("/oauth/consent", "request", request, "answer", "agree"))
	wantCode(t, ask(b))
	wantCode(t, ask(b, "scope", "openid"))
	page, request = consented(t, b, ask(b, "scope", "openid national_id"))
	if !strings.Contains(page.Body, "RPPS") {
		t.Error("the page does not list what is asked for more")
	}
	wantCode(t, b.Post("/oauth/consent", "request", request, "answer", "agree"))
	wantCode(t, ask(b, "scope", "openid national_id profile"))
	_, _ = consented(t, b, ask(b, "prompt", "consent"))

	c, err := f.Store.ConsentTo(t.Context(), f.Session(t, b).Account.Subject, "agenda")
	if diff := cmp.Diff([]string{"national_id", "openid", "profile"}, c.Scopes); err != nil || diff != "" {
		t.Errorf("remembered (-want +got):\n%s%v", diff, err)
	}
	if refused := f.Events(t, audit.AuthorizationRefused); len(refused) == 0 || refused[0].Reason != "access_denied" || refused[0].Subject == "" {
		t.Errorf("audit %+v", refused)
	}
}

// The person who agrees is the one of the session at that moment, who must still be admitted.
func TestConsentIsGivenInTheSessionThatThereIs(t *testing.T) {
	s := agenda()
	s.Consent = true
	f := newFront(t, s)
	b := f.Browser(t, "127.0.0.2")
	b.LogIn()
	_, request := consented(t, b, ask(b))
	b.Post("/logout")
	if got := b.Post("/oauth/consent", "request", request, "answer", "agree"); got.Status != http.StatusSeeOther || got.Location != "/oauth/resume?request="+request {
		t.Errorf("agreed by nobody: %d to %q", got.Status, got.Location)
	}
	wantLogin(t, b, b.Get("/oauth/resume?request="+request))
	s.Allow.Professions = []string{"21"}
	f.have(t, s)
	got := logIn(t, b, "/login/believed")
	wantPage(t, got, http.StatusForbidden)
	if n := len(f.Events(t, audit.AuthorizationGranted)); n != 0 {
		t.Errorf("%d codes were given", n)
	}
}

// What was agreed to is on the person's page, and can be withdrawn there: with what the client was given.
func TestConsentIsWithdrawnOnTheAccountPage(t *testing.T) {
	s := agenda()
	s.Consent = true
	f := newFront(t, s)
	b, other := f.Browser(t, "127.0.0.2"), f.Browser(t, "127.0.0.3")
	b.LogIn()
	if strings.Contains(b.Get("/account").Body, "Agenda") {
		t.Error("the page lists a service before anything was agreed")
	}
	_, request := consented(t, b, ask(b))
	given := f.use(t, wantCode(t, b.Post("/oauth/consent", "request", request, "answer", "agree")))
	page := b.Get("/account").Body
	if !strings.Contains(page, "Agenda") || !strings.Contains(page, `action="/account/consents/withdraw"`) {
		t.Fatalf("the page does not list the service:\n%s", page)
	}
	// G1: somebody else withdraws their own.
	p := f.Proof()
	p.NationalID = "899700218904"
	f.Believe(p)
	other.LogIn()
	other.Post("/account/consents/withdraw", "client", "agenda")
	wantCode(t, ask(b))
	if got := b.Do(http.MethodPost, "/account/consents/withdraw", "application/x-www-form-urlencoded", "client=agenda", "Sec-Fetch-Site", "cross-site"); got.Status != http.StatusForbidden {
		t.Errorf("a form of another site = %d", got.Status)
	}

	if got := b.Post("/account/consents/withdraw", "client", "agenda"); got.Location != "/account?done=consent_withdrawn" {
		t.Errorf("withdrawing = %d to %q", got.Status, got.Location)
	}
	if g, err := f.Store.GrantByID(t.Context(), given.ID); err != nil || !g.Ended {
		t.Errorf("grant %+v, %v: want it ended", g, err)
	}
	consented(t, b, ask(b))
	if given, taken := f.Events(t, audit.ConsentGiven), f.Events(t, audit.ConsentWithdrawn); len(given) != 1 || len(taken) != 1 || taken[0].Client != "agenda" || taken[0].Subject == "" {
		t.Errorf("audit %+v %+v", given, taken)
	}
}
