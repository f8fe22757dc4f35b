package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/pscstub"
	"promess/authgw/internal/psctest"
	"promess/authgw/internal/testpki"
)

// What persons read. None of it is on the page of the button or that of the stand-in.
const (
	pscRefused = "Réponse de Pro Santé Connect refusée"
	pscLevel   = "Identification trop faible"
	pscUnknown = "Cette connexion n’est plus valable"
	pscDown    = "Pro Santé Connect ne répond pas en ce moment"
	pscEnded   = "Votre session Pro Santé Connect a pris fin"
	pscWelcome = "Bonjour, JEANNE MARTIN"
)

// Levels of a login.
const (
	twoFactor = "urn:authgw:acr:two-factor"
	hardware  = "urn:authgw:acr:hardware" // docs/services.md
)

// answer makes the stand-in answer in its way, and somebody choose there who they are, in a browser of theirs.
func (w *pscWorld) answer(t *testing.T, q psctest.Quirks, person string) *tab {
	t.Helper()
	w.psc.Set(q)
	b := w.browser.browser(t)
	w.toPSC(t, b, w.auth("/login"))
	choose(t, b, person)
	return b
}

// opens wants one login more, of the account of before, with a level, in the audit.
func (w *pscWorld) opens(t *testing.T, level string, logIn func() *tab) *tab {
	t.Helper()
	before := w.events(t, audit.SessionOpened)
	b := logIn()
	b.await(t, pscWelcome) // the portal, which only a session opens
	eventually(t, "the audit has the login", func() error {
		opened := w.events(t, audit.SessionOpened)
		if len(opened) != len(before)+1 {
			return fmt.Errorf("%d sessions were opened", len(opened)-len(before))
		}
		if e := opened[len(before)]; e.Subject != before[0].Subject || e.Method != "psc" || e.ACR != level {
			return fmt.Errorf("it is %+v, want the account %s at the level %s", e, before[0].Subject, level)
		}
		return nil
	})
	return b
}

// refuses wants a page with a text, and one refusal more with a reason, a detail, and the support code of an error page, in the audit.
func (w *pscWorld) refuses(t *testing.T, text, reason, detail string, logIn func() *tab) *tab {
	t.Helper()
	before := len(w.events(t, audit.LoginRefused))
	b := logIn()
	b.await(t, text)
	eventually(t, "the audit has the refusal", func() error {
		refused := w.events(t, audit.LoginRefused)
		if len(refused) != before+1 {
			return fmt.Errorf("%d logins were refused", len(refused)-before)
		}
		if e := refused[before]; e.Reason != reason || !strings.Contains(e.Detail, detail) || e.Method != "psc" {
			return fmt.Errorf("it is %+v, want the reason %s with %q", e, reason, detail)
		}
		code := strings.ReplaceAll(refused[before].Support, "-", " ")             // in groups, to be read aloud
		if shown := b.text(); text != pscDown && !strings.Contains(shown, code) { // the other ways in are no error page
			return fmt.Errorf("the page has not its support code %s:\n%s", code, shown)
		}
		return nil
	})
	return b
}

// wantSession opens the portal, which only a session opens.
func (w *pscWorld) wantSession(t *testing.T, b *tab, open bool) {
	t.Helper()
	b.open(t, w.auth("/"))
	if open {
		b.await(t, pscWelcome)
		return
	}
	b.await(t, "Se connecter avec ma carte CPS") // an error page has no such button
	b.awaitURL(t, w.auth("/login"))
}

func (w *pscWorld) answersThatOpen(t *testing.T) {
	// docs/operate.md: eidas1 and eidas2 count as two factors, eidas3 as hardware.
	for _, tt := range []struct {
		name   string
		quirks psctest.Quirks
		level  string
	}{
		{"a sub of before 2026", psctest.Quirks{Sub: psctest.SubLegacy}, twoFactor},
		{"another sub since, and acr eidas1", psctest.Quirks{ACR: "eidas1"}, twoFactor},
		{"acr eidas2", psctest.Quirks{ACR: "eidas2"}, twoFactor},
		{"acr eidas3", psctest.Quirks{ACR: "eidas3"}, hardware},
		{"sparse userinfo", psctest.Quirks{Userinfo: psctest.UserinfoSparse}, twoFactor},
		{"userinfo that is a JWT", psctest.Quirks{UserinfoFormat: psctest.UserinfoJWT}, twoFactor},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.opens(t, tt.level, func() *tab { return w.answer(t, tt.quirks, pscstub.Doctor) })
		})
	}
}

