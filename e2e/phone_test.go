package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"promess/authgw/internal/audit"
)

// phoneWorld is a world with a telephone: a second Chromium, whose camera shows what the test holds in front of it.
type phoneWorld struct {
	*world
	telephone *chromium
	film      string // file of the camera
}

func newPhoneWorld(t *testing.T) *phoneWorld {
	t.Helper()
	w := &phoneWorld{world: newWorld(t)}
	before, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "seal.keys", []byte(sealKey("k1")))
	w.write(t, "authgw.yaml", append(before, "\nseal_keys: seal.keys\n"...))
	w.gateway.stop(t)
	w.gateway = startProcess(w.t, nil, binaries.authgw, "serve", "--config", w.path("authgw.yaml"))
	w.gateway.await(t, "authgw serves")
	w.film = w.path("camera.y4m")
	w.telephone = startChromium(t, w.pki.Server.Certificate, func(*chromium) []chromedp.ExecAllocatorOption { return w.camera() })
	return w
}

// camera is a browser's that shows the film.
func (w *phoneWorld) camera() []chromedp.ExecAllocatorOption {
	return []chromedp.ExecAllocatorOption{
		chromedp.Flag("use-fake-device-for-media-stream", true), chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.Flag("use-file-for-fake-video-capture", w.film),
	}
}

// device is a tab with an authenticator of its own, which is there as long as the tab.
func device(t *testing.T, c *chromium) *tab {
	t.Helper()
	b := c.browser(t)
	b.authenticator(t)
	return b
}

// authenticator gives a tab one.
func (b *tab) authenticator(t *testing.T) {
	t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	_, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal, HasResidentKey: true,
		HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// picture is what a tab shows.
func (b *tab) picture(t *testing.T) []byte {
	t.Helper()
	data, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// hold puts a picture in front of the camera: one frame of YUV4MPEG2, which Chromium shows over and over.
func (w *phoneWorld) hold(t *testing.T, picture []byte) {
	t.Helper()
	p, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	width, height := p.Bounds().Dx()&^1, p.Bounds().Dy()&^1
	film := fmt.Appendf(nil, "YUV4MPEG2 W%d H%d F10:1 Ip A1:1 C420mpeg2\nFRAME\n", width, height)
	for y := range height {
		for x := range width {
			r, g, b, _ := p.At(x, y).RGBA()
			film = append(film, byte((299*r+587*g+114*b)/1000>>8))
		}
	}
	film = append(film, bytes.Repeat([]byte{128}, width*height/2)...) // no colour
	w.write(t, "camera.y4m", film)
}

// read is what another program reads in a picture.
func read(t *testing.T, picture []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "picture.png")
	if err := os.WriteFile(file, picture, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), mustFind(t, "zbar-tools", "zbarimg"), "--quiet", "--raw", file).Output()
	if err != nil {
		t.Fatalf("zbarimg: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// scan lets the phone's own scanner read what a workstation shows.
func (w *phoneWorld) scan(t *testing.T, phone, workstation *tab) {
	t.Helper()
	if url := phone.url(); url != w.auth("/phone") {
		phone.open(t, w.auth("/phone"))
	} else if shown := phone.shows(); shown != "start" {
		phone.click(t, fmt.Sprintf("[data-view=%q] [data-do=home]", shown))
	}
	w.hold(t, workstation.picture(t))
	phone.click(t, "[data-do=scan]")
}

// shows is the part of the app that is there.
func (b *tab) shows() string {
	return b.evaluate(`(document.querySelector("[data-view]:not([hidden])") || {dataset: {}}).dataset.view || ""`)
}

// awaitView waits for a part of the app.
func (b *tab) awaitView(t *testing.T, view string) {
	t.Helper()
	eventually(t, "the phone shows "+view, func() error {
		if got := b.shows(); got != view {
			return fmt.Errorf("it shows %s:\n%s", got, b.text())
		}
		return nil
	})
}

// beforeEachPage runs a script in each page of a tab, before those of the page.
func (b *tab) beforeEachPage(t *testing.T, script string) {
	t.Helper()
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		t.Fatal(err)
	}
}

// look shows the app on a narrow screen, light and dark, to axe-core, and keeps pictures.
func (b *tab) look(t *testing.T, axe, name string) {
	t.Helper()
	b.do(t, chromedp.Evaluate[chromedp.Void](axe))
	for _, v := range views {
		b.show(t, v)
		for _, barrier := range b.barriers(t, v) {
			t.Errorf("%s, %s: %s", name, v.name, barrier)
		}
		b.screenshot(t, strings.ReplaceAll("live "+name+" "+v.name, " ", "-"))
	}
	b.do(t, chromedp.EmulateViewport(1280, 900))
}

// notHere is what the phone says when the workstation is in another network.
const notHere = "n’est pas sur le même réseau"

// begin opens the login with a phone at a new browser.
func (w *phoneWorld) begin(t *testing.T) *tab {
	t.Helper()
	b := w.browser.browser(t)
	b.open(t, w.auth("/login"))
	b.click(t, "form[action='/login/qr'] button")
	b.await(t, "Scannez ce QR code")
	return b
}

var twoDigits = regexp.MustCompile(`(?m)^\d\d$`)

// number is the one that a workstation shows.
func number(t *testing.T, b *tab) string {
	t.Helper()
	b.await(t, "Choisissez ce nombre")
	return twoDigits.FindString(b.text())
}

// pick presses the button of a number, or of another.
func (b *tab) pick(t *testing.T, number string, same bool) {
	t.Helper()
	b.awaitView(t, "login")
	b.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(
		`[...document.querySelectorAll("[data-numbers] button")].find(b => (b.textContent === %q) === %t).click()`, number, same)))
}

