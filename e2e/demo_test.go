package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"promess/authgw/internal/testpki"
)

// TestDemo is what somebody does who has just cloned the project: start the demonstration, sign in, stop it.
func TestDemo(t *testing.T) {
	for _, card := range []struct{ name, flag string }{{"a card as CPS3", "--pss=false"}, {"a card as CPS4", "--pss"}} {
		t.Run(card.name, func(t *testing.T) { demonstration(t, card.flag) })
	}
}

func demonstration(t *testing.T, flag string) {
	// The first port is taken by something else, which the demonstration says and gets round.
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	empty := t.TempDir()
	demo := &process{name: "authgw demo", out: newOutput(t), done: make(chan struct{})}
	demo.cmd = exec.Command(binaries.authgw, "demo", "--listen", taken.Addr().String(), flag)
	demo.cmd.Dir = empty
	demo.cmd.Env = append(os.Environ(), "TMPDIR="+empty, "HOME="+empty)
	demo.cmd.Stdout, demo.cmd.Stderr = demo.out.file, demo.out.file
	hands, err := demo.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the process
		demo.err = demo.cmd.Wait()
		close(demo.done)
	}()
	t.Cleanup(func() { demo.stop(t) })
	demo.await(t, "config_loaded")
	demo.await(t, "Below are the audit events") // the end of what it says, by another goroutine
	said := demo.out.String()
	if want := fmt.Sprintf("Port %d is taken", taken.Addr().(*net.TCPAddr).Port); !strings.Contains(said, want) {
		t.Errorf("it does not say %q:\n%s", want, said)
	}

	// It says where to go and what to type; a person goes on after the browser's warning about its certificates.
	address := regexp.MustCompile(`Open +(https://mail\.localhost:\d+/)`).FindStringSubmatch(said)
	pin := regexp.MustCompile(`the card +.*, then (\d+), the PIN`).FindStringSubmatch(said)
	camera := regexp.MustCompile(`In another window open\s+(http://\S+)`).FindStringSubmatch(said)
	key := regexp.MustCompile(`--ignore-certificate-errors-spki-list=(\S+)`).FindStringSubmatch(said)
	if address == nil || pin == nil || camera == nil || key == nil {
		t.Fatalf("no address, PIN, camera or key in what it says:\n%s", said)
	}
	root, err := testpki.New(testpki.Config{CardsOnly: true}) // any: the demonstration's own is nowhere to be had
	if err != nil {
		t.Fatal(err)
	}
	person := startChromium(t, root.Server.Certificate, func(*chromium) []chromedp.ExecAllocatorOption {
		return []chromedp.ExecAllocatorOption{
			chromedp.Flag("ignore-certificate-errors-spki-list", key[1]),
			chromedp.Flag("auto-select-tab-capture-source-by-title", "phone"), // of a title: what a person chooses when asked what to share
		}
	})
	browser := person.browser(t)
	browser.open(t, address[1])
	browser.screenshot(t, "demo-login")
	tab := browser.clickToNewTab(t, "form[action='/login/card'] button")
	tab.await(t, "ProMess (démonstration)", "Jeanne MARTIN")
	tab.enterPIN(t, pin[1])
	tab.awaitURL(t, address[1])
	tab.await(t, "Boîte de réception", "Jeanne MARTIN", "899700218896", "vérifiée : signée par la passerelle")
	tab.screenshot(t, "demo-mail")
	tab.open(t, strings.Replace(address[1], "mail.", "agenda.", 1))
	tab.await(t, "Agenda partagé", "Jeanne MARTIN")
	tab.open(t, strings.Replace(address[1], "mail.", "auth.", 1))
	tab.await(t, "Mon compte", "Bonjour, Jeanne MARTIN")
	tab.screenshot(t, "demo-portal")
	tab.open(t, strings.Replace(address[1], "mail.", "auth.", 1)+"account")
	tab.await(t, "Mon compte", "RPPS 899700218896", "Médecin", "Se déconnecter partout", "127.0.0.1", "Chrome")
	tab.screenshot(t, "demo-account")

	// Pulling the card ends the session.
	if _, err := io.WriteString(hands, "r\n"); err != nil {
		t.Fatal(err)
	}
	demo.await(t, `"reason":"card_removed"`)
	tab.open(t, address[1])
	tab.await(t, "Se connecter avec ma carte CPS")

	signInWithCode(t, demo, person, tab)
	signInWithApp(t, tab)
	signInWithPhone(t, tab, camera[1])
	signInWithPasskey(t, tab)
	signInWithPSC(t, person, address[1])

	// Ctrl-C ends it, and nothing is left behind.
	if err := demo.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-demo.done:
	case <-time.After(patience):
		t.Fatal("it does not end")
	}
	if demo.err != nil {
		t.Errorf("it ended with %v:\n%s", demo.err, demo.out)
	}
	left, err := os.ReadDir(empty)
	if err != nil || len(left) != 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
	for _, line := range strings.Split(demo.out.String(), "\n") {
		if strings.HasPrefix(line, "audit ") && (strings.Contains(line, "MARTIN") || strings.Contains(line, "jeanne") || strings.Contains(line, pin[1]+`"`)) {
			t.Errorf("an audit event holds personal data: %s", line)
		}
	}
}

