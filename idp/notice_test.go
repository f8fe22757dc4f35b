package idp_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
)

// Who did not remove it learns of it, where the record says, with what was removed and where (D1). D20: what the person called it is text.
func TestD20PersonIsToldOfARemoval(t *testing.T) {
	w := newPostWorld(t)
	b := w.at(t, firefox)
	subject := w.find(t, b).Account.Subject
	f := store.Factor{ID: "f-1", Subject: subject, Kind: store.TOTP, Label: "<b>My phone</b>", ACR: idp.ACRTwoFactor, Secret: "sealed", Created: w.now()}
	if _, err := w.store.AddFactor(t.Context(), f, nil, 5); err != nil {
		t.Fatal(err)
	}
	if err := w.store.SetAddress(t.Context(), subject, home, w.now()); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the button pressed twice
		b.wantTo(b.post(auth+"/account/factors/f-1/remove?address=thief@example.org&email=thief@example.org", "User-Agent", firefox), auth+"/account?done=factor_removed")
	}
	m := w.server.Await(t, 1)
	if m.To != home || !strings.Contains(m.Subject, "Un moyen de connexion a été retiré") {
		t.Errorf("%q to %q", m.Subject, m.To)
	}
	for _, want := range []string{"application", "<b>My phone</b>", "127.0.0.1", "Firefox 153, Linux"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("the message does not say %q:\n%s", want, m.Text)
		}
	}
	if strings.Contains(m.HTML, "<b>My phone") || !strings.Contains(m.HTML, "&lt;b&gt;My phone") {
		t.Error("the name that the person gave is markup in the message")
	}
	if n, err := w.store.CountMail(t.Context()); err != nil || n > 1 { // the one may not be settled yet
		t.Errorf("%d messages wait, %v: one was to be sent", n, err)
	}
}

// browsers keeps whom a browser is known by.
type browsers struct {
	mu  sync.Mutex
	all []string
	err error
}

func (n *browsers) Know(_ *http.Request, subject string) (store.KnownBrowser, *http.Cookie, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, subject)
	return store.KnownBrowser{Expires: time.Now().Add(time.Hour)}, &http.Cookie{Name: "__Host-browser", Value: "known", Path: "/", Secure: true}, n.err
}

// A login makes its browser known, whatever its method is; a browser that cannot be remembered is no reason to refuse it.
func TestBrowserOfALoginIsRemembered(t *testing.T) {
	n := &browsers{}
	w := newWorldWith(t, func(c *idp.Config) { c.Browsers = n })
	b := w.browser(t)
	b.logIn()
	if subject := w.find(t, b).Account.Subject; len(n.all) != 1 || n.all[0] != subject {
		t.Errorf("remembered for %q, want %q", n.all, subject)
	}
	n.err = errors.New("the database is gone")
	w.browser(t).logIn()
}

// D1, D2: codes of a login go to the address of the record, and to none that the login opens.
func TestD1D2AddressOfLoginCodes(t *testing.T) {
	w := newPostWorld(t)
	b := w.browser(t)
	b.logIn()
	a := w.account(t)
	for address, want := range map[string]string{
		home: home, "": "", "jeanne@mssante.fr": "", "jeanne@hopital.mssante.fr": "", "no address": "",
	} {
		a.Address = address
		if got, err := w.idp.CodeAddress(t.Context(), a); err != nil || got != want {
			t.Errorf("CodeAddress of %q = %q, %v, want %q", address, got, err, want)
		}
	}
	a.Address, w.idp.Registration = home, nil
	if got, err := w.idp.CodeAddress(t.Context(), a); err != nil || got != "" {
		t.Errorf("CodeAddress without mail = %q, %v", got, err)
	}
}

// The account page says how many recovery codes are left.
func TestAccountSaysHowManyRecoveryCodesAreLeft(t *testing.T) {
	w := newWorld(t)
	b := w.at(t, firefox)
	f := store.Factor{ID: "f-1", Subject: w.find(t, b).Account.Subject, Kind: store.Recovery, ACR: idp.ACRTwoFactor, Created: w.now()}
	if _, err := w.store.AddFactor(t.Context(), f, []string{"a", "b", "c"}, 1); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Il vous reste 3 codes.", "Il vous reste 2 codes.", "Il vous reste un seul code."} {
		if p := b.get(auth + "/account"); !strings.Contains(p.body, want) {
			t.Errorf("the account page does not say %q", want)
		}
		left, err := w.store.RecoveryCodes(t.Context(), "f-1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.store.UseRecoveryCode(t.Context(), "f-1", left[0], w.now()); err != nil {
			t.Fatal(err)
		}
	}
}
