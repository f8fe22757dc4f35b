package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/pcsctest"
)

// partyBrowser is a person before their workstation, whose services are of another author and sign in by OpenID Connect.
type partyBrowser struct {
	*partyWorld
	axe    string
	codes  []string // recovery codes of the person
	names  []any    // by what the service knows the sessions that go on (sid)
	strict any      // by what the service knows one that wants the card
}

// browserClients is the rest of the configuration, as clientConfig; %[3]d is the agent's port.
const browserClients = `
agent_port: %[3]d
seal_keys: seal.keys
support: {phone: "01 23 45 67 89"}
services: [{name: mail, host: mail.%[1]s, backend: "http://127.0.0.1:9", title: Messagerie}]
clients:
  - id: web
    title: Dossier
    home: https://party.%[1]s:%[2]d/web/login
    redirect_uris: ["https://party.%[1]s:%[2]d/web/callback"]
    post_logout_redirect_uris: ["https://party.%[1]s:%[2]d/web/bye"]
    scopes: [openid, profile, offline_access]
    refresh: true
    secret_file: client.secret
    backchannel_logout_uri: https://127.0.0.5:%[2]d/web/backchannel
    backchannel_networks: [127.0.0.5]
  - id: strict
    title: Prescription
    home: https://party.%[1]s:%[2]d/strict/login
    redirect_uris: ["https://party.%[1]s:%[2]d/strict/callback"]
    scopes: [openid]
    allow: {level: hardware}
    secret_file: client.secret
    frontchannel_logout_uri: https://party.%[1]s:%[2]d/strict/frontchannel
  - id: asks
    title: Annuaire
    home: https://party.%[1]s:%[2]d/asks/login
    redirect_uris: ["https://party.%[1]s:%[2]d/asks/callback"]
    scopes: [openid, profile, profession]
    consent: true
    secret_file: client.secret
  - id: nurses
    title: Soins infirmiers
    home: https://party.%[1]s:%[2]d/nurses/login
    redirect_uris: ["https://party.%[1]s:%[2]d/nurses/callback"]
    post_logout_redirect_uris: ["https://party.%[1]s:%[2]d/nurses/bye"]
    scopes: [openid]
    allow: {professions: ["60"]}
    secret_file: client.secret
  - id: tv
    title: Écran de garde
    scopes: [openid, profile]
    device: true
    secret_file: client.secret
`

// TestRelyingPartiesInABrowser goes to services of another author and comes back, in Chromium, with a card in the reader.
func TestRelyingPartiesInABrowser(t *testing.T) {
	w := newPartyBrowser(t)
	var b *tab
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a card opens the portal, and the portal's link a service, without typing", func(t *testing.T) { b = w.fromPortal(t) }},
		{"a person is asked, refuses, agrees, is not asked again, and withdraws", func(t *testing.T) { w.consent(t, b) }},
		{"an answer by a form", func(t *testing.T) { w.byForm(t, b) }},
		{"a service that never admits the person says why, and is told", func(t *testing.T) { w.notAdmitted(t, b) }},
		{"a service that wants a login has one", func(t *testing.T) { b = w.again(t, b) }},
		{"a service ends the session, and the person is back at it", func(t *testing.T) { w.endedByService(t, b) }},
		{"after a password and a code, a service asks for the card, and the one before stays signed in", func(t *testing.T) { b = w.stepUp(t) }},
		{"a device is signed in by its code", func(t *testing.T) { w.device(t, b) }},
		{"who signs out at the top right is signed out of all of them", func(t *testing.T) { w.signOut(t, b) }},
	} {
		if !t.Run(step.name, step.run) {
			return // what follows needs what this was to leave
		}
	}
}

