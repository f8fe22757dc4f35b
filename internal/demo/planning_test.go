package demo_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/demo"
)

// planningAddress is where the planning listens.
func planningAddress(d *demonstration) string {
	_, port, _ := strings.Cut(d.Planning, "localhost:")
	return "127.0.0.1:" + strings.TrimSuffix(port, "/")
}

// nextPage is where the gateway's page goes on to that a sign-out begins with.
var nextPage = regexp.MustCompile(`data-next href="([^"]+)"`)

// Signed in with the card once, a service that is not behind the gateway opens from the portal without typing. Signed out here or there, it is
// over everywhere.
func TestPlanningIsSignedInAndOutWithThePortal(t *testing.T) {
	d := run(t, demo.Config{Listen: "127.0.0.1:0", AgentPort: uint16(freePort(t).Port)})
	b := d.browser(t)
	if p := b.open(http.MethodGet, d.Planning, nil); !strings.HasPrefix(p.url.String(), d.Portal+"login") {
		t.Fatalf("before the login the planning leads to %s, want the login", p.url)
	}
	b.logIn(d, d.PIN)
	if p := b.open(http.MethodGet, d.Portal, nil); !strings.Contains(p.body, `href="`+d.Planning+`"`) {
		t.Errorf("the portal does not list the planning: %s", p.body)
	}
	opened := func() bool {
		p := b.open(http.MethodGet, d.Planning, nil)
		return p.url.String() == d.Planning && p.status == http.StatusOK && strings.Contains(p.body, "Jeanne MARTIN") &&
			strings.Contains(p.body, "urn:authgw:acr:hardware") && strings.Contains(p.body, "Me déconnecter")
	}
	closed := func() bool {
		return strings.HasPrefix(b.open(http.MethodGet, d.Planning, nil).url.String(), d.Portal+"login")
	}
	if !opened() {
		t.Fatal("the planning does not show who is signed in, and how")
	}
	// Nobody but the gateway ends a session.
	if p := b.open(http.MethodPost, d.Planning+"backchannel-logout", url.Values{"logout_token": {"eyJhbGciOiJub25lIn0.e30."}}); p.status != http.StatusBadRequest || !opened() {
		t.Errorf("a forged logout token is answered with %d", p.status)
	}
	b.open(http.MethodPost, d.Portal+"logout", nil)
	wait(t, "the planning to be signed out", closed)

	b.logIn(d, d.PIN)
	if !opened() {
		t.Fatal("the planning does not open after another login")
	}
	leaving := nextPage.FindStringSubmatch(b.open(http.MethodPost, d.Planning+"deconnexion", nil).body)
	if leaving == nil {
		t.Fatal("the sign-out of the planning does not lead to the gateway's")
	}
	if p := b.open(http.MethodGet, html.UnescapeString(leaving[1]), nil); p.url.String() != d.Planning+"au-revoir" || !strings.Contains(p.body, "Votre session est terminée") {
		t.Errorf("the planning's sign-out ends at %s: %.300s", p.url, p.body)
	}
	if p := b.open(http.MethodPost, d.Planning+"deconnexion", nil); p.url.String() != d.Planning+"au-revoir" {
		t.Errorf("signing out twice leads to %s", p.url)
	}
	if p := b.open(http.MethodGet, d.Mail, nil); !strings.HasPrefix(p.url.String(), d.Portal+"login") || !closed() {
		t.Errorf("after it the mailbox leads to %s, want the login", p.url)
	}
	if p := b.open(http.MethodGet, d.Planning+"callback?state=x&code=y&iss="+url.QueryEscape(strings.TrimSuffix(d.Portal, "/")), nil); p.status != http.StatusBadRequest {
		t.Errorf("a login that was begun elsewhere is answered with %d", p.status)
	}
}