// Section numbers are those of OpenID Connect Core 1.0.
func (w *pscWorld) answersThatDoNot(t *testing.T) {
	token := func(q psctest.IDTokenQuirk) psctest.Quirks { return psctest.Quirks{IDToken: q} }
	at := func(f psctest.Fault) psctest.Quirks {
		return psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Token: f}}
	}
	const signed = "issuer, audience or signature"
	for _, tt := range []struct {
		name                 string
		quirks               psctest.Quirks
		text, reason, detail string
	}{
		{"acr none", psctest.Quirks{ACR: psctest.ACRNone}, pscLevel, "psc_acr", "none"},
		{"acr of another kind", psctest.Quirks{ACR: "eidas4"}, pscLevel, "psc_acr", "eidas4"},
		{"wrong iss", token(psctest.IDTokenWrongIssuer), pscRefused, "psc_answer", signed},                              // 3.1.3.7, 2
		{"wrong aud", token(psctest.IDTokenWrongAudience), pscRefused, "psc_answer", signed},                            // 3
		{"a second aud", token(psctest.IDTokenTwoAudiences), pscRefused, "psc_answer", "audience"},                      // 3, 4
		{"wrong azp", token(psctest.IDTokenWrongAzp), pscRefused, "psc_answer", "azp"},                                  // 5
		{"signed by another key", token(psctest.IDTokenOtherKey), pscRefused, "psc_answer", signed},                     // 6
		{"signed by a key of nobody", token(psctest.IDTokenUnknownKey), pscRefused, "psc_answer", signed},               // 6
		{"alg none", token(psctest.IDTokenAlgNone), pscRefused, "psc_answer", signed},                                   // 7 (F5)
		{"HS256 with the secret", token(psctest.IDTokenHS256), pscRefused, "psc_answer", signed},                        // 7 (F5)
		{"HS256 with the public key", token(psctest.IDTokenHS256Public), pscRefused, "psc_answer", signed},              // 7 (F5)
		{"expired", token(psctest.IDTokenExpired), pscRefused, "psc_answer", "exp"},                                     // 9
		{"wrong nonce", token(psctest.IDTokenWrongNonce), pscRefused, "psc_answer", "nonce"},                            // 11
		{"no nonce", token(psctest.IDTokenNoNonce), pscRefused, "psc_answer", "nonce"},                                  // 11
		{"userinfo of another sub", psctest.Quirks{UserinfoAnother: true}, pscRefused, "psc_answer", "sub of userinfo"}, // 5.3.2
		{"no state", psctest.Quirks{CallbackState: psctest.Absent}, pscUnknown, "state_unknown", ""},
		{"another state", psctest.Quirks{CallbackState: psctest.Wrong}, pscUnknown, "state_unknown", ""},
		{"access_denied", psctest.Quirks{CallbackError: "access_denied"}, "Identification abandonnée", "cancelled", ""},
		{"an error", psctest.Quirks{CallbackError: "invalid_request"}, pscRefused, "psc_error", "invalid_request"},
		{"token endpoint 400", at(psctest.Fault{Status: 400}), pscRefused, "psc_token", "other"},
		{"token endpoint 400, invalid_grant", at(psctest.Refused()), pscRefused, "psc_token", "invalid_grant"},
		{"token endpoint 502", at(psctest.Fault{Status: 502}), pscDown, "psc_unavailable", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := w.refuses(t, tt.text, tt.reason, tt.detail, func() *tab { return w.answer(t, tt.quirks, pscstub.Doctor) })
			w.wantSession(t, b, false)
		})
	}
}

func (w *pscWorld) keysThatChange(t *testing.T) {
	w.psc.RotateKey(t)
	w.opens(t, twoFactor, func() *tab { return w.answer(t, psctest.Quirks{}, pscstub.Doctor) })
}

// visits are the addresses of pages that a tab has asked for, those that redirected too.
type visits struct {
	mu  sync.Mutex
	all []string
}