// signInWithCode does what the demonstration says of codes. The tab shows the login.
func signInWithCode(t *testing.T, demo *process, person *chromium, tab *tab) {
	t.Helper()
	said := regexp.MustCompile(`a code +.*, then (\d+), the password «([^»]+)».*?arrives below and at (http://\S+)`).FindStringSubmatch(strings.ReplaceAll(demo.out.String(), "\n", " "))
	if said == nil {
		t.Fatalf("nothing of codes in what it says:\n%s", demo.out)
	}
	tab.click(t, "form[action='/login/otp'] button")
	tab.await(t, "Mot de passe")
	tab.do(t, chromedp.SendKeys(chromedp.CSS("#identifier"), said[1]))
	tab.typeIn(t, "#password", said[2])
	tab.await(t, "j…@example.org")
	tab.screenshot(t, "demo-code-ways")
	tab.click(t, "form[action='/login/otp/mail'] button")
	tab.await(t, "chiffres")
	demo.await(t, "mail  To jeanne.martin@example.org")

	letters := person.browser(t)
	letters.open(t, said[3])
	letters.await(t, "Messages reçus", "jeanne.martin@example.org")
	letters.open(t, calm(t, said[3]))
	letters.look(t, axeCore(t), "demo-messages")
	code := regexp.MustCompile(`: (\d{4}) (\d{4})`).FindStringSubmatch(letters.text())
	if code == nil {
		t.Fatalf("no code on the page of messages:\n%s", letters.text())
	}
	tab.typeIn(t, "#code", code[1]+code[2])
	tab.await(t, "Boîte de réception", "Jeanne MARTIN")
}

// signInWithApp adds an app and makes recovery codes in the account of the signed-in tab, and signs in with a code of each.
func signInWithApp(t *testing.T, tab *tab) {
	t.Helper()
	auth := authOf(tab)
	tab.open(t, auth+"account/totp")
	key := strings.Join(strings.Fields(tab.evaluate(`document.querySelector(".key").innerText`)), "")
	now := time.Now()
	tab.typeIn(t, "#code", appCode(t, key, now))
	tab.await(t, "Le moyen de connexion est ajouté", "Application de codes")
	tab.open(t, auth+"account/recovery")
	tab.click(t, "form[action='/account/recovery'] button")
	tab.await(t, "ils ne seront plus montrés")
	sheet := tab.evaluate(`document.querySelector(".code-line").textContent`)
	for way, code := range map[string]func() string{
		"recovery": func() string { return sheet },
		"totp": func() string {
			at := time.Now()
			if at.Unix()/30 == now.Unix()/30 {
				at = at.Add(30 * time.Second) // no code twice
			}
			return appCode(t, key, at)
		},
	} {
		tab.signOut(t, auth)
		tab.open(t, auth+"login")
		tab.click(t, "form[action='/login/otp'] button")
		tab.await(t, "Première étape sur deux")
		tab.givePassword(t, "trois petits chats")
		tab.await(t, "Comment voulez-vous prouver qui vous")
		tab.click(t, "a[href='/login/otp/code?way="+way+"']")
		tab.typeIn(t, "#code", code())
		tab.await(t, "Bonjour, Jeanne MARTIN")
	}
}

