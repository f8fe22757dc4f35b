package idp_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0"

// ends are the actions by which the account page ends single sessions.
func ends(p page) []string {
	found := regexp.MustCompile(`action="(/account/sessions/end/[^"]+)"`).FindAllStringSubmatch(p.body, -1)
	var all []string
	for _, f := range found {
		all = append(all, f[1])
	}
	return all
}

// at signs the person of the method in with a browser that says its name.
func (w *world) at(t *testing.T, userAgent string) *browser {
	t.Helper()
	b := w.browser(t)
	if p := b.post(auth+"/login/card", "User-Agent", userAgent); p.status != http.StatusSeeOther {
		t.Fatalf("login = %d", p.status)
	}
	return b
}

func TestAccountShowsThePersonAndTheirSessions(t *testing.T) {
	each(t, testAccountShowsThePersonAndTheirSessions)
}

func testAccountShowsThePersonAndTheirSessions(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	office, home := w.at(t, firefox), w.at(t, "curl/8")
	p := home.get(auth + "/account")
	for _, text := range []string{"JEANNE MARTIN", "899700218896", "Médecin", "Firefox 153", "127.0.0.1", "/account/sessions/end-all"} {
		if !strings.Contains(p.body, text) {
			t.Errorf("the page is without %q", text)
		}
	}
	if got := ends(p); p.status != http.StatusOK || len(got) != 2 {
		t.Fatalf("account = %d with the sessions %q, want 200 with two", p.status, got)
	}
	if p := w.browser(t).get(auth + "/account"); p.location != auth+"/login" {
		t.Errorf("without a session: %d %s, want the login", p.status, p.location)
	}
	office.wantSignedIn(true)
}

// A person opens mailboxes of their own and of their service, and sees them all.
func TestAccountShowsEveryMailbox(t *testing.T) {
	w := newWorld(t)
	plan, err := w.store.PlanImport(t.Context(), []store.Entry{{
		IDType: "RPPS", NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN",
		Nominative: []string{"jeanne@mss.example.fr"}, Organisational: []string{"cardio@mss.example.fr"},
	}})
	if err == nil {
		err = w.store.Import(t.Context(), plan, w.now, func([]store.Imported) error { return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	b := w.browser(t)
	b.logIn()
	p := b.get(auth + "/account")
	for _, address := range []string{"jeanne", "cardio"} {
		if !strings.Contains(p.body, address+"@") {
			t.Errorf("the page is without the mailbox of %s", address)
		}
	}
}

// Personal data: of the browser a short name is kept and shown, and nothing of what else the header says.
func TestAccountShowsTheBrowserOfEachLogin(t *testing.T) {
	w := newWorldWith(t, func(c *idp.Config) {
		l, err := audit.Open(t.Context(), audit.Config{Store: c.Store, Log: c.Log, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		c.Audit = l
	})
	w.at(t, firefox+" <b>secret-of-this-machine</b>")
	home := w.at(t, "curl/8")
	_, logins, _ := strings.Cut(home.get(auth+"/account").body, `id="logins"`)
	for text, want := range map[string]int{"Firefox 153, Linux": 1, "Navigateur inconnu": 1, "secret-of-this-machine": 0} {
		if got := strings.Count(logins, text); got != want {
			t.Errorf("%q is there %d times, want %d:\n%s", text, got, want, logins)
		}
	}
	subject := w.find(t, home).Account.Subject
	if _, err := w.store.DisableAccount(t.Context(), subject, w.now()); err != nil {
		t.Fatal(err)
	}
	w.browser(t).post(auth+"/login/card", "User-Agent", firefox)
	var browsers []string
	if err := w.store.AuditRecords(t.Context(), store.AuditFilter{}, func(r store.AuditRecord) error {
		var e audit.Event
		if err := json.Unmarshal([]byte(r.Body), &e); err != nil {
			return err
		}
		if e.Kind == audit.LoginSucceeded || e.Kind == audit.LoginRefused {
			browsers = append(browsers, e.Browser)
		}
		if strings.Contains(r.Body, "secret-of-this-machine") || strings.Contains(r.Body, "Mozilla") {
			t.Errorf("the header is in the trail: %s", r.Body)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"Firefox 153, Linux", "", "Firefox 153, Linux"}; !slices.Equal(browsers, want) {
		t.Errorf("browsers of the logins = %q, want %q", browsers, want)
	}
}

func TestPersonEndsOneOfTheirSessions(t *testing.T) { each(t, testPersonEndsOneOfTheirSessions) }

func testPersonEndsOneOfTheirSessions(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	office := w.at(t, firefox)
	before := ends(office.get(auth + "/account"))
	home := w.at(t, "curl/8")
	if p := home.post(auth + before[0]); p.location != auth+"/account?done=session_ended" {
		t.Fatalf("end = %d %s", p.status, p.location)
	}
	office.wantSignedIn(false)
	home.wantSignedIn(true)
	if got := w.events(t, audit.SessionEnded); len(got) != 1 || got[0].Reason != "ended_by_person" {
		t.Errorf("events session_ended: %+v, want one with the reason ended_by_person", got)
	}
	// Their own, from which they ask: that is a sign-out.
	own := ends(home.get(auth + "/account"))
	if p, _ := home.follow(home.post(auth + own[0])); !strings.Contains(p.body, textSignedOut) {
		t.Errorf("the end of one's own session shows\n%.200s", p.body)
	}
	home.wantSignedIn(false)
}

func TestPersonEndsAllTheirSessions(t *testing.T) { each(t, testPersonEndsAllTheirSessions) }

func testPersonEndsAllTheirSessions(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	others := []*browser{w.at(t, firefox), w.inside(t)}
	home := w.inside(t)
	tokens := others[1].tokens()
	if p, _ := home.follow(home.post(auth + "/account/sessions/end-all")); !strings.Contains(p.body, textSignedOut) {
		t.Errorf("the end of all sessions shows\n%.200s", p.body)
	}
	for _, b := range append(others, home) {
		b.wantSignedIn(false)
	}
	w.wantOut(t, tokens)
}

// G1: an id names a session and gives no right to it.
func TestSessionOfSomebodyElseStaysOpen(t *testing.T) { each(t, testSessionOfSomebodyElseStaysOpen) }

func testSessionOfSomebodyElseStaysOpen(t *testing.T, e engine) {
	w := newWorldOn(t, e)
	victim := w.at(t, firefox)
	target := ends(victim.get(auth + "/account"))[0]
	other := martin()
	other.NationalID = "899700000001"
	w.method.believe(other)
	attacker := w.at(t, firefox)
	attacker.post(auth + target)
	victim.wantSignedIn(true)
	attacker.post(auth + "/account/sessions/end-all")
	victim.wantSignedIn(true)
	if got := ends(victim.get(auth + "/account")); !slices.Contains(got, target) {
		t.Errorf("the victim's sessions are %q, want %q among them", got, target)
	}
	// D7, logout CSRF: a page of another site ends nothing.
	if p := victim.post(auth+"/account/sessions/end-all", "Sec-Fetch-Site", "cross-site"); p.status != http.StatusForbidden {
		t.Errorf("a form of another site = %d, want 403", p.status)
	}
	victim.wantSignedIn(true)
}