func newPartyBrowser(t *testing.T) *partyBrowser {
	t.Helper()
	w := &partyBrowser{partyWorld: preparePartyWorld(t), axe: axeCore(t)}
	w.module, w.pcsc, w.agentPort = opensc(t), pcsctest.Start(t), freePorts(t, 1)[0]
	w.startExampleGateway(t, fmt.Sprintf(browserClients, domain, w.port, w.agentPort))
	w.startAgent(t)
	w.startParties(t, map[string]party{
		"web":    {"secret": w.secret, "scope": "openid profile offline_access"},
		"strict": {"secret": w.secret, "scope": "openid"},
		"asks":   {"secret": w.secret, "scope": "openid profile profession"},
		"nurses": {"secret": w.secret, "scope": "openid"},
		"tv":     {"secret": w.secret, "scope": "openid profile"},
	})
	w.browser = startChromium(t, w.pki.Server.Certificate, func(*chromium) []chromedp.ExecAllocatorOption {
		return []chromedp.ExecAllocatorOption{
			chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP party.%s %s,MAP *.%[1]s 127.0.0.1", domain, nodeAddress)),
		}
	})
	w.insertDoctor(t)
	return w
}

// at waits until a tab is at a page of e2e/party, and reads it. The tab must have left the page before, which may look the same.
func (w *partyBrowser) at(t *testing.T, b *tab, path string) (s said) {
	t.Helper()
	address := w.origin("party") + path
	eventually(t, "the browser is at "+address, func() error {
		if at, _, _ := strings.Cut(b.url(), "?"); at != address {
			return fmt.Errorf("it is at %s:\n%s", at, b.text())
		}
		s = said{}
		return json.Unmarshal([]byte(b.evaluate(`document.readyState === "complete" ? document.body.firstElementChild.innerText : ""`)), &s)
	})
	return s
}

// follow opens a page of e2e/party and goes where it leads.
func (w *partyBrowser) follow(t *testing.T, b *tab, path, end string) said {
	t.Helper()
	b.open(t, w.origin("party")+path)
	return w.at(t, b, end)
}

// signedIn fails unless a client has been told who the doctor is, at a level.
func (s said) signedIn(t *testing.T, id, acr string) {
	t.Helper()
	if s.Error != "" || !s.isFor(id) || s.Claims["sub"] == "" || s.Claims["acr"] != acr {
		t.Fatalf("%s is told %+v, want the level %s", id, s, acr)
	}
}

// openListed clicks on a service of the portal.
func (w *partyBrowser) openListed(t *testing.T, b *tab, id string) {
	t.Helper()
	b.open(t, w.auth("/"))
	b.await(t, "Mes services")
	b.answered(t, func() { b.click(t, fmt.Sprintf("a.service[href='%s/%s/login']", w.origin("party"), id)) })
}

// byCard goes on from the login page with the card; the tab is the one that the person is left with, for the steps that follow too.
func (w *partyBrowser) byCard(t *testing.T, b *tab) *tab {
	t.Helper()
	agent := b.clickToNewTab(w.t, "form[action='/login/card'] button")
	agent.enterPIN(t, "1234")
	return agent
}

func (w *partyBrowser) fromPortal(t *testing.T) *tab {
	b := w.login(w.t, w.auth("/")) // the tab is there for the steps that follow too
	b.await(t, "Bonjour", "Dossier", "Prescription", "Annuaire")
	if strings.Contains(b.text(), "Soins infirmiers") {
		t.Error("the portal lists a service that never admits the person")
	}
	w.openListed(t, b, "web")
	w.at(t, b, "/web/callback").signedIn(t, "web", hardware)
	if s := w.follow(t, b, "/web/userinfo", "/web/userinfo"); s.Name != "HÉLÈNE D'ARTAGNAN-LE GOFF" {
		t.Errorf("userinfo = %+v", s)
	}

	// For later: what signs in without a card.
	b.open(t, w.auth("/account/password"))
	b.await(t, "Choisir un mot de passe")
	b.typePassword(t, doctorPassword)
	b.await(t, "Le mot de passe est enregistré.")
	b.open(t, w.auth("/account/recovery"))
	b.click(t, "form[action='/account/recovery'] button")
	b.await(t, "ils ne seront plus montrés")
	w.codes = strings.Fields(b.evaluate(`[...document.querySelectorAll(".code-line")].map(e => e.textContent).join(" ")`))
	return b
}

