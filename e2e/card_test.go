package e2e

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/vcard"
)

// TestCard is the card login through the agent and what can go wrong with it, at one gateway in one browser.
func TestCard(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name string
		run  func(*world, *testing.T)
	}{
		{"the right PIN opens the page that was asked for", (*world).rightPIN},
		{"the login page offers no way that is not configured", (*world).onlyConfigured},
		{"one login opens every service, one sign-out closes them all", (*world).signOut},
		{"wrong PIN, last try, locked", (*world).wrongPIN},
		{"a PIN of the wrong shape does not reach the card", (*world).shapeOfPIN},
		{"the person cancels", (*world).cancelled},
		{"card pulled while the PIN is asked", (*world).pulledAtPIN},
		{"card pulled while it signs", (*world).pulledAtSignature},
		{"card pulled after the login ends the session", (*world).pulledAfterwards},
		{"no card in the reader", (*world).noCard},
		{"cards that are refused, each with its message", (*world).refusedCards},
		{"a card with a signature certificate only", (*world).signatureCard},
		{"a token that only does PKCS #1 signs over TLS 1.2", (*world).onlyPKCS1},
		{"a session survives a restart of the gateway", (*world).restart},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(w, t) })
	}
}

func (w *world) rightPIN(t *testing.T) {
	w.insertDoctor(t)
	// A service may have the message that is open after the #, which no server sees; ";" and "," mean something in cookies.
	url := w.mail("/inbox?folder=re%C3%A7us&page=2#/message/12;part=2,3%20?d'ici=%C3%A9&x#y")
	page, tab := w.startLogin(t, url)
	page.screenshot(t, "wait")
	tab.await(t, "ProMess (essai)", w.origin("auth"), "HÉLÈNE D'ARTAGNAN-LE GOFF")
	tab.screenshot(t, "agent-pin")
	tab.enterPIN(t, "1234")
	tab.awaitURL(t, url)
	tab.await(t, "Boîte de réception", "HÉLÈNE D'ARTAGNAN-LE GOFF 899700218896", "/inbox?folder=re%C3%A7us&page=2")
	page.await(t, "Vous êtes connecté")

	if got := w.events(t, audit.LoginSucceeded); len(got) != 1 || got[0].Method != "card" || got[0].Fingerprint == "" {
		t.Errorf("events login_succeeded: %+v, want one by card with the certificate's fingerprint", got)
	}
	for name, want := range map[string]string{
		"X-Authgw-National-Id": "899700218896",
		"X-Authgw-Name":        "HÉLÈNE D'ARTAGNAN-LE GOFF",
		"X-Authgw-Acr":         "urn:authgw:acr:hardware",
		"X-Forwarded-Proto":    "https",
	} {
		if got := w.backend.header(name); got != want {
			t.Errorf("the service got %s %q, want %q", name, got, want)
		}
	}
	if cookie := w.backend.header("Cookie"); strings.Contains(cookie, "authgw") {
		t.Error("the service got a cookie of the gateway (B8)")
	}
	// A virtual card signs PSS, so TLS 1.3 was used.
	if log := w.gateway.out.String(); !strings.Contains(log, `"tls":"TLS 1.3"`) {
		t.Error("the gateway saw no card over TLS 1.3")
	}
}

func (w *world) onlyConfigured(t *testing.T) {
	tab := w.browser.browser(t)
	tab.open(t, w.mail("/"))
	tab.await(t, "Se connecter avec ma carte CPS")
	offered := tab.evaluate(`Array.from(document.querySelectorAll("main form[action^='/login/']"), f => f.getAttribute("action")).join(" ")`)
	if want := "/login/card /login/card/browser"; offered != want {
		t.Errorf("the page offers %q, want %q", offered, want)
	}
	c := w.client(t)
	for _, name := range []string{"otp", "qr", "psc", "passkey"} {
		if answer, _ := send(t, c, http.MethodPost, w.auth("/login/"+name), "application/x-www-form-urlencoded", ""); answer.StatusCode != http.StatusNotFound {
			t.Errorf("POST /login/%s: %s, want 404", name, answer.Status)
		}
	}
}

