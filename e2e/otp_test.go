package e2e

import (
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/mailtest"
)

// The doctor of these tests, as somebody without a card.
const (
	doctorHome     = "helene@example.org"
	doctorRPPS     = "899700218896"
	doctorPassword = "quatre mots sans aucun sens"
)

// codeWorld is a world in which the doctor has an ordinary address, and signs in without a card.
type codeWorld struct {
	*postWorld
	axe  string
	read int    // messages that the test has read
	key  string // of the doctor's app
	step int64  // the last of its time steps that the test has used
}

// TestPasswordAndCode is the way in for who has no card at hand, from the first password to the lost sheet of codes.
func TestPasswordAndCode(t *testing.T) {
	w := &codeWorld{postWorld: newPostWorld(t), axe: axeCore(t)}
	w.insertDoctor(t)
	usual := w.setUp(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *tab)
	}{
		{"a code by mail leads to the service that was asked for", w.byMail},
		{"an app is enrolled by its key, and its code opens once", w.byApp},
		{"recovery codes are shown once, are printed, and one opens", w.byRecovery},
		{"D5: back, reload and another address never skip the second factor", w.skipNothing},
		{"by keyboard alone", w.byKeyboard},
		{"mail does not arrive, and the other ways remain", w.withoutMail},
		{"a stranger who guesses makes strangers wait, not the person", w.guesses},
		{"what is removed is told, and opens no more", w.remove},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, usual) }) {
			return // what follows needs what this was to leave
		}
	}
	t.Run("nothing of it is in the logs", func(t *testing.T) {
		for _, secret := range []string{doctorPassword, doctorHome, w.key, "pas le bon mot de passe"} {
			if strings.Contains(w.gateway.out.String(), secret) {
				t.Errorf("the gateway printed %q", secret)
			}
		}
	})
}

// setUp signs the doctor in with the card, proves their address and has them choose a password, and signs them out.
func (w *codeWorld) setUp(t *testing.T) *tab {
	b := w.firstLogin(t, w.auth("/"))
	b.typeIn(t, "#address", doctorHome)
	b.await(t, "Saisissez le code reçu par e-mail")
	w.read = 1
	b.typeIn(t, "#code", w.code(t, 1))
	b.await(t, "Votre compte est prêt")
	b.click(t, "a[href='/account/register/continue']")
	b.awaitURL(t, w.auth("/"))
	b.open(t, w.auth("/account"))
	b.click(t, "a[href='/account/password']")
	b.await(t, "Choisir un mot de passe", "Au moins")
	b.typePassword(t, "court")
	b.await(t, "Ce mot de passe est trop court.")
	b.look(t, w.axe, "password-short")
	b.typePassword(t, doctorPassword)
	b.await(t, "Le mot de passe est enregistré.")
	if m := w.told(t, "Un moyen de connexion a été ajouté"); !strings.Contains(m.Text, "mot de passe") || m.To != doctorHome {
		t.Errorf("to %q:\n%s", m.To, m.Text)
	}
	w.leave(t, b)
	return b
}

func (b *tab) typePassword(t *testing.T, text string) {
	t.Helper()
	b.do(t, chromedp.SendKeys(chromedp.CSS("#password"), text), chromedp.SendKeys(chromedp.CSS("#again"), text), chromedp.Click(chromedp.CSS("form:has(#again) button")))
}

// leave signs out.
func (w *codeWorld) leave(t *testing.T, b *tab) {
	t.Helper()
	b.open(t, w.auth("/"))
	b.click(t, "details.menu summary")
	b.click(t, "form[action$='/logout'] button")
	b.await(t, "Vous êtes déconnecté")
}

// told reads on to the next message about something.
func (w *codeWorld) told(t *testing.T, subject string) mailtest.Message {
	t.Helper()
	for range 20 {
		w.read++
		if m := w.server.Await(t, w.read); strings.Contains(m.Subject, subject) {
			return m
		}
	}
	t.Fatalf("no message about %q", subject)
	return mailtest.Message{}
}