// enrol adds a phone at a workstation where the person is signed in.
func (w *phoneWorld) enrol(t *testing.T, workstation, phone *tab, label string) {
	t.Helper()
	workstation.open(t, w.auth("/account"))
	workstation.click(t, "a[href='/account/phone']")
	workstation.await(t, "Ajouter un téléphone")
	workstation.click(t, "form[action='/account/phone'] button")
	workstation.await(t, "valable cinq minutes")
	w.scan(t, phone, workstation)
	phone.awaitView(t, "enrol")
	phone.await(t, "D'ARTAGNAN-LE GOFF")
	workstation.await(t, "Un téléphone a scanné le QR code")
	workstation.awaitFocus(t, "#number")
	workstation.do(t, chromedp.SendKeys(chromedp.CSS("#number"), twoDigits.FindString(phone.text())))
	workstation.click(t, "form[action='/account/phone/confirm'] button")
	workstation.await(t, "Continuez sur votre téléphone")
	phone.awaitView(t, "create")
	phone.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector("#label").value = %q`, label)))
	phone.click(t, "[data-do=create]")
	phone.awaitView(t, "added")
	workstation.await(t, "Téléphone ajouté", label)
}

// TestPhone adds a phone and signs in with it: the code on the one screen is read by the camera of the other.
func TestPhone(t *testing.T) {
	w := newPhoneWorld(t)
	axe := axeCore(t)
	w.insertDoctor(t)
	signedIn := w.login(t, w.mail("/"))
	phone := device(t, w.telephone)
	faults := phone.record(t, w.origin("auth"))

	w.enrol(t, signedIn, phone, "Téléphone de garde")
	phone.look(t, axe, "phone added")
	signedIn.look(t, axe, "workstation phone added")

	t.Run("it signs in by scanning", func(t *testing.T) {
		b := w.begin(t)
		b.look(t, axe, "workstation code")
		b.await(t, "Scannez ce QR code")
		w.scan(t, phone, b)
		shown := number(t, b)
		b.look(t, axe, "workstation number")
		phone.awaitView(t, "login")
		phone.await(t, "Est-ce vous", "Chrome", "127.0.0.1", shown)
		if strings.Contains(phone.text(), notHere) {
			t.Errorf("in the same network it says:\n%s", phone.text())
		}
		phone.look(t, axe, "phone login")
		phone.pick(t, shown, true)
		phone.awaitView(t, "done")
		b.awaitURL(t, w.auth("/"))
		b.await(t, "D'ARTAGNAN-LE GOFF")
		b.open(t, w.mail("/"))
		b.await(t, "Boîte de réception")
		if acr := w.backend.header("X-Authgw-Acr"); acr != "urn:authgw:acr:hardware" {
			t.Errorf("the service is told %q", acr)
		}
		b.open(t, w.auth("/account"))
		b.await(t, "Téléphone de garde")
		b.screenshot(t, "live-account")
		if e := w.events(t, audit.LoginApproved); len(e) != 1 {
			t.Errorf("approvals in the trail: %+v", e)
		}
	})

	t.Run("in another network it says so, and is refused", func(t *testing.T) {
		port, _ := w.between(t)
		far := device(t, startChromium(t, w.pki.Server.Certificate, func(*chromium) []chromedp.ExecAllocatorOption {
			return []chromedp.ExecAllocatorOption{chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP *.%s 127.0.0.1:%d", domain, port))}
		}))
		b := w.begin(t)
		far.open(t, read(t, b.picture(t)))
		far.awaitView(t, "login")
		far.await(t, notHere, "127.0.0.1")
		far.do(t, chromedp.Evaluate[chromedp.Void](`document.querySelector(".place .number").textContent = "2001:db8:85a3:8d3:1319:8a2e:370:7348"`)) // the longest
		far.look(t, axe, "phone login elsewhere")
		far.click(t, "[data-view=login] [data-do=deny]")
		b.await(t, "Ce n’est pas moi")
		if e := w.events(t, audit.LoginRefused); len(e) == 0 || e[len(e)-1].Reason != "not_me" || e[len(e)-1].Source != "127.0.0.1" {
			t.Errorf("refusals in the trail: %+v", e)
		}
	})

	var old string // an address that was good once
	t.Run("the camera app opens the address, and the number is wrong", func(t *testing.T) {
		b := w.begin(t)
		old = read(t, b.picture(t))
		phone.open(t, old)
		shown := number(t, b)
		if at := phone.url(); at != w.auth("/phone") {
			t.Errorf("the phone is at %s: the code stays in its history", at)
		}
		phone.pick(t, shown, false)
		phone.awaitView(t, "fault")
		phone.await(t, "Ce n’est pas le nombre")
		b.await(t, "Le nombre choisi n’est pas le bon")
		b.look(t, axe, "workstation ended")
		phone.look(t, axe, "phone fault")
	})
	t.Run("the code is expired", func(t *testing.T) {
		phone.open(t, w.auth("/phone"))
		phone.open(t, old)
		phone.awaitView(t, "fault")
		phone.await(t, "Ce QR code n’est plus valable")
	})
	t.Run("it is not me", func(t *testing.T) {
		b := w.begin(t)
		w.scan(t, phone, b)
		phone.awaitView(t, "login")
		phone.click(t, "[data-view=login] [data-do=deny]")
		phone.awaitView(t, "denied")
		b.await(t, "Ce n’est pas moi")
		phone.look(t, axe, "phone denied")
	})
	t.Run("a second phone scans at the same time, and another browser tries to finish", func(t *testing.T) {
		b, thief := w.begin(t), w.begin(t)
		address := read(t, b.picture(t))
		phone.open(t, w.auth("/phone"))
		phone.open(t, address)
		phone.awaitView(t, "login")
		second := device(t, w.telephone)
		second.open(t, address)
		second.awaitView(t, "fault")
		second.await(t, "Un autre téléphone a déjà scanné")
		shown := number(t, b)
		finish := `fetch("/login/qr/finish", {method: "POST"}).then(r => String(r.status))`
		for name, at := range map[string]*tab{"another browser": thief, "the browser, too early": b} {
			got, err := chromedp.Run(at.ctx, chromedp.Evaluate[string](finish, chromedp.EvalAwaitPromise))
			if err != nil || got != "403" {
				t.Errorf("%s finishes: %s, %v", name, got, err)
			}
		}
		phone.pick(t, shown, true)
		b.awaitURL(t, w.auth("/"))
	})
	t.Run("the code changes by itself, and the new one is good", func(t *testing.T) {
		b := w.begin(t)
		drawn := func() string { return b.evaluate(`(document.querySelector("[data-code]") || {}).innerHTML || ""`) }
		first, shown := drawn(), read(t, b.picture(t))
		for deadline := time.Now().Add(2 * patience); drawn() == first || drawn() == ""; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the page shows the same image for a minute")
			}
		}
		next := read(t, b.picture(t))
		if next == shown {
			t.Error("another image has the same code")
		}
		phone.open(t, w.auth("/phone"))
		phone.open(t, next)
		phone.awaitView(t, "login")
		phone.click(t, "[data-view=login] [data-do=deny]")
		phone.awaitView(t, "denied")
	})
	t.Run("without scripts at the workstation", func(t *testing.T) {
		b := w.browser.browser(t)
		if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
			t.Fatal(err)
		}
		b.open(t, w.auth("/login"))
		b.click(t, "form[action='/login/qr'] button")
		b.await(t, "Scannez ce QR code", "Sans JavaScript, rechargez la page")
		w.scan(t, phone, b)
		phone.awaitView(t, "login")
		b.open(t, w.auth("/login/qr"))
		phone.pick(t, number(t, b), true)
		phone.awaitView(t, "done")
		b.open(t, w.auth("/login/qr"))
		b.await(t, "Votre téléphone a validé la connexion")
		b.click(t, "form[action='/login/qr/finish'] button")
		b.awaitURL(t, w.auth("/"))
	})
	// Chromium has no reader of QR codes here, as it has on telephones; what stands in for it is the one that the app has for such browsers.
	for name, detect := range map[string]string{
		"the browser reads QR codes itself":      `return [{rawValue: window.shown}]`,
		"the browser's reader lacks its service": `throw new DOMException("Barcode detection service unavailable.", "NotSupportedError")`,
		"the browser's reader is there by name":  `throw new Error("it is asked all the same")`,
	} {
		t.Run(name, func(t *testing.T) {
			second, b := device(t, w.telephone), w.begin(t)
			formats := `["qr_code", "ean_13"]`
			if strings.HasSuffix(name, "by name") {
				formats = `[]`
			}
			second.beforeEachPage(t, fmt.Sprintf(`window.asked = 0;
				window.BarcodeDetector = class {
					static async getSupportedFormats() { return %s; }
					async detect(canvas) { window.asked += canvas.width > 0 ? 1 : 0; %s; }
				};`, formats, detect))
			second.open(t, w.auth("/phone"))
			second.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("window.shown = %q", read(t, b.picture(t)))))
			w.scan(t, second, b)
			second.awaitView(t, "login")
			asked := second.evaluate(`String(window.asked > 0)`)
			library := second.evaluate(`String(performance.getEntriesByType("resource").some(e => e.name.endsWith("/qr-decode.js")))`)
			if own := strings.HasSuffix(name, "itself"); asked != fmt.Sprint(!strings.HasSuffix(name, "by name")) || library != fmt.Sprint(!own) {
				t.Errorf("the browser's reader was asked: %s, the app's own loaded: %s", asked, library)
			}
		})
	}
	t.Run("the app is kept in the phone, and nothing of a person with it", func(t *testing.T) {
		phone.open(t, w.auth("/phone"))
		manifest, err := chromedp.Call(phone.ctx, page.GetAppManifest, page.GetAppManifestParams{})
		if err != nil || len(manifest.Errors) > 0 || !strings.Contains(manifest.Data, `"start_url": "/phone"`) {
			t.Errorf("manifest: %v %+v", err, manifest)
		}
		ctx, cancel := chromedp.NewContext(w.telephone.ctx) // a private window, as the other tabs are, installs nothing
		t.Cleanup(cancel)
		open := newTab(t, ctx)
		open.open(t, w.auth("/phone"))
		eventually(t, "Chromium would install the app", func() error {
			got, err := chromedp.Call(open.ctx, page.GetInstallabilityErrors, cdp.Empty{})
			if err != nil {
				return err
			}
			for _, e := range got.InstallabilityErrors {
				err = errors.Join(err, errors.New(e.ErrorID))
			}
			return err
		})
		eventually(t, "the service worker serves the page", func() error {
			if got := phone.evaluate(`navigator.serviceWorker.controller ? "yes" : "no"`); got != "yes" {
				return fmt.Errorf("controller: %s", got)
			}
			return nil
		})
		kept, err := chromedp.Run(phone.ctx, chromedp.Evaluate[string](
			`caches.keys().then(async names => JSON.stringify((await Promise.all(names.map(async n => (await (await caches.open(n)).keys()).map(r => new URL(r.url).pathname)))).flat().filter(p => p !== "/phone" && !p.startsWith("/static/"))))`,
			chromedp.EvalAwaitPromise))
		if err != nil || kept != "[]" {
			t.Errorf("the phone keeps %s, %v", kept, err)
		}
	})
	for _, fault := range faults.take() {
		if strings.Contains(fault, "status of 4") || strings.Contains(fault, "data:") { // refusals, which the tests provoke
			continue
		}
		t.Errorf("the phone's console: %s", fault)
	}

	t.Run("the account is disabled", func(t *testing.T) {
		run := func(command string) {
			if out, err := runTool(t, nil, binaries.authgw, "user", command, "--config", w.path("authgw.yaml"), "899700218896"); err != nil {
				t.Fatalf("user %s: %v\n%s", command, err, out)
			}
		}
		run("disable")
		b := w.begin(t)
		w.scan(t, phone, b)
		phone.pick(t, number(t, b), true)
		phone.awaitView(t, "fault")
		phone.await(t, "Votre compte est désactivé")
		b.await(t, "Votre compte est désactivé")
		run("enable")
	})
	t.Run("it is removed in the account", func(t *testing.T) {
		b := w.login(t, w.mail("/"))
		b.open(t, w.auth("/account"))
		b.click(t, ".sure summary")
		b.click(t, "form[action^='/account/factors/'] button")
		b.await(t, "Le moyen de connexion est supprimé")
		other := w.begin(t)
		w.scan(t, phone, other)
		phone.pick(t, number(t, other), true)
		phone.awaitView(t, "fault")
		phone.await(t, "n’est plus celle d’un compte")
	})
	t.Run("the app opens without a network, and can do nothing", func(t *testing.T) {
		w.gateway.stop(t)
		phone.open(t, w.auth("/phone"))
		phone.await(t, "Mon téléphone", "Scanner un QR code")
		phone.open(t, old)
		phone.awaitView(t, "fault")
		phone.await(t, "Le service ne répond pas")
	})
}

// TestPasskeyOfTheWorkstation adds a passkey at the workstation, signs out, and in again with it.
func TestPasskeyOfTheWorkstation(t *testing.T) {
	w := newPhoneWorld(t)
	w.insertDoctor(t)
	b := device(t, w.browser)
	b.open(t, w.mail("/"))
	agent := b.clickToNewTab(t, "form[action='/login/card'] button")
	agent.enterPIN(t, "1234")
	agent.awaitURL(t, w.mail("/"))

	if _, err := chromedp.Call(b.ctx, page.BringToFront, cdp.Empty{}); err != nil { // a browser asks for no passkey behind another tab
		t.Fatal(err)
	}
	b.open(t, w.auth("/account"))
	b.click(t, "a[href='/account/passkey']")
	b.await(t, "Ajouter une clé d’accès")
	b.screenshot(t, "live-passkey-add")
	b.do(t, chromedp.WaitEnabled(chromedp.CSS("[data-start]"))) // the page's script is there
	b.click(t, "[data-start]")
	b.await(t, "Le moyen de connexion est ajouté", "Clé d’accès", "Chrome")

	b.click(t, "summary")
	b.click(t, "form[action$='/logout'] button")
	b.await(t, "Vous êtes déconnecté")
	b.open(t, w.auth("/login"))
	b.await(t, "Se connecter avec ma clé d’accès")
	b.click(t, "form[action='/login/passkey'] button")
	b.awaitURL(t, w.auth("/"))
	b.await(t, "D'ARTAGNAN-LE GOFF")
	e := w.events(t, audit.LoginSucceeded)
	if last := e[len(e)-1]; last.Method != "passkey" || last.ACR != "urn:authgw:acr:hardware" {
		t.Errorf("the trail has %+v", last)
	}
	fresh := w.browser.browser(t)
	fresh.open(t, w.auth("/login"))
	fresh.await(t, "Se connecter avec ma carte CPS")
	if strings.Contains(fresh.text(), "clé d’accès") {
		t.Error("a browser without a passkey is offered it")
	}
}

// TestScannerIsWhatNpmHas builds the reader of QR codes again from the lock file, and compares it with the one that is served.
func TestScannerIsWhatNpmHas(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "decode.js"} {
		data, err := os.ReadFile(filepath.Join("qrdecode", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	npm := mustFind(t, "npm", "npm")
	for _, args := range [][]string{{"ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"}, {"run", "build"}} {
		cmd := exec.CommandContext(t.Context(), npm, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("npm %s: %v\n%s", args[0], err, out)
		}
	}
	for name, served := range map[string]string{
		filepath.Join(dir, "qr-decode.js"):                      filepath.Join("..", "internal", "web", "static", "qr-decode.js"),
		filepath.Join(dir, "node_modules", "qr", "LICENSE-MIT"): filepath.Join("qrdecode", "LICENSE-MIT"),
	} {
		made, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(served)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(made, have) {
			t.Errorf("%s is not what npm gives: 'npm ci && npm run build' in e2e/qrdecode makes it", served)
		}
	}
}