func (w *world) signOut(t *testing.T) {
	w.insertDoctor(t)
	tab, session := w.loginOf(t, w.mail("/inbox"))

	tab.open(t, w.origin("agenda")+"/today")
	tab.await(t, "HÉLÈNE D'ARTAGNAN-LE GOFF", "/today")
	tab.open(t, w.auth("/"))
	tab.await(t, "Mon compte", "Messagerie sécurisée", "Agenda partagé", "HÉLÈNE D'ARTAGNAN-LE GOFF")
	tab.screenshot(t, "portal")
	tab.click(t, "details.menu summary")
	tab.screenshot(t, "menu")
	tab.click(t, "form[action$='/logout'] button")
	tab.await(t, "Vous êtes déconnecté")
	tab.screenshot(t, "signed-out")

	backShowsNothing(t, tab)
	for _, url := range []string{w.mail("/inbox"), w.origin("agenda") + "/today", w.auth("/")} {
		tab.open(t, url)
		tab.await(t, "Se connecter avec ma carte CPS")
	}
	if got := w.ended(t, session); got != "logout" {
		t.Errorf("session_ended has reason %q, want logout", got)
	}

	// The service's own link does the same.
	tab = w.login(t, w.mail("/inbox"))
	tab.click(t, "#out")
	tab.await(t, "Vous êtes déconnecté")
	backShowsNothing(t, tab)
}

// loginOf is login, and tells what the audit calls the session. Those of tests before may still be ending: their cards were pulled.
func (w *world) loginOf(t *testing.T, url string) (tab *tab, session string) {
	t.Helper()
	before := len(w.events(t, audit.SessionOpened))
	tab = w.login(t, url)
	eventually(t, "the audit has the session", func() error {
		opened := w.events(t, audit.SessionOpened)
		if len(opened) != before+1 {
			return fmt.Errorf("%d sessions were opened", len(opened)-before)
		}
		session = opened[before].Session
		return nil
	})
	return tab, session
}

// ended returns why a session has ended, and "" when it has not.
func (w *world) ended(t *testing.T, session string) string {
	t.Helper()
	for _, e := range w.events(t, audit.SessionEnded) {
		if e.Session == session {
			return e.Reason
		}
	}
	return ""
}

// backShowsNothing goes back through a history in which somebody was signed in.
func backShowsNothing(t *testing.T, b *tab) {
	t.Helper()
	for range 4 {
		b.back(t)
		// There is no event for "nothing more happens": the page has half a second to be what it will be.
		time.Sleep(500 * time.Millisecond)
		eventually(t, "the page before loads", func() error {
			if b.evaluate(`document.readyState`) != "complete" {
				return fmt.Errorf("it does not")
			}
			return nil
		})
		if text := b.text(); strings.Contains(text, "ARTAGNAN") || strings.Contains(text, "Boîte de réception") {
			t.Fatalf("back after the sign-out shows %s:\n%s", b.url(), text)
		}
		if typed := b.evaluate(`document.querySelector("#pin") ? document.querySelector("#pin").value : ""`); typed != "" {
			t.Fatalf("back after the sign-out shows a PIN as it was typed, at %s", b.url())
		}
	}
}

func (w *world) wrongPIN(t *testing.T) {
	card := w.insertDoctor(t)
	_, tab := w.startLogin(t, w.mail("/"))
	tab.enterPIN(t, "0000")
	tab.await(t, "Code porteur faux")
	tab.screenshot(t, "agent-wrong-pin")
	tab.enterPIN(t, "0001")
	tab.await(t, "Dernier essai", "Un code faux de plus bloquera votre carte")
	tab.screenshot(t, "agent-last-try")
	if left := card.TriesLeft(); left != 1 {
		t.Fatalf("%d tries left, want 1", left)
	}
	tab.enterPIN(t, "0002")
	tab.await(t, "Votre carte est bloquée", "code de déblocage (PUK)")
	tab.screenshot(t, "agent-locked")

	// The next login says so before it asks for anything.
	_, tab = w.startLogin(t, w.mail("/"))
	tab.await(t, "Votre carte est bloquée")
	if left := card.TriesLeft(); left != 0 {
		t.Errorf("%d tries left, want 0", left)
	}
}

func (w *world) shapeOfPIN(t *testing.T) {
	card := w.insertDoctor(t)
	_, tab := w.startLogin(t, w.mail("/"))
	tab.await(t, "Saisissez votre code porteur")
	for _, pin := range []string{"12", "12a4", "123456789"} {
		// The form's own check is taken away, as a hostile page or an old browser would.
		if got := tab.evaluate(`document.querySelector("form[action$='/pin']").noValidate = true; document.querySelector("#pin").removeAttribute("maxlength"); "done"`); got != "done" {
			t.Fatal("the form's own check is still there")
		}
		tab.enterPIN(t, pin)
		eventually(t, "the page asks anew", func() error {
			if got := tab.evaluate(`document.readyState + document.querySelector("#pin").value`); got != "complete" {
				return fmt.Errorf("it is %q", got)
			}
			return nil
		})
		tab.await(t, "Ce code n’a pas la bonne forme")
	}
	if left := card.TriesLeft(); left != 3 {
		t.Errorf("%d tries left, want 3: nothing was given to the card", left)
	}
	tab.enterPIN(t, "1234")
	tab.await(t, "Boîte de réception")
}