// ask opens a service and goes to the form for the password.
func (w *codeWorld) ask(t *testing.T, b *tab, url string) {
	t.Helper()
	b.open(t, url)
	b.await(t, "Se connecter avec un mot de passe et un code")
	b.click(t, "form[action='/login/otp'] button")
	b.await(t, "Première étape sur deux")
}

func (b *tab) givePassword(t *testing.T, text string) {
	t.Helper()
	b.fill(t, "#identifier", doctorRPPS)
	b.answered(t, func() {
		b.do(t, chromedp.SendKeys(chromedp.CSS("#password"), text), chromedp.Click(chromedp.CSS("form:has(#password) button")))
	})
}

// answered does something that leads to another page, and waits until that is there: it may look like the one before.
func (b *tab) answered(t *testing.T, do func()) {
	t.Helper()
	b.do(t, chromedp.Evaluate[chromedp.Void](`document.documentElement.dataset.before = "yes"`))
	do()
	eventually(t, "another page is there", func() error {
		if got := b.evaluate(`document.documentElement.dataset.before || document.readyState`); got != "complete" {
			return fmt.Errorf("it is %q at %s", got, b.url())
		}
		return nil
	})
}

// fill puts a text in the place of what a field holds.
func (b *tab) fill(t *testing.T, field, text string) {
	t.Helper()
	b.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector(%q).value = %q`, field, text)))
}

// first gives the right password.
func (w *codeWorld) first(t *testing.T, b *tab, url string) {
	t.Helper()
	w.ask(t, b, url)
	b.givePassword(t, doctorPassword)
	b.await(t, "Seconde étape sur deux")
}

func (w *codeWorld) byMail(t *testing.T, b *tab) {
	url := w.mail("/inbox?folder=2")
	w.ask(t, b, url)
	b.look(t, w.axe, "otp")
	b.givePassword(t, doctorPassword)
	b.await(t, "Code par e-mail", "h…@example.org") // the only way that there is
	b.look(t, w.axe, "otp-mail-before")
	b.click(t, "form[action='/login/otp/mail'] button")
	b.await(t, "8 chiffres")
	b.look(t, w.axe, "otp-mail")
	m := w.told(t, "Votre code de connexion")
	code := regexp.MustCompile(`\b[0-9]{4} [0-9]{4}\b`).FindString(m.Text)
	for _, text := range []string{code, "127.0.0.1", "Chrome", "Messagerie sécurisée", w.origin("auth"), "01 23 45 67 89", "Quelqu"} {
		if code == "" || !strings.Contains(m.Text, text) || !strings.Contains(m.HTML, text) {
			t.Errorf("the message is without %q:\n%s\n%s", text, m.Text, m.HTML)
		}
	}
	if m.To != doctorHome || !m.TLS || m.User != "authgw" {
		t.Errorf("message to %q over TLS %t by %q", m.To, m.TLS, m.User)
	}
	b.typeIn(t, "#code", "1234")
	b.await(t, "Seconde étape sur deux") // the browser itself takes no such code
	b.fill(t, "#code", "")
	b.typeIn(t, "#code", otherCode(code))
	b.await(t, "Ce code n’est pas le bon")
	b.look(t, w.axe, "otp-mail-wrong")
	// A second press of the button would give up the answer that signs in. These presses send nothing.
	const twice = `(f => ["first", "second"].filter(() => f.dispatchEvent(new Event("submit", {cancelable: true}))).join())(document.querySelector("form:has(#code)"))`
	if sent := b.evaluate(twice); sent != "first" {
		t.Errorf("of two presses, these are sent: %q", sent)
	}
	b.open(t, w.auth("/login/otp/code?way=mail"))
	b.typeIn(t, "#code", code)
	b.awaitURL(t, url)
	b.await(t, "Boîte de réception", "ARTAGNAN")
	if acr := w.backend.header("X-Authgw-Acr"); acr != "urn:authgw:acr:two-factor" && !strings.Contains(acr, "two") {
		t.Errorf("the service is told the level %q", acr)
	}
	e := w.events(t, audit.LoginSucceeded)
	if last := e[len(e)-1]; last.Method != "otp" {
		t.Errorf("the trail has %+v", last)
	}
}

// otherCode is one that is wrong.
func otherCode(code string) string { return string('0'+(code[0]-'0'+1)%10) + code[1:] }

// byApp goes on with the session that byMail left, which is recent enough to add what gives its level.
func (w *codeWorld) byApp(t *testing.T, b *tab) {
	b.open(t, w.auth("/account"))
	b.click(t, "a[href='/account/totp']")
	b.await(t, "Ajouter une application de codes")
	b.look(t, w.axe, "totp")
	w.key = strings.Join(strings.Fields(b.evaluate(`document.querySelector(".key").innerText`)), "")
	u, err := url.Parse(read(t, b.picture(t))) // what a telephone's camera sees
	if err != nil {
		t.Fatal(err)
	}
	if u.Scheme != "otpauth" || u.Host != "totp" || u.Query().Get("secret") != w.key || w.key == "" || u.Path != "/ProMess auth."+domain+":"+doctorRPPS {
		t.Errorf("the QR code is for %s%s, and its key is another than the text's: %t", u.Host, u.Path, u.Query().Get("secret") != w.key)
	}
	code := w.appCode(t)
	b.typeIn(t, "#code", otherCode(code))
	b.await(t, "Ce code n’est pas le bon")
	b.look(t, w.axe, "totp-wrong")
	b.do(t, chromedp.SendKeys(chromedp.CSS("#label"), "téléphone de garde"))
	b.typeIn(t, "#code", code)
	b.await(t, "téléphone de garde", "Application de codes")
	b.look(t, w.axe, "account-with-app")
	if m := w.told(t, "Un moyen de connexion a été ajouté"); !strings.Contains(m.Text, "téléphone de garde") {
		t.Errorf("the notice does not name the app:\n%s", m.Text)
	}
	w.leave(t, b)

	w.first(t, b, w.mail("/inbox"))
	b.await(t, "Comment voulez-vous prouver qui vous", "Code de l’application", "Code par e-mail")
	b.look(t, w.axe, "otp-choice")
	b.click(t, "a[href='/login/otp/code?way=totp']")
	b.await(t, "6 chiffres")
	b.typeIn(t, "#code", code) // that which confirmed the app
	b.await(t, "Ce code n’est pas le bon, ou il a déjà servi.")
	code = w.appCode(t)
	b.typeIn(t, "#code", code)
	b.awaitURL(t, w.mail("/inbox"))
	w.leave(t, b)

	w.first(t, b, w.mail("/inbox"))
	b.click(t, "a[href='/login/otp/code?way=totp']")
	b.await(t, "6 chiffres")
	b.typeIn(t, "#code", code)
	b.await(t, "Ce code n’est pas le bon, ou il a déjà servi.")
	b.look(t, w.axe, "otp-totp-again")
	b.click(t, "a[href='/login/otp/code?way=mail']") // and the other way is still there
	w.finishByMail(t, b)
	b.awaitURL(t, w.mail("/inbox"))
}

// appCode asks oathtool for the next code of the app that was not used: a code one step ahead is taken, as from a clock that is.
func (w *codeWorld) appCode(t *testing.T) string {
	t.Helper()
	var at time.Time
	eventually(t, "the app shows another code", func() error {
		at = time.Now()
		if at.Unix()/30 <= w.step {
			at = at.Add(30 * time.Second)
		}
		if at.Unix()/30 <= w.step {
			return fmt.Errorf("it shows that of step %d", at.Unix()/30)
		}
		return nil
	})
	w.step = at.Unix() / 30
	return appCode(t, w.key, at)
}

// appCode is what oathtool makes of a key at a time.
func appCode(t *testing.T, key string, at time.Time) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), mustFind(t, "oathtool", "oathtool"), "--totp", "--base32", "--now", at.UTC().Format("2006-01-02 15:04:05 UTC"), key).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// finishByMail has a code sent and gives it.
func (w *codeWorld) finishByMail(t *testing.T, b *tab) {
	t.Helper()
	w.forgetCodes(t)
	b.await(t, "h…@example.org")
	b.click(t, "form[action='/login/otp/mail'] button")
	b.await(t, "8 chiffres")
	b.typeIn(t, "#code", regexp.MustCompile(`\b[0-9]{4} [0-9]{4}\b`).FindString(w.told(t, "Votre code de connexion").Text))
}

// forgetCodes makes half a minute pass since the last code.
func (w *codeWorld) forgetCodes(t *testing.T) {
	t.Helper()
	w.change(t, "DELETE FROM codes WHERE purpose = 'login'")
}

// change changes the database as time would.
func (w *codeWorld) change(t *testing.T, statement string, arguments ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", w.path("authgw.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement, arguments...); err != nil {
		t.Fatal(err)
	}
}

// byRecovery goes on with the session of byApp.
func (w *codeWorld) byRecovery(t *testing.T, b *tab) {
	b.open(t, w.auth("/account"))
	b.click(t, "a[href='/account/recovery']")
	b.await(t, "Codes de secours", "Une feuille de 10 codes")
	b.look(t, w.axe, "recovery-before")
	// Twice, out of habit: the second click comes while the browser waits for the answer to the first, and is none.
	b.evaluate(`(f => { f.requestSubmit(); setTimeout(() => f.requestSubmit(), 5); })(document.querySelector("form[action='/account/recovery']"))`)
	b.await(t, "ils ne seront plus montrés")
	codes := strings.Fields(b.evaluate(`[...document.querySelectorAll(".code-line")].map(e => e.textContent).join(" ")`))
	if len(codes) != 10 {
		t.Fatalf("%d codes are shown, want 10", len(codes))
	}
	b.look(t, w.axe, "recovery")
	b.printed(t, codes)
	b.click(t, "a.primary[href='/account']")
	b.await(t, "Il vous reste 10 codes.")
	for _, again := range []func(){func() { b.back(t) }, func() { b.open(t, w.auth("/account/recovery")) }} {
		again()
		time.Sleep(500 * time.Millisecond) // there is no event for "nothing more happens"
		if shown := b.text(); strings.Contains(shown, codes[0]) || strings.Contains(shown, codes[9]) {
			t.Errorf("the codes are shown again at %s", b.url())
		}
	}
	w.told(t, "Un moyen de connexion a été ajouté")
	w.leave(t, b)

	for i, want := range []string{"", "Ce code n’est pas le bon, ou il a déjà servi."} {
		w.first(t, b, w.mail("/inbox"))
		b.click(t, "a[href='/login/otp/code?way=recovery']")
		b.await(t, "Recopiez un code de votre feuille")
		if i == 0 {
			b.look(t, w.axe, "otp-recovery")
		}
		b.typeIn(t, "#code", strings.ToLower(codes[3]))
		if want != "" {
			b.await(t, want)
			continue
		}
		b.awaitURL(t, w.mail("/inbox"))
		if m := w.told(t, "Un code de secours a servi à se connecter"); !strings.Contains(m.Text, "Codes de secours restants : 9.") || !strings.Contains(m.HTML, "restants : 9.") {
			t.Errorf("the notice does not say how many are left:\n%s", m.Text)
		}
		w.leave(t, b)
	}
	b.typeIn(t, "#code", codes[4])
	b.awaitURL(t, w.mail("/inbox"))
	w.leave(t, b)
}

// printed looks at a sheet as it comes out of the printer: the codes are on it, and what is no use on paper is not.
func (b *tab) printed(t *testing.T, codes []string) {
	t.Helper()
	sheet, err := chromedp.Call(b.ctx, page.PrintToPDF, page.PrintToPDFParams{})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sheet.pdf")
	if dir := os.Getenv("AUTHGW_E2E_SCREENS"); dir != "" {
		file = filepath.Join(dir, "live-recovery-sheet.pdf")
	}
	if err := os.WriteFile(file, sheet.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), mustFind(t, "poppler-utils", "pdftotext"), file, "-").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range codes {
		if !strings.Contains(string(out), code) {
			t.Errorf("a code is not on the sheet:\n%s", out)
			break
		}
	}
	for _, useless := range []string{"Imprimer", "Imprimez", "C’est fait", "Se déconnecter", "aujourd’hui"} {
		if strings.Contains(string(out), useless) {
			t.Errorf("%q is printed", useless)
		}
	}
	if pages := strings.Count(string(out), "\f"); pages != 1 {
		t.Errorf("the sheet has %d pages", pages)
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"}); err != nil {
		t.Fatal(err)
	}
	b.screenshot(t, "live-recovery-print")
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{}); err != nil {
		t.Fatal(err)
	}
}

// skipNothing has the password, and nothing else.
func (w *codeWorld) skipNothing(t *testing.T, _ *tab) {
	b := w.browser.browser(t)
	w.first(t, b, w.mail("/inbox"))
	closed := func(what string) {
		t.Helper()
		for _, url := range []string{w.mail("/inbox"), w.auth("/account"), w.auth("/")} {
			b.open(t, url)
			b.await(t, "Se connecter avec ma carte CPS")
			if shown := b.text(); strings.Contains(shown, "ARTAGNAN") || strings.Contains(shown, "Boîte de réception") {
				t.Fatalf("%s: %s shows\n%s", what, url, shown)
			}
		}
	}
	closed("the password alone")
	b.open(t, w.auth("/login/otp/code"))
	b.await(t, "Seconde étape sur deux") // it goes on where it was
	b.do(t, chromedp.Reload())
	b.await(t, "Seconde étape sur deux")
	closed("reload")
	b.open(t, w.auth("/login/otp/code?way=totp"))
	b.typeIn(t, "#code", "000000")
	b.await(t, "Ce code n’est pas le bon")
	b.back(t)
	b.await(t, "Code de l’application")
	closed("back from a wrong code")
	b.open(t, w.auth("/login/otp/code?way=nothing"))
	b.await(t, "Comment voulez-vous prouver qui vous")
	b.click(t, "a[href='/login/otp']")
	b.await(t, "Première étape sur deux")
	closed("beginning again")
	if e := w.events(t, audit.LoginSucceeded); e[len(e)-1].Source == "" {
		t.Errorf("the trail has %+v", e[len(e)-1])
	}
}

// byKeyboard uses no pointer at all.
func (w *codeWorld) byKeyboard(t *testing.T, b *tab) {
	b.open(t, w.mail("/inbox"))
	b.await(t, "Se connecter avec un mot de passe et un code")
	b.press(t, "form[action='/login/otp'] button")
	b.await(t, "Première étape sur deux")
	b.awaitFocus(t, "#identifier")
	b.keys(t, doctorRPPS+kb.Tab+doctorPassword+kb.Enter)
	b.await(t, "Seconde étape sur deux")
	b.press(t, "a[href='/login/otp/code?way=totp']")
	b.await(t, "6 chiffres")
	b.awaitFocus(t, "#code")
	b.keys(t, w.appCode(t)+kb.Enter)
	b.awaitURL(t, w.mail("/inbox"))
	w.leave(t, b)
}

// awaitFocus waits until a field has the focus by itself.
func (b *tab) awaitFocus(t *testing.T, field string) {
	t.Helper()
	eventually(t, field+" has the focus", func() error {
		if b.evaluate(fmt.Sprintf(`String(document.readyState === "complete" && document.activeElement.matches(%q))`, field)) != "true" {
			return fmt.Errorf("it is at %s:\n%s", b.url(), b.text())
		}
		return nil
	})
}

func (b *tab) keys(t *testing.T, keys string) {
	t.Helper()
	b.do(t, chromedp.KeyEvent(keys))
}

// press goes to an element by the tab key, sees that it shows its focus, and presses enter.
func (b *tab) press(t *testing.T, selector string) {
	t.Helper()
	for range 40 {
		b.keys(t, kb.Tab)
		if b.evaluate(fmt.Sprintf(`String(document.activeElement.matches(%q))`, selector)) != "true" {
			continue
		}
		if b.evaluate(`(s => s.outlineStyle === "none" && s.boxShadow === "none" ? "" : "seen")(getComputedStyle(document.activeElement))`) == "" {
			t.Errorf("%s does not show that it has the focus", selector)
		}
		b.keys(t, kb.Enter)
		return
	}
	t.Fatalf("the tab key does not reach %s", selector)
}

// withoutMail is a login while the mail server refuses the person, is down, and is slow.
func (w *codeWorld) withoutMail(t *testing.T, b *tab) {
	for name, trouble := range map[string]struct{ begin, end func() }{
		"refused": {func() { w.server.Refuse(doctorHome) }, func() { w.server.RefuseWith(doctorHome, 0) }},
		"down":    {w.server.HangUp, w.server.Speak},
		"slow":    {w.server.FallSilent, w.server.Speak},
	} {
		t.Run(name, func(t *testing.T) {
			trouble.begin()
			defer trouble.end()
			before := w.server.Count()
			w.first(t, b, w.mail("/inbox"))
			w.forgetCodes(t)
			b.click(t, "a[href='/login/otp/code?way=mail']")
			b.await(t, "h…@example.org")
			b.click(t, "form[action='/login/otp/mail'] button")
			b.await(t, "Si rien n’arrive, choisissez un autre moyen", "Code de l’application", "Code de secours")
			b.look(t, w.axe, "otp-mail-"+name)
			if n := w.server.Count(); n != before {
				t.Errorf("%d messages were taken", n-before)
			}
			b.click(t, "a[href='/login/otp/code?way=totp']")
			b.await(t, "6 chiffres")
			b.typeIn(t, "#code", w.appCode(t))
			b.awaitURL(t, w.mail("/inbox"))
			w.leave(t, b)
		})
	}
	t.Run("killed", func(t *testing.T) { w.killed(t, b) })
	// Once the server is there again, so is this way. The codes that wait, which open nothing any more, are not to come in between.
	w.change(t, "DELETE FROM mail_queue")
	w.read = w.server.Count()
	w.first(t, b, w.mail("/inbox"))
	b.click(t, "a[href='/login/otp/code?way=mail']")
	w.finishByMail(t, b)
	b.awaitURL(t, w.mail("/inbox"))
	w.leave(t, b)
}

// killed is a gateway that is killed while the mail server keeps it waiting: the next one sends the code, which is still good.
func (w *codeWorld) killed(t *testing.T, b *tab) {
	w.first(t, b, w.mail("/inbox"))
	w.forgetCodes(t)
	w.change(t, "DELETE FROM mail_queue")
	b.click(t, "a[href='/login/otp/code?way=mail']")
	b.await(t, "h…@example.org")
	w.server.FallSilent()
	b.click(t, "form[action='/login/otp/mail'] button")
	b.await(t, "8 chiffres")
	w.server.AwaitSilence(t)
	if err := w.gateway.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-w.gateway.done
	w.server.Speak()
	w.read = w.server.Count()
	w.change(t, "UPDATE mail_queue SET next_at = 0") // the killed one had half a minute for it
	w.start(w.t)
	b.typeIn(t, "#code", regexp.MustCompile(`\b[0-9]{4} [0-9]{4}\b`).FindString(w.told(t, "Votre code de connexion").Text))
	b.awaitURL(t, w.mail("/inbox"))
	w.leave(t, b)
}

// guesses is a stranger who knows the RPPS.
func (w *codeWorld) guesses(t *testing.T, usual *tab) {
	stranger := w.browser.browser(t)
	w.ask(t, stranger, w.mail("/inbox"))
	for range 20 {
		stranger.givePassword(t, "pas le bon mot de passe")
		eventually(t, "the guess is answered", func() error {
			if shown := stranger.text(); !strings.Contains(shown, "n’est pas le bon") && !strings.Contains(shown, "Trop d’essais ont échoué.") {
				return fmt.Errorf("it shows %s", shown)
			}
			return nil
		})
		if strings.Contains(stranger.text(), "Trop d’essais ont échoué.") {
			break
		}
	}
	stranger.await(t, "Trop d’essais ont échoué.", "attendez")
	stranger.look(t, w.axe, "otp-wait")
	// As after ten guesses more, so that no slow machine sees the wait end.
	w.change(t, "UPDATE attempts SET open_at = ?1 WHERE counter LIKE 'account:%'", time.Now().Add(5*time.Minute).UnixMilli())
	stranger.givePassword(t, doctorPassword)
	stranger.await(t, "Trop d’essais ont échoué.", "min")

	// The browser that the person uses waits for nothing.
	w.first(t, usual, w.mail("/inbox"))
	usual.click(t, "a[href='/login/otp/code?way=totp']")
	usual.await(t, "6 chiffres")
	usual.typeIn(t, "#code", w.appCode(t))
	usual.awaitURL(t, w.mail("/inbox"))
	w.leave(t, usual)

	// That went right clears the browser's count alone: elsewhere the person waits, until the help desk lets them in.
	elsewhere := w.browser.browser(t)
	w.ask(t, elsewhere, w.mail("/inbox"))
	elsewhere.givePassword(t, doctorPassword)
	elsewhere.await(t, "Trop d’essais ont échoué.")
	out, err := runTool(t, nil, binaries.authgw, "user", "unlock", "--config", w.path("authgw.yaml"), doctorRPPS)
	if err != nil {
		t.Fatalf("user unlock: %v\n%s", err, out)
	}
	elsewhere.givePassword(t, doctorPassword)
	elsewhere.await(t, "Seconde étape sur deux")
	elsewhere.click(t, "a[href='/login/otp/code?way=mail']")
	w.finishByMail(t, elsewhere)
	elsewhere.awaitURL(t, w.mail("/inbox"))
}

// remove removes the app.
func (w *codeWorld) remove(t *testing.T, b *tab) {
	w.first(t, b, w.auth("/"))
	b.click(t, "a[href='/login/otp/code?way=totp']")
	b.await(t, "6 chiffres")
	b.typeIn(t, "#code", w.appCode(t))
	b.awaitURL(t, w.auth("/"))
	b.open(t, w.auth("/account"))
	b.await(t, "téléphone de garde")
	for _, press := range []string{".sure summary", ".sure[open] form button"} { // it asks whether the person is sure
		b.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`[...document.querySelectorAll(%q)].find(e => e.textContent.includes("téléphone de garde")).click()`, press)))
	}
	b.await(t, "Mon compte")
	eventually(t, "the app is gone", func() error {
		if shown := b.text(); strings.Contains(shown, "téléphone de garde") || !strings.Contains(shown, "Le moyen de connexion est") {
			return fmt.Errorf("it shows %s", shown)
		}
		return nil
	})
	b.look(t, w.axe, "account-removed")
	if m := w.told(t, "Un moyen de connexion a été retiré"); !strings.Contains(m.Text, "téléphone de garde") || m.To != doctorHome {
		t.Errorf("to %q:\n%s", m.To, m.Text)
	}
	w.leave(t, b)
	w.first(t, b, w.mail("/inbox"))
	if shown := b.text(); strings.Contains(shown, "Code de l’application") {
		t.Errorf("the app is still offered:\n%s", shown)
	}
	if removed := w.events(t, audit.FactorRemoved); len(removed) != 1 || removed[0].Factor != "totp" {
		t.Errorf("the trail has %s removals", strconv.Itoa(len(removed)))
	}
}
