package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"testing"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
)

// pscWorld is a workstation and a gateway that offers Pro Santé Connect, before a stand-in for it.
type pscWorld struct {
	*postWorld
	psc         *psctest.Server
	before      []byte // the configuration without the section psc
	certificate tls.Certificate
	authorities *psctest.Authority // that the stand-in trusts
}

// secretLines are those of the client that has a secret; certificateClient is one that has a certificate.
const (
	secretLines       = "client_id: promess\n  client_secret_file: psc-secret\n"
	certificateClient = "promess-certificate"
)

// newPSCWorld starts everything. The stand-in is oidc-provider, which knows the gateway as two clients.
func newPSCWorld(t *testing.T) *pscWorld {
	t.Helper()
	w := &pscWorld{postWorld: newPostWorld(t), authorities: psctest.NewAuthority(t)}
	w.certificate = w.authorities.Issue(t, "gateway")
	var err error
	if w.before, err = os.ReadFile(w.path("authgw.yaml")); err != nil {
		t.Fatal(err)
	}
	there, back := []string{w.auth("/login/psc/callback")}, []string{w.auth("/logout")}
	w.psc = psctest.InstallNPM(t).Start(t, psctest.Config{PKI: w.pki, Clients: []pscstub.Client{
		{ID: "promess", Secret: "the right secret", RedirectURIs: there, LogoutURIs: back},
		{
			ID: certificateClient, CertificateSubject: w.certificate.Leaf.Subject.String(), CertificateRoots: w.authorities.Roots(),
			RedirectURIs: there, LogoutURIs: back,
		},
	}})
	w.write(t, "psc-secret", []byte("the right secret\n"))
	w.gateway.stop(t)
	w.write(t, "authgw.yaml", w.withPSC(secretLines))
	w.start(t)
	return w
}

// withPSC is the configuration with the section psc and lines of it.
func (w *pscWorld) withPSC(lines string) []byte {
	return fmt.Appendf(nil, `%s
psc:
  environment: sandbox
  issuer: %s
  hosts: [%q, %q]
  ca: root.crt
  %s`, w.before, w.psc.Issuer(), w.psc.Hosts()[0], w.psc.Hosts()[1], lines)
}

// toPSC opens a page without a session, and presses the button.
func (w *pscWorld) toPSC(t *testing.T, tab *tab, url string) {
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

// TestProSanteConnect plays the scenarios of issue 5, point 7, as a person sees them: one gateway, one Chromium, a profile of it for each
// person. idp/psc plays them without a browser, before both stand-ins (scenarios there says where).
func TestProSanteConnect(t *testing.T) {
	w := newPSCWorld(t)
	if !t.Run("a day of several persons", w.day) {
		return // whoever comes next has an account by then
	}
	made := len(w.events(t, audit.AccountCreated))
	t.Run("answers that open a session", w.answersThatOpen)
	t.Run("answers that open nothing", w.answersThatDoNot)
	t.Run("the keys change", w.keysThatChange)
	t.Run("a return that comes twice", w.returnTwice)
	t.Run("the back button", w.backButton)
	t.Run("a return in another browser", w.otherBrowser)
	t.Run("two tabs", w.twoTabs)
	t.Run("a renewal that is refused", w.renewalRefused)
	t.Run("the token endpoint does not answer", w.timeOut)
	t.Run("the gateway has a certificate", w.clientCertificate)
	if n := len(w.events(t, audit.AccountCreated)); n != made {
		t.Errorf("%d accounts were made since the first logins", n-made)
	}
	printed := w.gateway.out.String()
	for _, token := range w.psc.Tokens() {
		if strings.Contains(printed, token) {
			t.Errorf("the gateway printed a token %s…", token[:12])
		}
	}
}

// day is the inscription, the second login, a cancelled one, two situations, a change of cards, and the sign-out with and without a state
// that comes back: in one browser.
func (w *pscWorld) day(t *testing.T) {
	s, tab := w.psc, w.browser.browser(t)

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