func (w *world) cancelled(t *testing.T) {
	w.insertDoctor(t)
	page, tab := w.startLogin(t, w.mail("/"))
	tab.await(t, "Saisissez votre code porteur")
	tab.click(t, "form[action$='/cancel'] button")
	tab.await(t, "Connexion annulée")
	tab.click(t, "a.button.primary")
	tab.await(t, "Se connecter avec ma carte CPS")
	page.await(t, "Continuez dans l’autre onglet")
}

func (w *world) pulledAtPIN(t *testing.T) {
	card := w.insertDoctor(t)
	_, tab := w.startLogin(t, w.mail("/"))
	tab.await(t, "Saisissez votre code porteur")
	const over = `"outcome":"card_removed"`
	before := strings.Count(w.agent.out.String(), over)
	card.Close()
	eventually(t, "the agent ends the login", func() error {
		if strings.Count(w.agent.out.String(), over) == before {
			return fmt.Errorf("it does not say that the card is gone")
		}
		return nil
	})
	// The page with the question does not reload while somebody types; what is sent then is not given to a card.
	tab.enterPIN(t, "1234")
	tab.await(t, "Carte retirée", "Insérez-la de nouveau")
	tab.screenshot(t, "agent-removed")
}

func (w *world) pulledAtSignature(t *testing.T) {
	var card *vcard.Card
	before := len(w.events(t, audit.LoginSucceeded))
	card = w.insertDoctor(t, func(c *vcard.Config) {
		c.OnAPDU = func(ins byte) {
			if ins == vcard.InsGeneralAuthenticate {
				card.Remove()
			}
		}
	})
	_, tab := w.startLogin(t, w.mail("/"))
	tab.enterPIN(t, "1234")
	tab.await(t, "Carte retirée")
	if len(w.events(t, audit.LoginSucceeded)) != before {
		t.Error("a card that was pulled has signed in")
	}
	// The agent has recovered: the next login works.
	w.insertDoctor(t)
	w.login(t, w.mail("/"))
}

func (w *world) pulledAfterwards(t *testing.T) {
	card := w.insertDoctor(t)
	tab, session := w.loginOf(t, w.mail("/inbox"))
	card.Close()
	eventually(t, "the session ends", func() error {
		if got := w.ended(t, session); got != "card_removed" {
			return fmt.Errorf("session_ended has reason %q, want card_removed", got)
		}
		return nil
	})
	tab.open(t, w.mail("/inbox"))
	tab.await(t, "Se connecter avec ma carte CPS")
}

func (w *world) noCard(t *testing.T) {
	_, tab := w.startLogin(t, w.mail("/"))
	tab.await(t, "Aucune carte dans le lecteur", "Insérez votre carte CPS ou CPE")
	tab.screenshot(t, "agent-no-card")
}

