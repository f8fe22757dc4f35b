package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"promess/authgw/internal/audit"
)

// A secretary whose card has not come.
const (
	secretaryLogin    = "c.durand"
	secretaryHome     = "claire@example.org"
	secretaryPassword = "quatre mots sans aucun rapport"
)

// TestInvitation is the way in of a person who has no card: the help desk invites them and tells them a code, the message has the link, and
// both together lead to a password, with which they sign in as everybody does (issue 4, D11).
func TestInvitation(t *testing.T) {
	w := newPostWorld(t)
	w.authgw(t, "user", "add", "--config", w.path("authgw.yaml"), "--id-type", "FINESS", "--national-id", "3750000001/0042",
		"--given-name", "Claire", "--family-name", "Durand", "--login", secretaryLogin, "--address", secretaryHome)
	told := w.authgw(t, "user", "invite", "--config", w.path("authgw.yaml"), "3750000001/0042")
	code := regexp.MustCompile(`\b[0-9A-Z]{4}-[0-9A-Z]{4}\b`).FindString(told)
	m := w.server.Await(t, 1)
	link := regexp.MustCompile(`https://\S+/login/otp/invitation/\S+`).FindString(m.Text)
	if code == "" || m.To != secretaryHome || !strings.HasPrefix(link, w.auth("/")) {
		t.Fatalf("message to %q with %q; the help desk reads:\n%s", m.To, link, told)
	}
	axe := axeCore(t)
	b := w.browser.browser(t)

	t.Run("the link and the code set a password", func(t *testing.T) {
		b.open(t, link)
		b.await(t, "Activer votre accès", "Code d’activation", "01 23 45 67 89")
		b.look(t, axe, "invitation")
		b.activate(t, "ACEF-3467", secretaryPassword)
		b.await(t, "Ce code d’activation n’est pas le bon.", "Il vous reste 4 essais.")
		b.look(t, axe, "invitation-wrong")
		b.activate(t, strings.ToLower(code), "court")
		b.await(t, "Ce mot de passe est trop court.")
		if got := b.evaluate(`document.querySelector("#code").value`); !strings.EqualFold(got, code) {
			t.Errorf("the code that was right is to be typed again: the field has %q", got)
		}
		b.activate(t, code, secretaryPassword)
		b.await(t, "Votre mot de passe est enregistré.")
		b.look(t, axe, "invitation-done")
	})

	t.Run("nobody is signed in by it, and the link is over", func(t *testing.T) {
		b.open(t, w.auth("/account"))
		b.await(t, "Se connecter avec ma carte CPS")
		b.open(t, link)
		b.await(t, "Ce lien ne fonctionne pas, ou plus")
		b.look(t, axe, "invitation-over")
	})

	t.Run("the password and a mailed code lead to the service", func(t *testing.T) {
		url := w.mail("/inbox?folder=2")
		b.open(t, url)
		b.click(t, "form[action='/login/otp'] button")
		b.await(t, "Première étape sur deux")
		b.do(t, chromedp.SendKeys(chromedp.CSS("#identifier"), secretaryLogin), chromedp.SendKeys(chromedp.CSS("#password"), secretaryPassword),
			chromedp.Click(chromedp.CSS("form:has(#password) button")))
		b.await(t, "Recevoir un code")
		b.click(t, "form[action='/login/otp/mail'] button")
		b.await(t, "Il est envoyé à votre adresse ordinaire", "c…@example.org", "8 chiffres")
		mailed := ""
		for n := 2; mailed == "" && n < 5; n++ { // a notice of the new password comes before or after
			mailed = w.code(t, n)
		}
		b.typeIn(t, "#code", mailed)
		b.await(t, "Votre compte est prêt", secretaryHome)
		b.click(t, "a[href='/account/register/continue']")
		b.awaitURL(t, url)
		b.await(t, "Boîte de réception", "Claire Durand")
		if got := w.backend.header("X-Authgw-Acr"); got != "urn:authgw:acr:two-factor" {
			t.Errorf("X-Authgw-Acr = %q", got)
		}
	})

	t.Run("the trail says what happened, and the logs no secret", func(t *testing.T) {
		if got := w.events(t, audit.FactorAdded); len(got) != 1 || got[0].Reason != "invitation" || got[0].Factor != "password" {
			t.Errorf("events factor_added %+v", got)
		}
		exported := w.authgw(t, "audit", "export", "--config", w.path("authgw.yaml"))
		if !strings.Contains(exported, `"action":"user invite"`) {
			t.Error("the trail does not say who invited")
		}
		for _, secret := range []string{code, strings.ReplaceAll(code, "-", ""), link[strings.LastIndexByte(link, '/')+1:], secretaryPassword, secretaryHome} {
			if strings.Contains(w.gateway.out.String()+exported, secret) {
				t.Errorf("the gateway printed %q", secret)
			}
		}
	})

	t.Run("the person hears that the help desk has removed it", func(t *testing.T) {
		before := w.server.Count()
		w.authgw(t, "user", "reset", "--config", w.path("authgw.yaml"), "--factor", "password", "3750000001/0042")
		m := w.server.Await(t, before+1)
		if m.To != secretaryHome || !strings.Contains(m.Subject, "Un moyen de connexion a été retiré") {
			t.Errorf("%q to %q", m.Subject, m.To)
		}
		for _, want := range []string{"mot de passe", "Par le service d'assistance"} {
			if !strings.Contains(m.Text, want) {
				t.Errorf("the message does not say %q:\n%s", want, m.Text)
			}
		}
	})
}

// authgw runs a command of the gateway's operator and returns what it printed.
func (w *world) authgw(t *testing.T, args ...string) string {
	t.Helper()
	out, err := runTool(t, nil, binaries.authgw, args...)
	if err != nil {
		t.Fatalf("authgw %s: %v\n%s", args[1], err, out)
	}
	return string(out)
}

// activate fills in the form of an invitation anew, and sends it.
func (b *tab) activate(t *testing.T, code, password string) {
	t.Helper()
	b.do(t, chromedp.SetValue(chromedp.CSS("#code"), code), chromedp.SendKeys(chromedp.CSS("#password"), password),
		chromedp.SendKeys(chromedp.CSS("#again"), password), chromedp.Click(chromedp.CSS("form:has(#again) button")))
}
