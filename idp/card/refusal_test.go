package card_test

import (
	"crypto/tls"
	"crypto/x509"
	"html"
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/certs"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/testpki"
)

// Every reason for which a card is refused has its own page, in both languages, with the code that the audit event has.
func TestEveryRefusalIsExplained(t *testing.T) {
	w := newWorld(t)
	card := func(c testpki.Card) *tls.Certificate { v := w.card(t, c); return &v }
	stranger := must(t, func() (*testpki.Authority, error) { return w.pki.NewAuthority("AC D'UN AUTRE", nil, nil) })
	revoked := card(testpki.Card{})
	w.revoke(t, revoked.Leaf)
	signature := withKey(t, must(t, func() (*x509.Certificate, error) { return w.pki.Signature(testpki.Card{}, must(t, cardKey).Public()) }))

	titles := map[string]string{}
	for _, test := range []struct {
		reason certs.Reason
		cert   *tls.Certificate
		fr, en string // a part of the page's text
	}{
		{certs.ReasonNone, nil, "Aucune carte présentée", "No card"},
		{certs.ReasonExpired, card(testpki.Card{NotBefore: start().AddDate(-3, 0, 0), NotAfter: start().Add(-time.Second)}), "Votre carte n’est plus valable", "has expired"},
		{certs.ReasonNotYetValid, card(testpki.Card{NotBefore: start().Add(time.Hour)}), "Votre carte n’est pas encore valable", "not valid yet"},
		{certs.ReasonUnknownIssuer, card(testpki.Card{Issuer: stranger}), "Carte non reconnue", "not recognised"},
		{certs.ReasonTestCard, card(testpki.Card{Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x80) }}), "Carte de test refusée", "Test card"},
		{certs.ReasonWrongUsage, &signature, "Mauvais certificat choisi", "Wrong certificate"},
		{certs.ReasonSoftwareCertificate, card(testpki.Card{Change: func(c *x509.Certificate) { testpki.SetCategory(c, 0x03) }}), "Certificat logiciel refusé", "Software certificate"},
		{certs.ReasonRevoked, revoked, "Votre carte est en opposition", "revoked"},
		{certs.ReasonUnsupportedCardType, card(testpki.Card{Change: func(c *x509.Certificate) { testpki.SetType(c, 99) }}), "Type de carte non accepté", "card type"},
		{certs.ReasonMalformed, card(testpki.Card{Change: func(c *x509.Certificate) {
			c.ExtraExtensions = testpki.Replace(c.ExtraExtensions, testpki.OIDCardType, []byte{0x02, 0x05, 0x01})
		}}), "Carte illisible", "cannot be read"},
	} {
		t.Run(string(test.reason), func(t *testing.T) {
			for _, lang := range []struct{ accept, text string }{{"fr-FR", test.fr}, {"en-GB,fr;q=0.5", test.en}} {
				b := w.browser(t, nil)
				a := w.agent(t, test.cert, 0)
				before := len(w.events(t, audit.LoginRefused))
				proved := a.mustProve(b.begin()) // the agent is told nothing of the verdict
				if proved.Watch != "" {
					t.Error("the agent has something to watch")
				}
				p := b.get(auth+"/login/card/callback/"+proved.Code, "Accept-Language", lang.accept)
				title := heading(p.body)
				if p.status != http.StatusForbidden || !strings.Contains(strings.ToLower(html.UnescapeString(p.body)), strings.ToLower(lang.text)) {
					t.Errorf("page = %d %q, want 403 with %q", p.status, title, lang.text)
				}
				if other, ok := titles[title]; ok && other != string(test.reason) {
					t.Errorf("%s and %s have the same page: %q", test.reason, other, title)
				}
				titles[title] = string(test.reason)
				refused := w.events(t, audit.LoginRefused)[before:]
				if len(refused) != 1 || refused[0].Reason != string(test.reason) || refused[0].Outcome != "refused" || refused[0].Method != "card" {
					t.Fatalf("audit = %+v, want one refusal for %s", refused, test.reason)
				}
				one, two, _ := strings.Cut(refused[0].Support, "-")
				if len(one) != 4 || len(two) != 4 || !strings.Contains(p.body, one) || !strings.Contains(p.body, two) {
					t.Errorf("the page does not show the support code %q of the audit", refused[0].Support)
				}
				if (refused[0].Fingerprint == "") != (test.cert == nil) {
					t.Errorf("fingerprint = %q", refused[0].Fingerprint)
				}
				b.wantSignedIn(false)
				if p := b.callback(proved.Code); p.status != http.StatusForbidden {
					t.Errorf("the code again = %d", p.status)
				}
			}
		})
	}
	text := w.log.String() + w.audit.String()
	for _, secret := range []string{"MARTIN", "JEANNE", "899700218896"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in the log or the audit", secret)
		}
	}
	if n := len(w.events(t, audit.SessionOpened)); n != 0 {
		t.Errorf("%d sessions were opened", n)
	}
}

