package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
)

// offerPSC starts a stand-in for Pro Santé Connect, and the gateway, which has a key file, anew with it as a way in.
func (w *world) offerPSC(t *testing.T) *psctest.Server {
	t.Helper()
	client := pscstub.Client{
		ID: "promess", Secret: "the right secret", RedirectURIs: []string{w.auth("/login/psc/callback")}, LogoutURIs: []string{w.auth("/logout")},
	}
	s := psctest.Go{}.Start(w.t, psctest.Config{PKI: w.pki, Clients: []pscstub.Client{client}})
	w.write(t, "psc-secret", []byte("the right secret\n"))
	before, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.gateway.stop(t)
	w.write(t, "authgw.yaml", fmt.Appendf(before, `psc:
  environment: sandbox
  issuer: %s
  hosts: [%q, %q]
  client_id: promess
  client_secret_file: psc-secret
  ca: root.crt
`, s.Issuer(), s.Hosts()[0], s.Hosts()[1]))
	w.gateway = startProcess(w.t, nil, binaries.authgw, "serve", "--config", w.path("authgw.yaml"))
	w.gateway.await(t, "authgw serves")
	return s
}

// toPSC opens a page without a session, and presses the button.
func (w *world) toPSC(t *testing.T, tab *tab, url string) {
	t.Helper()
	tab.open(t, url)
	tab.await(t, "S'identifier avec Pro Santé Connect")
	tab.click(t, `form[action="/login/psc"] button`)
}

// choose says at the stand-in who the person is; "" cancels.
func choose(t *testing.T, tab *tab, person string) {
	t.Helper()
	tab.click(t, fmt.Sprintf(`button[name=person][value=%q]`, person))
}

// TestProSanteConnect goes through what a person sees of it, in one browser.
func TestProSanteConnect(t *testing.T) {
	w := newPostWorld(t)
	s := w.offerPSC(t)
	tab := w.browser.browser(t)

	w.toPSC(t, tab, w.mail("/"))
	choose(t, tab, pscstub.Doctor)
	tab.await(t, "Votre adresse e-mail ordinaire", "étape 1 sur 2") // the inscription, as with a card
	tab.typeIn(t, "#address", "jeanne@example.org")
	tab.await(t, "Saisissez le code reçu par e-mail")
	tab.typeIn(t, "#code", w.code(t, 1))
	tab.await(t, "JEANNE MARTIN", "899700218896", "jeanne@example.org")
	tab.click(t, `a[href="/account/register/continue"]`)
	tab.awaitURL(t, w.mail("/")) // where the person wanted to go
	if got := w.backend.header("X-Authgw-National-Id"); got != "899700218896" {
		t.Errorf("the service is told of %q", got)
	}
	tab.open(t, w.auth("/"))
	tab.await(t, "JEANNE MARTIN")

	// Sign-out ends the session there too: who comes next is asked who they are. PSC comes back without the state.
	s.Set(psctest.Quirks{LogoutState: psctest.Absent})
	tab.click(t, "details.menu summary")
	tab.click(t, `form[action$="/logout"] button`)
	tab.await(t, "Vous êtes déconnecté")
	s.Set(psctest.Quirks{})
	w.toPSC(t, tab, w.auth("/login"))
	choose(t, tab, "")
	tab.await(t, "Identification abandonnée")

	// A second login of the same person goes straight through, and signs out with a state that comes back.
	w.toPSC(t, tab, w.auth("/login"))
	choose(t, tab, pscstub.Doctor)
	tab.await(t, "Bonjour, JEANNE MARTIN")
	tab.click(t, "details.menu summary")
	tab.click(t, `form[action$="/logout"] button`)
	tab.await(t, "Vous êtes déconnecté")

	// Somebody with two situations.
	w.toPSC(t, tab, w.auth("/login"))
	choose(t, tab, pscstub.TwoPlaces)
	tab.await(t, "Dans quelle situation travaillez-vous", "HOPITAL DE LA DEMONSTRATION (FICTIF)")
	tab.screenshot(t, "psc-situation")
	tab.click(t, `button[name=situation][value="1"]`)
	tab.await(t, "Votre adresse e-mail ordinaire")
	tab.click(t, "form[action='/account/register/later'] button")
	tab.await(t, "Bonjour, CLAIRE DUPRÉ") // the page before has the name too

	// Another card in the same browser, while the session is open: the login page is passed over, so the form is sent as a page would.
	s.Set(psctest.Quirks{AskAgain: true})
	tab.evaluate(`(f => { f.method = "post"; f.action = "/login/psc"; document.body.append(f); f.submit(); return "" })(document.createElement("form"))`)
	choose(t, tab, pscstub.Nurse)
	tab.await(t, "Ce n’est plus la même personne")
	tab.screenshot(t, "psc-other-person")
	tab.open(t, w.auth("/"))
	tab.await(t, "Une autre personne s’est identifiée avec Pro Santé Connect")
	var ends []string
	for _, e := range w.events(t, audit.SessionEnded) {
		ends = append(ends, e.Reason)
	}
	if got := strings.Join(ends, " "); got != "logout logout psc_other_person" {
		t.Errorf("ends of sessions = %q", got)
	}
}