// authOf is the address of the gateway's own pages in the demonstration that a tab shows.
func authOf(tab *tab) string {
	return regexp.MustCompile(`^https://[a-z]+\.localhost(:\d+)/.*`).ReplaceAllString(tab.url(), "https://auth.localhost$1/")
}

func (b *tab) signOut(t *testing.T, auth string) {
	t.Helper()
	b.open(t, auth)
	b.click(t, "summary")
	b.click(t, "form[action$='/logout'] button")
	b.await(t, "Vous êtes déconnecté")
}

// calm is another address of a page that loads itself anew, at which it does not.
func calm(t *testing.T, page string) string {
	t.Helper()
	target, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(r *http.Response) error { r.Header.Del("Refresh"); return nil },
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// signInWithPhone adds a phone to the account of the signed-in tab and signs in with it. The phone is another window of the same browser
// program, whose camera looks at the first.
func signInWithPhone(t *testing.T, tab *tab, camera string) {
	t.Helper()
	auth := authOf(tab)
	ctx, cancel := chromedp.NewContext(tab.ctx) // the same profile, as of a person who opens another window
	t.Cleanup(cancel)
	phone := newTab(t, ctx)
	phone.authenticator(t)
	tab.open(t, auth+"account")
	tab.click(t, "a[href='/account/phone']")
	tab.click(t, "form[action='/account/phone'] button")
	tab.await(t, "valable cinq minutes")
	phone.open(t, camera)
	phone.await(t, "Scanner le QR code du poste")
	phone.look(t, axeCore(t), "demo-camera")
	phone.click(t, "#start")
	phone.awaitView(t, "enrol")
	tab.await(t, "Un téléphone a scanné le QR code")
	tab.do(t, chromedp.SendKeys(chromedp.CSS("#number"), twoDigits.FindString(phone.text())))
	tab.click(t, "form[action='/account/phone/confirm'] button")
	phone.awaitView(t, "create")
	phone.click(t, "[data-do=create]")
	phone.awaitView(t, "added")
	tab.await(t, "Téléphone ajouté")

	tab.signOut(t, auth)
	tab.open(t, auth+"login")
	tab.click(t, "form[action='/login/qr'] button")
	tab.await(t, "Scannez ce QR code")
	tab.screenshot(t, "demo-qr")
	phone.open(t, camera)
	phone.click(t, "#start")
	phone.pick(t, number(t, tab), true)
	phone.awaitView(t, "done")
	tab.await(t, "Bonjour, Jeanne MARTIN")
}

// signInWithPSC chooses the doctor of the card on the page that stands in for Pro Santé Connect: it is the same account.
func signInWithPSC(t *testing.T, person *chromium, mail string) {
	t.Helper()
	b := person.browser(t)
	b.open(t, mail)
	b.click(t, "form[action='/login/psc'] button")
	b.await(t, "Jeanne MARTIN")
	b.screenshot(t, "demo-psc")
	b.click(t, "button[name=person][value=doctor]")
	b.await(t, "Boîte de réception", "MARTIN", "899700218896")
	b.click(t, "#sign-out")
	b.await(t, "Vous êtes déconnecté")
	b.open(t, mail)
	b.await(t, "Se connecter avec ma carte CPS")
}

// signInWithPasskey adds a passkey in the signed-in tab, signs out, and in again with it.
func signInWithPasskey(t *testing.T, tab *tab) {
	t.Helper()
	tab.authenticator(t)
	if _, err := chromedp.Call(tab.ctx, page.BringToFront, cdp.Empty{}); err != nil { // a browser asks for no passkey behind another tab
		t.Fatal(err)
	}
	auth := authOf(tab)
	tab.open(t, auth+"account")
	tab.click(t, "a[href='/account/passkey']")
	tab.await(t, "Ajouter une clé d’accès")
	tab.do(t, chromedp.WaitEnabled(chromedp.CSS("[data-start]"))) // the page's script is there
	tab.click(t, "[data-start]")
	tab.await(t, "Le moyen de connexion est ajouté", "Clé d’accès")
	tab.signOut(t, auth)
	tab.open(t, auth+"login")
	tab.click(t, "form[action='/login/passkey'] button")
	tab.await(t, "Bonjour, Jeanne MARTIN")
}