func (b *tab) visits(t *testing.T) *visits {
	t.Helper()
	v := &visits{}
	err := chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok && e.Type == network.ResourceTypeDocument {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.all = append(v.all, e.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// find returns the first address that begins so.
func (v *visits) find(t *testing.T, prefix string) string {
	t.Helper()
	found := ""
	eventually(t, "the browser has been at "+prefix, func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		for _, at := range v.all {
			if strings.HasPrefix(at, prefix) {
				found = at
				return nil
			}
		}
		return fmt.Errorf("it was %d times elsewhere", len(v.all))
	})
	return found
}

// F7: the address of a return is good once. It opens nothing again, and takes nothing away from the session that it has opened.
func (w *pscWorld) returnTwice(t *testing.T) {
	w.psc.Set(psctest.Quirks{})
	first, stranger := w.browser.browser(t), w.browser.browser(t)
	seen := first.visits(t)
	w.opens(t, twoFactor, func() *tab {
		w.toPSC(t, first, w.auth("/login"))
		choose(t, first, pscstub.Doctor)
		return first
	})
	at := seen.find(t, w.auth("/login/psc/callback?"))
	for b, open := range map[*tab]bool{first: true, stranger: false} {
		w.refuses(t, pscUnknown, "state_unknown", "", func() *tab { b.open(t, at); return b })
		w.wantSession(t, b, open)
	}
}

// A return that opened a session is not in the history, as it redirects; one that was refused is.
func (w *pscWorld) backButton(t *testing.T) {
	b := w.refuses(t, "Identification abandonnée", "cancelled", "", func() *tab { return w.answer(t, psctest.Quirks{}, "") })
	w.wantSession(t, b, false)
	w.refuses(t, pscUnknown, "state_unknown", "", func() *tab { b.back(t); return b })
	w.wantSession(t, b, false)
	w.opens(t, twoFactor, func() *tab { // the way on that the page shows
		w.toPSC(t, b, w.auth("/login"))
		choose(t, b, pscstub.Doctor)
		return b
	})
}

// F7: somebody has another person go on with the login that they have begun, for a session of that person.
func (w *pscWorld) otherBrowser(t *testing.T) {
	w.psc.Set(psctest.Quirks{})
	mine, theirs := w.browser.browser(t), w.browser.browser(t)
	seen := mine.visits(t)
	w.toPSC(t, mine, w.auth("/login"))
	at := seen.find(t, "https://"+w.psc.Hosts()[1]+pscstub.WalletPath+"?")
	w.refuses(t, "ne l’ouvrez pas et prévenez l’assistance", "other_browser", "", func() *tab {
		theirs.open(t, at)
		choose(t, theirs, pscstub.Doctor)
		return theirs
	})
	w.wantSession(t, theirs, false)
	w.refuses(t, pscUnknown, "state_unknown", "", func() *tab { // it is worth nothing any more
		choose(t, mine, pscstub.Doctor)
		return mine
	})
	w.wantSession(t, mine, false)
}

func (w *pscWorld) twoTabs(t *testing.T) {
	w.psc.Set(psctest.Quirks{})
	first := w.browser.browser(t)
	ctx, cancel := chromedp.NewContext(first.ctx) // of the same profile
	t.Cleanup(cancel)
	second := newTab(t, ctx)
	for _, b := range []*tab{first, second} {
		w.toPSC(t, b, w.auth("/login"))
		// The gateway has answered before the next tab asks: a person who opens the next sees this one arrive.
		b.do(t, chromedp.WaitVisible(chromedp.CSS("button[name=person]")))
	}
	choice := func(b *tab) func() *tab {
		return func() *tab {
			if _, err := chromedp.Call(b.ctx, page.BringToFront, cdp.Empty{}); err != nil { // nobody chooses behind another tab
				t.Fatal(err)
			}
			choose(t, b, pscstub.Doctor)
			return b
		}
	}
	w.opens(t, twoFactor, choice(first))
	w.refuses(t, pscUnknown, "other_browser", "", choice(second))
	w.wantSession(t, second, true)
}

func (w *pscWorld) renewalRefused(t *testing.T) {
	b := w.opens(t, twoFactor, func() *tab { return w.answer(t, psctest.Quirks{}, pscstub.Doctor) })
	opened := w.events(t, audit.SessionOpened)
	session := opened[len(opened)-1].Session
	w.psc.Set(psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Refresh: psctest.Refused()}})
	w.makeDue(t, session)
	eventually(t, "the session ends", func() error {
		ends := w.events(t, audit.SessionEnded)
		if e := ends[len(ends)-1]; e.Session != session || e.Reason != "psc_ended" {
			return fmt.Errorf("the last that ended is %s: %s", e.Session, e.Reason)
		}
		return nil
	})
	b.open(t, w.auth("/"))
	b.await(t, pscEnded, "Connectez-vous de nouveau pour continuer")
	w.wantSession(t, b, false)
}