func (w *world) refusedCards(t *testing.T) {
	strangers, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	tests, err := testpki.New(testpki.Config{CardsOnly: true, Test: true})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, c := range []struct {
		reason  string
		pki     *testpki.PKI
		card    testpki.Card
		revoked bool
		message string
		advice  string
	}{
		{reason: "expired", card: testpki.Card{NotBefore: now.AddDate(-3, 0, 0), NotAfter: now.AddDate(0, 0, -1)},
			message: "Votre carte n’est plus valable", advice: "demandez le renouvellement de votre carte"},
		{reason: "not_yet_valid", card: testpki.Card{NotBefore: now.AddDate(0, 0, 2), NotAfter: now.AddDate(3, 0, 0)},
			message: "Votre carte n’est pas encore valable", advice: "attendez sa date de début de validité"},
		{reason: "revoked", revoked: true,
			message: "Votre carte est en opposition", advice: "Agence du numérique en santé (ANS)"},
		{reason: "unknown_issuer", pki: strangers,
			message: "Carte non reconnue", advice: "non une carte Vitale"},
		{reason: "software_certificate", card: testpki.Card{Issuer: w.pki.ElementairePersonnes,
			Change: func(t *x509.Certificate) { testpki.SetCategory(t, 0x03) }},
			message: "Certificat logiciel refusé", advice: "Insérez votre carte CPS ou CPE"},
		{reason: "test_card", pki: tests,
			message: "Carte de test refusée", advice: "Retirez-la et utilisez votre carte"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			key, _ := w.doctor(t)
			pki := c.pki
			if pki == nil {
				pki = w.pki
			}
			cert, err := pki.Authentication(c.card, key.Public())
			if err != nil {
				t.Fatal(err)
			}
			if c.revoked {
				w.revoke(t, cert)
			}
			w.insert(t, key, cert)
			_, tab := w.startLogin(t, w.mail("/inbox"))
			tab.enterPIN(t, "1234")
			tab.await(t, c.message, c.advice, "01 23 45 67 89", "Code à donner à l’assistance")
			tab.screenshot(t, "refused-"+c.reason)
			event := w.lastEvent(t, audit.LoginRefused)
			if event.Reason != c.reason {
				t.Errorf("audited reason %q, want %q", event.Reason, c.reason)
			}
			code := strings.Join(strings.FieldsFunc(event.Support, func(r rune) bool { return r == '-' }), " ")
			if shown := strings.Join(strings.Fields(tab.text()), " "); !strings.Contains(shown, code) {
				t.Errorf("the page does not show the support code %q of the audit:\n%s", code, shown)
			}
			tab.open(t, w.mail("/inbox"))
			tab.await(t, "Se connecter avec ma carte CPS")
		})
	}
}

// revoke puts a certificate on its issuer's list, and restarts the gateway so that it is read before the next login.
func (w *world) revoke(t *testing.T, cert *x509.Certificate) {
	t.Helper()
	w.writeCRL(t, w.pki.FortPersonnes, testpki.CRL{Revoked: []*x509.Certificate{cert}, Number: 2})
	w.restartGateway(t)
}

func (w *world) restartGateway(t *testing.T) {
	t.Helper()
	w.gateway.stop(t)
	w.startGateway(w.t)
}

func (w *world) lastEvent(t *testing.T, kind audit.Kind) audit.Event {
	t.Helper()
	all := w.events(t, kind)
	if len(all) == 0 {
		t.Fatalf("no event %s", kind)
	}
	return all[len(all)-1]
}

func (w *world) signatureCard(t *testing.T) {
	key, _ := w.doctor(t)
	cert, err := w.pki.Signature(testpki.Card{}, key.Public())
	if err != nil {
		t.Fatal(err)
	}
	card := w.insert(t, key, cert)
	_, tab := w.startLogin(t, w.mail("/"))
	tab.await(t, "Cette carte ne permet pas de se connecter")
	if card.Signatures() != 0 {
		t.Error("the card was made to sign with the key of its signature certificate")
	}
}

func (w *world) onlyPKCS1(t *testing.T) {
	inner := w.module
	w.module = w.path("pkcs1only.so")
	headers, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/miekg/pkcs11").Output()
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command(mustFind(t, "gcc", "gcc", "cc"), "-shared", "-fPIC", "-fvisibility=hidden", "-I", strings.TrimSpace(string(headers)),
		"-o", w.module, "testdata/pkcs1only.c", "-ldl")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("INNER_MODULE", inner)
	w.agent.stop(t)
	w.startAgent(w.t)
	defer func() {
		w.agent.stop(t)
		w.module = inner
		w.startAgent(w.t)
	}()
	w.insertDoctor(t)
	before := strings.Count(w.gateway.out.String(), `"tls":"TLS 1.2"`)
	w.login(t, w.mail("/inbox"))
	if after := strings.Count(w.gateway.out.String(), `"tls":"TLS 1.2"`); after != before+1 {
		t.Errorf("the gateway saw %d cards over TLS 1.2, want 1", after-before)
	}
}

func (w *world) restart(t *testing.T) {
	card := w.insertDoctor(t)
	tab, session := w.loginOf(t, w.mail("/inbox"))
	w.restartGateway(t)
	tab.open(t, w.mail("/inbox?again"))
	tab.await(t, "Boîte de réception", "ARTAGNAN")
	// The agent watches on: the card still ends the session.
	card.Close()
	eventually(t, "the session ends", func() error {
		if w.ended(t, session) == "" {
			return fmt.Errorf("no event session_ended")
		}
		return nil
	})
}

// runTool runs a program to its end and returns what it printed.
func runTool(t *testing.T, env []string, path string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