func (w *partyBrowser) consent(t *testing.T, b *tab) {
	ask := func() {
		t.Helper()
		w.openListed(t, b, "asks")
		b.await(t, "Partager vos informations", "Annuaire", "party."+domain, "vos nom et prénom", "votre profession")
	}
	answer := func(word string) said {
		t.Helper()
		b.click(t, fmt.Sprintf("button[name=answer][value=%s]", word))
		return w.at(t, b, "/asks/callback")
	}
	ask()
	if shown := b.text(); strings.Contains(shown, "boîte aux lettres") || strings.Contains(shown, "identifiant national") {
		t.Errorf("the page says more than what is told:\n%s", shown)
	}
	b.look(t, w.axe, "consent")
	b.click(t, "footer a[hreflang=en]") // what is agreed to is read in one's own language
	b.await(t, "Share your information", "your profession")
	b.click(t, "footer a[hreflang=fr]")
	b.await(t, "Partager vos informations", "votre profession")
	if s := answer("refuse"); s.Error != "access_denied" {
		t.Errorf("after a refusal the service is told %+v", s)
	}
	ask()
	s := answer("agree")
	s.signedIn(t, "asks", hardware)
	w.openListed(t, b, "asks")
	w.at(t, b, "/asks/callback").signedIn(t, "asks", hardware)

	b.open(t, w.auth("/account"))
	b.await(t, "Services que j’ai autorisés", "Annuaire")
	b.look(t, w.axe, "account-consents")
	b.click(t, "form:has(input[name=client][value=asks]) button")
	b.await(t, "L’autorisation est retirée.")
	if strings.Contains(b.text(), "Annuaire") {
		t.Errorf("it is still listed:\n%s", b.text())
	}
	if s := w.follow(t, b, "/asks/userinfo", "/asks/userinfo"); s.Error == "" {
		t.Errorf("the token of a service whose consent is withdrawn gets %+v", s)
	}
	if s := w.follow(t, b, "/asks/login?prompt=none", "/asks/callback"); s.Error != "consent_required" {
		t.Errorf("after the withdrawal, prompt=none is told %+v", s)
	}
	ask()
	answer("refuse")
}

func (w *partyBrowser) byForm(t *testing.T, b *tab) {
	w.follow(t, b, "/web/login?response_mode=form_post", "/web/callback").signedIn(t, "web", hardware)
	if at := b.url(); strings.Contains(at, "?") {
		t.Errorf("the answer stands in the address: %s", at)
	}
}

func (w *partyBrowser) notAdmitted(t *testing.T, b *tab) {
	b.open(t, w.origin("party")+"/nurses/login")
	b.await(t, "Ce service ne vous est pas ouvert", "Soins infirmiers", "Votre profession n’est pas", "Code à donner")
	b.look(t, w.axe, "not-admitted")
	support := b.evaluate(`[...document.querySelectorAll(".code span")].map(e => e.innerText).join("-")`)
	b.click(t, "form[action='/oauth/refuse'] button")
	if s := w.at(t, b, "/nurses/callback"); s.Error != "access_denied" {
		t.Errorf("the service is told %+v", s)
	}
	all := w.events(t, audit.AuthorizationRefused)
	if !slices.ContainsFunc(all, func(e audit.Event) bool {
		return e.Client == "nurses" && e.Reason == "profession" && e.Support == support && support != ""
	}) {
		t.Errorf("the code %q of the page is not in the trail:\n%+v", support, all)
	}
}