// makeDue makes it ten minutes since the tokens of a session were new: its person has been active since.
func (w *pscWorld) makeDue(t *testing.T, session string) {
	t.Helper()
	db, err := sql.Open("sqlite", w.path("authgw.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	const earlier = "PRAGMA busy_timeout = 5000; UPDATE psc_sessions SET refreshed_at = refreshed_at - 600000, due_at = 0 WHERE session_id = ?"
	if _, err := db.ExecContext(t.Context(), earlier, session); err != nil {
		t.Fatal(err)
	}
}

// reload puts lines of the section psc in force, or wants them refused.
func (w *pscWorld) reload(t *testing.T, lines, outcome string) {
	t.Helper()
	before := len(w.events(t, audit.ConfigLoaded))
	w.write(t, "authgw.yaml", w.withPSC(lines))
	if err := w.gateway.cmd.Process.Signal(syscall.SIGHUP); err != nil { // as systemctl reload does
		t.Fatal(err)
	}
	eventually(t, "the configuration is read", func() error {
		loaded := w.events(t, audit.ConfigLoaded)
		if len(loaded) == before || loaded[len(loaded)-1].Outcome != outcome {
			return fmt.Errorf("%d events config_loaded more, want one with the outcome %s", len(loaded)-before, outcome)
		}
		return nil
	})
}

func (w *pscWorld) timeOut(t *testing.T) {
	w.reload(t, "timeout: 1s\n  "+secretLines, "success") // of what never comes
	hang := psctest.Quirks{Faults: map[psctest.Endpoint]psctest.Fault{psctest.Token: {Hang: true}}}
	b := w.refuses(t, pscDown, "psc_unavailable", "", func() *tab { return w.answer(t, hang, pscstub.Doctor) })
	b.await(t, "connectez-vous autrement", "Se connecter avec ma carte CPS")
	w.wantSession(t, b, false)
}

// clientCertificate is RFC 8705, section 2.1.
func (w *pscWorld) clientCertificate(t *testing.T) {
	certificates := map[string]tls.Certificate{
		"right": w.certificate, "of another name": w.authorities.Issue(t, "somebody else"),
		"of another authority": psctest.NewAuthority(t).Issue(t, "gateway"),
	}
	for name, c := range certificates {
		t.Run(name, func(t *testing.T) {
			file := strings.ReplaceAll(name, " ", "-")
			w.writeClient(t, file, c)
			w.reload(t, fmt.Sprintf("client_auth: tls\n  client_id: %s\n  client_cert: %[2]s.crt\n  client_key: %[2]s.key\n", certificateClient, file), "success")
			logIn := func() *tab { return w.answer(t, psctest.Quirks{}, pscstub.Doctor) }
			if name == "right" {
				w.opens(t, twoFactor, logIn)
				return
			}
			w.wantSession(t, w.refuses(t, pscRefused, "psc_token", "invalid_client", logIn), false)
		})
	}
	t.Run("missing", func(t *testing.T) {
		w.reload(t, "client_auth: tls\n  client_id: "+certificateClient+"\n", "refused")
		// A secret in its place is what the provider sees come without a certificate.
		w.reload(t, "client_id: "+certificateClient+"\n  client_secret_file: psc-secret\n", "success")
		logIn := func() *tab { return w.answer(t, psctest.Quirks{}, pscstub.Doctor) }
		w.wantSession(t, w.refuses(t, pscRefused, "psc_token", "invalid_client", logIn), false)
	})
}

func (w *pscWorld) writeClient(t *testing.T, file string, c tls.Certificate) {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, file+".crt", testpki.CertificatePEM(c.Leaf))
	w.write(t, file+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
}