func heading(body string) string {
	_, rest, _ := strings.Cut(body, "<h1>")
	title, _, _ := strings.Cut(rest, "</h1>")
	return title
}

// A16, A17: without a current list of the card's authorities nobody comes in.
func TestA17OutdatedListsRefuse(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{NotAfter: start().AddDate(1, 0, 0)})
	w.advance(8 * 24 * time.Hour) // the lists are good for a week
	b := w.browser(t, nil)
	p := b.callback(w.agent(t, &cert, 0).mustProve(b.begin()).Code)
	if p.status != http.StatusForbidden || !strings.Contains(p.body, "Vérification de la carte impossible") {
		t.Errorf("page = %d %q", p.status, heading(p.body))
	}
	if e := w.events(t, audit.LoginRefused); len(e) != 1 || e[0].Reason != "revocation_unknown" {
		t.Errorf("audit = %+v, want revocation_unknown", e)
	}
	b.wantSignedIn(false)
}

// A card that is revoked between two logins is refused at the second, with the list that is in force then.
func TestListsAreThoseOfTheMoment(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, a := w.browser(t, nil), w.agent(t, &cert, 0)
	w.logIn(t, b, a)
	b.send(http.MethodPost, auth+"/logout")
	w.revoke(t, cert.Leaf)
	if p := b.callback(a.mustProve(b.begin()).Code); p.status != http.StatusForbidden || !strings.Contains(p.body, "en opposition") {
		t.Errorf("page = %d %q", p.status, heading(p.body))
	}
	b.wantSignedIn(false)
}

// D14: an account that was disabled, with a card that is good.
func TestD14DisabledAccountIsRefused(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, a := w.browser(t, nil), w.agent(t, &cert, 0)
	w.logIn(t, b, a)
	account, err := w.store.AccountByNationalID(t.Context(), "RPPS", "899700218896")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.store.DisableAccount(t.Context(), account.Subject, w.now()); err != nil {
		t.Fatal(err)
	}
	b.wantSignedIn(false)
	p := b.callback(a.mustProve(b.begin()).Code)
	if p.status != http.StatusForbidden || !strings.Contains(p.body, "Votre compte est désactivé") {
		t.Errorf("page = %d %q", p.status, heading(p.body))
	}
	b.wantSignedIn(false)
}

// The session ends with the card, whatever its length otherwise.
func TestSessionEndsWithTheValidityOfTheCard(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{NotBefore: start().AddDate(-3, 0, 0), NotAfter: start().Add(10 * time.Minute)})
	b := w.browser(t, nil)
	w.logIn(t, b, w.agent(t, &cert, 0))
	w.advance(10*time.Minute - time.Second)
	b.wantSignedIn(true)
	w.advance(time.Second)
	b.wantSignedIn(false)
}

// Without its line in the audit there is no login; a refusal stays one.
func TestAuditFailure(t *testing.T) {
	w := newWorld(t)
	good, bad := w.card(t, testpki.Card{}), w.card(t, testpki.Card{NotBefore: start().Add(time.Hour)})
	w.audit.mu.Lock()
	w.audit.fail = true
	w.audit.mu.Unlock()
	b := w.browser(t, nil)
	if p := b.callback(w.agent(t, &good, 0).mustProve(b.begin()).Code); p.status != http.StatusServiceUnavailable {
		t.Errorf("a good card = %d, want 503", p.status)
	}
	b.wantSignedIn(false)
	if p := b.callback(w.agent(t, &bad, 0).mustProve(b.begin()).Code); p.status != http.StatusForbidden {
		t.Errorf("a bad card = %d, want 403", p.status)
	}
	b.wantSignedIn(false)
}