func (w *partyBrowser) again(t *testing.T, b *tab) *tab {
	before := w.follow(t, b, "/web/login", "/web/callback")
	began := time.Now()
	b.open(t, w.origin("party")+"/web/login?prompt=login")
	b.await(t, "prouviez une nouvelle fois qui vous êtes", "Dossier")
	b.look(t, w.axe, "login-again")
	b = w.byCard(t, b)
	s := w.at(t, b, "/web/callback")
	s.signedIn(t, "web", hardware)
	w.names = []any{s.Claims["sid"]}
	if at, _ := s.Claims["auth_time"].(float64); at < float64(began.Unix()) || s.Claims["sub"] != before.Claims["sub"] {
		t.Errorf("after a login at %v it is told %+v, before %+v", began, s, before)
	}
	return b
}

func (w *partyBrowser) endedByService(t *testing.T, b *tab) {
	// One that cannot show an ID token has the person asked.
	b.open(t, w.origin("party")+"/nurses/logout")
	b.await(t, "Ce service demande à vous déconnecter", "Soins infirmiers", "Rester connecté")
	b.look(t, w.axe, "logout")
	b.answered(t, func() { b.click(t, "a[href='/']") })
	b.await(t, "Bonjour", "ARTAGNAN")
	if s := w.follow(t, b, "/web/logout", "/web/bye"); s.Bye != "bye" {
		t.Errorf("the service is come back to with %+v", s)
	}
	b.open(t, w.auth("/"))
	b.await(t, "Se connecter avec ma carte CPS")
	if s := w.follow(t, b, "/web/userinfo", "/web/userinfo"); s.Error == "" {
		t.Errorf("the token of a session that is over gets %+v", s)
	}
	w.awaitTold(t, "web", w.names)
}

// told is what a client was told about sessions that are over.
func (w *partyBrowser) told(t *testing.T, id string) []map[string]any {
	t.Helper()
	_, body := w.visitor(t).ask(http.MethodGet, w.origin("party")+"/"+id+"/told", nil)
	var all []map[string]any
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return all
}

// awaitTold waits until a client was told that sessions are over, and returns what it was told last.
func (w *partyBrowser) awaitTold(t *testing.T, id string, names []any) map[string]any {
	t.Helper()
	var all []map[string]any
	began := time.Now()
	eventually(t, id+" is told", func() error {
		all = w.told(t, id)
		for _, name := range names {
			if name == nil || !slices.ContainsFunc(all, func(m map[string]any) bool { return m["sid"] == name }) {
				return fmt.Errorf("it was told %v, want the sessions %v", all, names)
			}
		}
		return nil
	})
	t.Logf("%s knows it %v later", id, time.Since(began).Round(time.Millisecond))
	return all[len(all)-1]
}

func (w *partyBrowser) stepUp(t *testing.T) *tab {
	b := w.browser.browser(w.t)
	b.open(t, w.origin("party")+"/web/login")
	b.await(t, "Dossier", "Se connecter avec un mot de passe et un code")
	b.click(t, "form[action='/login/otp'] button")
	b.await(t, "Première étape sur deux")
	b.givePassword(t, doctorPassword)
	b.await(t, "Seconde étape sur deux")
	b.answered(t, func() { b.typeIn(t, "#code", w.codes[0]) })
	first := w.at(t, b, "/web/callback")
	first.signedIn(t, "web", twoFactor)

	if s := w.follow(t, b, "/strict/login?prompt=none", "/strict/callback"); s.Error != "interaction_required" {
		t.Errorf("prompt=none of a service that wants more is told %+v", s)
	}
	w.openListed(t, b, "strict")
	b.await(t, "ce service demande un moyen de connexion plus sûr", "Prescription", "Se connecter avec ma carte CPS")
	if b.evaluate(`String(document.querySelectorAll("form[action='/login/otp']").length)`) != "0" {
		t.Errorf("a way is offered that is not enough:\n%s", b.text())
	}
	b.look(t, w.axe, "login-step-up")
	b = w.byCard(t, b)
	s := w.at(t, b, "/strict/callback")
	s.signedIn(t, "strict", hardware)
	w.strict = s.Claims["sid"]

	// The one before is signed in as it was, and what it is told stays true (F13).
	r := w.follow(t, b, "/web/refresh", "/web/refresh")
	if r.signedIn(t, "web", twoFactor); !r.Rotated || fmt.Sprint(r.Claims["auth_time"]) != fmt.Sprint(first.Claims["auth_time"]) || r.Claims["sid"] != first.Claims["sid"] {
		t.Errorf("after the step up a refresh tells %+v, was %+v", r, first)
	}
	if s := w.follow(t, b, "/web/userinfo", "/web/userinfo"); s.Name != "HÉLÈNE D'ARTAGNAN-LE GOFF" {
		t.Errorf("userinfo after the step up = %+v", s)
	}
	if slices.ContainsFunc(w.told(t, "web"), func(m map[string]any) bool { return m["sid"] == first.Claims["sid"] }) {
		t.Error("a service is told that its session is over, which goes on")
	}
	second := w.follow(t, b, "/web/login?prompt=none", "/web/callback")
	second.signedIn(t, "web", hardware)
	w.names = []any{first.Claims["sid"], second.Claims["sid"]}
	return b
}

