package e2e

import (
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	_ "modernc.org/sqlite" // the driver, to move a time in the database

	"promess/authgw/internal/audit"
	"promess/authgw/internal/mailtest"
)

// postWorld is a world whose operator has set up mail.
type postWorld struct {
	*world
	server *mailtest.Server
}

func newPostWorld(t *testing.T) *postWorld {
	t.Helper()
	w := newWorld(t)
	cert, err := w.pki.ServerCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	p := &postWorld{world: w, server: mailtest.Start(t, mailtest.Config{Certificate: cert, User: "authgw", Password: "mot de passe"})}
	w.write(t, "seal.keys", []byte(sealKey("k1")))
	w.write(t, "mail.password", []byte("mot de passe\n"))
	before, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "authgw.yaml", fmt.Appendf(before, `
seal_keys: seal.keys
mail:
  host: "127.0.0.1"
  port: %d
  ca: root.crt
  user: authgw
  password_file: mail.password
  from: no-reply@%[2]s
  protected_domains: [mssante.%[2]s]
`, p.server.Port, domain))
	w.gateway.stop(t)
	p.start(t)
	return p
}

// sealKey is a line of a key file, as the documentation has it made.
func sealKey(id string) string {
	secret := make([]byte, 32)
	rand.Read(secret)
	return id + " " + base64.StdEncoding.EncodeToString(secret) + "\n"
}

// start starts the gateway with the files as they are.
func (w *postWorld) start(t *testing.T) {
	t.Helper()
	w.gateway = startProcess(w.t, nil, binaries.authgw, "serve", "--config", w.path("authgw.yaml"))
	w.gateway.await(t, "authgw serves")
}

// firstLogin signs in with a card and returns the tab, which asks for the address.
func (w *postWorld) firstLogin(t *testing.T, url string) *tab {
	t.Helper()
	_, tab := w.startLogin(t, url)
	tab.enterPIN(t, "1234")
	tab.await(t, "Votre adresse e-mail ordinaire", "étape 1 sur 2")
	return tab
}

// typeIn types into an empty field and sends its form.
func (b *tab) typeIn(t *testing.T, field, text string) {
	t.Helper()
	b.do(t, chromedp.SendKeys(chromedp.CSS(field), text), chromedp.Click(chromedp.CSS("form:has("+field+") button")))
}

// code reads the code of the n-th message, as a person does.
func (w *postWorld) code(t *testing.T, n int) string {
	t.Helper()
	return regexp.MustCompile(`\b[0-9]{4} [0-9]{4}\b`).FindString(w.server.Await(t, n).Text)
}

// TestInscription is the first login of a person, from the card to the service.
func TestInscription(t *testing.T) {
	w := newPostWorld(t)
	w.insertDoctor(t)
	url := w.mail("/inbox?folder=2")
	const home = "helene@example.org"

	t.Run("a person may put it off, and is asked again", func(t *testing.T) {
		tab := w.firstLogin(t, url)
		tab.screenshot(t, "register")
		tab.click(t, "form[action='/account/register/later'] button")
		tab.awaitURL(t, url)
		tab.await(t, "Boîte de réception")
	})

	t.Run("an address that this gateway protects is refused", func(t *testing.T) {
		tab := w.firstLogin(t, url)
		tab.typeIn(t, "#address", "helene@cabinet.mssante."+domain)
		tab.await(t, "Cette adresse est protégée par ce service")
		tab.screenshot(t, "register-protected")
		if n := w.server.Count(); n != 0 {
			t.Errorf("%d messages were sent", n)
		}
	})

	t.Run("five wrong codes are the end of the code", func(t *testing.T) {
		tab := w.firstLogin(t, url)
		tab.typeIn(t, "#address", home)
		tab.await(t, "Saisissez le code reçu par e-mail", "h…@example.org")
		code := []byte(w.code(t, 1))
		code[0] = '0' + (code[0]-'0'+1)%10
		for _, want := range []string{"Il vous reste 4 essais.", "Il vous reste 3 essais.", "Il vous reste 2 essais.", "Il vous reste un seul essai.", "Ce code n’est plus valable"} {
			tab.typeIn(t, "#code", string(code))
			tab.await(t, want)
		}
		tab.screenshot(t, "register-burnt")
		tab.answered(t, func() { tab.typeIn(t, "#code", w.code(t, 1)) }) // with the words that are there already
		tab.await(t, "Ce code n’est plus valable")
		if got := w.events(t, audit.AddressChanged); len(got) != 1 || got[0].Outcome != "refused" {
			t.Errorf("events address_changed %+v, want one refusal", got)
		}
	})

	t.Run("the code that was received leads to what was recorded, and to the service", func(t *testing.T) {
		w.forgetAddressCodes(t)
		tab := w.firstLogin(t, url)
		tab.typeIn(t, "#address", home)
		tab.await(t, "Saisissez le code reçu par e-mail")
		tab.screenshot(t, "register-code")
		m := w.server.Await(t, 2)
		for _, text := range []string{"127.0.0.1", "Chrome", w.origin("auth"), "01 23 45 67 89"} {
			if !strings.Contains(m.Text, text) || !strings.Contains(m.HTML, text) {
				t.Errorf("the message is without %q:\n%s", text, m.Text)
			}
		}
		if m.To != home || !m.TLS || m.User != "authgw" {
			t.Errorf("message to %q over TLS %t by %q", m.To, m.TLS, m.User)
		}
		tab.typeIn(t, "#code", w.code(t, 2))
		tab.await(t, "Votre compte est prêt", home, "899700218896", "HÉLÈNE D'ARTAGNAN-LE GOFF")
		tab.screenshot(t, "registered")
		tab.click(t, "a[href='/account/register/continue']")
		tab.awaitURL(t, url)
		tab.await(t, "Boîte de réception")
		tab.open(t, w.auth("/account"))
		tab.await(t, home)
	})

	t.Run("the next login asks for nothing", func(t *testing.T) {
		w.login(t, url)
	})

	t.Run("nothing of it is in the logs", func(t *testing.T) {
		for _, secret := range []string{home, strings.ReplaceAll(w.code(t, 2), " ", ""), w.code(t, 2), "mot de passe"} {
			if strings.Contains(w.gateway.out.String(), secret) {
				t.Errorf("the gateway printed %q", secret)
			}
		}
	})

	t.Run("another key file does not start", func(t *testing.T) {
		w.gateway.stop(t)
		w.write(t, "seal.keys", []byte(sealKey("k1")))
		g := startProcess(t, nil, binaries.authgw, "serve", "--config", w.path("authgw.yaml"))
		select {
		case <-g.done:
		case <-time.After(patience):
			t.Fatal("authgw runs with another key file")
		}
		if g.err == nil || !strings.Contains(g.out.String(), `the key "k1" of the key file is not the one that the database was used with`) {
			t.Errorf("authgw ended with %v and said:\n%s", g.err, g.out)
		}
	})
}

// forgetAddressCodes makes half a minute pass: the limit between two messages is of the account.
func (w *postWorld) forgetAddressCodes(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", w.path("authgw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "PRAGMA busy_timeout = 5000; DELETE FROM codes"); err != nil {
		t.Fatal(err)
	}
}