func (w *partyBrowser) device(t *testing.T, b *tab) {
	for _, c := range []struct{ answer, page, err string }{
		{"refuse", "Appareil refusé", "access_denied"},
		{"approve", "Appareil accepté", ""},
	} {
		screen := w.visitor(t)
		_, body := screen.ask(http.MethodGet, w.origin("party")+"/tv/device", nil)
		var shown struct {
			Code    string `json:"user_code"`
			Address string `json:"verification_uri"`
		}
		if err := json.Unmarshal([]byte(body), &shown); err != nil || shown.Code == "" || shown.Address != w.auth("/device") {
			t.Fatalf("%v\n%s", err, body)
		}
		b.open(t, shown.Address)
		b.await(t, "Code affiché sur l’appareil")
		b.typeIn(t, "#code", strings.ToLower(strings.ReplaceAll(shown.Code, "-", " "))) // as people type it
		b.await(t, "Est-ce l’appareil devant vous", "Écran de garde", "vos nom et prénom")
		if got := strings.Join(strings.Fields(b.evaluate(`document.querySelector(".code").innerText`)), "-"); got != shown.Code {
			t.Errorf("the page shows the code %q, the device %q", got, shown.Code)
		}
		b.look(t, w.axe, "device-"+c.answer)
		b.click(t, fmt.Sprintf("button[name=answer][value=%s]", c.answer))
		b.await(t, c.page)
		s := screen.party("/tv/poll") // which waits as long as the gateway says
		if s.Error != c.err {
			t.Fatalf("%s: the device is told %+v", c.answer, s)
		}
		if c.err == "" {
			s.signedIn(t, "tv", hardware)
			if s := screen.party("/tv/userinfo"); s.Name != "HÉLÈNE D'ARTAGNAN-LE GOFF" {
				t.Errorf("userinfo of the device = %+v", s)
			}
		}
	}
}

func (w *partyBrowser) signOut(t *testing.T, b *tab) {
	b.open(t, w.auth("/"))
	b.click(t, "details.menu summary")
	b.click(t, "form[action$='/logout'] button")
	b.await(t, "Vous êtes déconnecté")
	if token := w.awaitTold(t, "web", w.names); token["sub"] == nil {
		t.Errorf("the service is told %v, without the person", token)
	}
	if frame := w.awaitTold(t, "strict", []any{w.strict}); frame["iss"] != w.auth("") {
		t.Errorf("the frame of a service has %v", frame)
	}
	if s := w.follow(t, b, "/web/userinfo", "/web/userinfo"); s.Error == "" {
		t.Errorf("the token of a session that is over gets %+v", s)
	}
	b.open(t, w.origin("party")+"/web/login")
	b.await(t, "Se connecter avec ma carte CPS")
}
