package otp_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/idp/otp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/password"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// Texts of the French catalogue.
const (
	textInvited    = "Activer votre accès"
	textOver       = "Ce lien ne fonctionne pas, ou plus"
	textWrongVoice = "Ce code d’activation n’est pas le bon."
	textChosen     = "Votre mot de passe est enregistré."
)

var invitationLink = regexp.MustCompile(`https://auth\.example\.test(/login/otp/invitation/\S+)`)

// invite invites the person, as the help desk does, and returns the path that they were sent and the code that they were told.
func (w *world) invite(t testing.TB) (path, code string) {
	t.Helper()
	code, expires, err := w.inviter().Invite(t.Context(), w.account(t))
	if err != nil {
		t.Fatal(err)
	}
	if !expires.Equal(w.now().Add(24 * time.Hour)) {
		t.Errorf("the invitation is good until %v, want a day", expires)
	}
	m := w.told(t, "Activez votre accès")
	link := invitationLink.FindStringSubmatch(m.Text)
	if link == nil || m.To != home {
		t.Fatalf("the message to %q has no link:\n%s", m.To, m.Text)
	}
	if strings.Contains(m.Raw, code) || strings.Contains(m.Raw, strings.ReplaceAll(code, "-", "")) {
		t.Error("the message has both halves")
	}
	return link[1], code
}

// inviter has the outbox of the gateway, so that nobody waits until it looks for what other programs have left.
func (w *world) inviter() otp.Inviter {
	return otp.Inviter{Store: w.store, Outbox: w.idp.Registration.Outbox, Keys: w.keys, Now: w.now}
}

// accept sends the form of an invitation.
func (b *browser) accept(path, code, password string, more ...string) page {
	b.t.Helper()
	return b.post(path, append([]string{"code", code, "password", password, "again", password}, more...)...)
}

// D11: who has neither card nor password gets one with both halves, is signed in by neither, and then needs a second factor as everybody
// does, whose level the login has.
func TestD11InvitationLeadsToAPasswordAndNoFurther(t *testing.T) {
	w := newWorld(t)
	path, code := w.invite(t)
	b := w.browser(t)
	b.get(path).want(t, http.StatusOK, textInvited, "Code d’activation", "Au moins 12 caractères.")
	b.accept(path, " "+strings.ToLower(strings.ReplaceAll(code, "-", " "))+" ", secret).wantTo(t, "/login/otp?done=chosen")
	b.wantSignedIn(false)
	b.get("/login/otp?done=chosen").want(t, http.StatusOK, textChosen)
	b.get("/login/otp/code").wantTo(t, "/login/otp?problem=over")

	f := w.factors(t, store.Password)
	if len(f) != 1 || f[0].ACR != idp.ACRTwoFactor {
		t.Fatalf("passwords = %+v, want one that gives two factors at most", f)
	}
	if m := w.told(t, "Un moyen de connexion a été ajouté"); m.To != home || !strings.Contains(m.Text, "mot de passe") || !strings.Contains(m.Text, "127.0.0.1") {
		t.Errorf("told to %q:\n%s", m.To, m.Text)
	}
	b, mailed := w.asked(t)
	b.wantSignedIn(false)
	b.post("/login/otp/code/mail", "code", mailed).wantTo(t, "/")
	if v, ok := b.session(); !ok || v.ACR != idp.ACRTwoFactor || strings.Join(v.AMR, " ") != "pwd otp mfa" {
		t.Errorf("session = %t at %q by %v, want two factors", ok, v.ACR, v.AMR)
	}

	added := w.events(t, audit.FactorAdded)
	if len(added) != 1 || added[0].Reason != "invitation" || added[0].Factor != "password" || added[0].Subject != w.account(t).Subject || added[0].Source != "127.0.0.1" {
		t.Errorf("factors added = %+v", added)
	}
	if n := len(w.events(t, audit.FactorRemoved)); n != 0 {
		t.Errorf("%d factors removed, and there was none", n)
	}
}

// D11: neither half is worth anything without the other: not the link to who reads the mailbox, nor the code to who overhears the call.
func TestD11OneHalfOfAnInvitationIsWorthNothing(t *testing.T) {
	w := newWorld(t)
	path, code := w.invite(t)
	b := w.browser(t)
	b.accept(path, off(code), secret).want(t, http.StatusUnprocessableEntity, textWrongVoice, "Il vous reste 4 essais.")
	w.wantRefusal(t, "wrong_activation_code")
	other := "/login/otp/invitation/" + token.New()
	b.accept(other, code, secret).want(t, http.StatusNotFound, textOver)
	b.post("/login/otp/password", "identifier", rpps, "password", code).want(t, http.StatusUnprocessableEntity)
	if n := w.count(t); n != 0 {
		t.Errorf("%d means of proof", n)
	}
	// A code is of one link and one person, whoever has moved what is kept of it in the database.
	w.stranger(t)
	paul, err := w.store.AccountByNationalID(t.Context(), "RPPS", "810100000002")
	if err != nil {
		t.Fatal(err)
	}
	theirs, _, err := w.inviter().Invite(t.Context(), paul)
	if err != nil {
		t.Fatal(err)
	}
	toPaul := invitationLink.FindStringSubmatch(w.told(t, "Activez votre accès").Text)[1]
	b.accept(path, theirs, secret).want(t, http.StatusUnprocessableEntity, textWrongVoice)
	kept := func(path string) store.Invitation {
		hash, _ := token.Of(token.Invite, strings.TrimPrefix(path, "/login/otp/invitation/"))
		i, err := w.store.InvitationByToken(t.Context(), hash, w.now())
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	moved := kept(path)
	moved.MAC = kept(toPaul).MAC
	if err := w.store.AddInvitation(t.Context(), moved); err != nil {
		t.Fatal(err)
	}
	b.accept(path, theirs, secret).want(t, http.StatusUnprocessableEntity, textWrongVoice)
	if n := w.count(t); n != 0 {
		t.Errorf("%d means of proof", n)
	}
	// E2: the token of the link is of its own kind, and opens nothing else.
	secretOf := strings.TrimPrefix(path, "/login/otp/invitation/")
	for _, kind := range []token.Kind{token.Session, token.Browser, token.Handle, token.Code, token.Entry} {
		a, _ := token.Of(kind, secretOf)
		if z, ok := token.Of(token.Invite, secretOf); !ok || a == z {
			t.Errorf("the link is a token of kind %q", kind)
		}
	}
}

// D11, CVE-2026-18963 and CVE-2023-26481 of others: what a request says of who it is about, which address is proved or which level is
// reached counts for nothing. D12.
func TestD11D12InvitationIsBoundToWhomItWasSentTo(t *testing.T) {
	w := newWorld(t)
	thief := w.stranger(t)
	before := w.account(t)
	path, code := w.invite(t)
	other, err := w.store.AccountByNationalID(t.Context(), "RPPS", "810100000002")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := w.store.Factors(t.Context(), other.Subject)
	if err != nil {
		t.Fatal(err)
	}
	more := []string{
		"subject", other.Subject, "identifier", "810100000002", "account", other.Subject, "address", "thief@example.org", "email", "thief@example.org",
		"acr", idp.ACRHardware, "verified", "true", "token", token.New(),
	}
	thief.accept(path+"?subject="+other.Subject+"&identifier=810100000002", code, secret, more...).wantTo(t, "/login/otp?done=chosen")
	thief.wantSignedIn(false)
	if all, err := w.store.Factors(t.Context(), other.Subject); err != nil || !cmp.Equal(all, theirs) {
		t.Errorf("another person's means of proof were changed, %v", err)
	}
	f := w.factors(t, store.Password)
	if len(f) != 1 || f[0].ACR != idp.ACRTwoFactor {
		t.Errorf("passwords = %+v", f)
	}
	if after := w.account(t); after.Address != before.Address || !after.Registered.Equal(before.Registered) {
		t.Errorf("the account was changed: %q", after.Address)
	}
}

// D11, D6: who had forgotten a password has a new one; whoever knew the old one is out, and other means of proof stay as they are.
func TestD11InvitationReplacesAForgottenPassword(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	w.addSheet(t)
	elsewhere := w.browser(t)
	elsewhere.byCard()
	old := w.factors(t, store.Password)[0]
	path, code := w.invite(t)
	elsewhere.wantSignedIn(true) // an invitation alone changes nothing
	w.first(t)
	b := w.browser(t)
	b.byCard()
	b.accept(path, code, another).wantTo(t, "/login/otp?done=chosen")
	elsewhere.wantSignedIn(false)
	b.wantSignedIn(false)
	if n := w.count(t); n != 3 {
		t.Errorf("%d means of proof, want 3", n)
	}
	b = w.browser(t)
	b.post("/login/otp/password", "identifier", rpps, "password", secret).want(t, http.StatusUnprocessableEntity, textWrongPassword)
	b.post("/login/otp/password", "identifier", rpps, "password", another).wantTo(t, "/login/otp/code")
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
	removed := w.events(t, audit.FactorRemoved)
	if len(removed) != 1 || removed[0].Detail != old.ID || removed[0].Reason != "invitation" || removed[0].Factor != "password" {
		t.Errorf("factors removed = %+v", removed)
	}
	ended := 0
	for _, e := range w.events(t, audit.SessionEnded) {
		if e.Reason == "password_changed" {
			ended++
		}
	}
	if ended < 2 {
		t.Errorf("%d sessions ended in the audit, want both", ended)
	}
}

// A link that programs open, however often, stays as it was.
func TestInvitationIsNotChangedByLookingAtIt(t *testing.T) {
	w := newWorld(t)
	path, code := w.invite(t)
	for range 8 {
		b := w.browser(t)
		b.get(path+"?utm_source=scanner").want(t, http.StatusOK, textInvited)
		b.send(http.MethodHead, path, nil).want(t, http.StatusOK)
		if b.cookies() != "" {
			t.Errorf("the page sets cookies: %q", b.cookies())
		}
	}
	w.browser(t).accept(path, code, secret).wantTo(t, "/login/otp?done=chosen")
}

// over are the links that are not good, or no longer.
var over = map[string]func(t *testing.T, w *world, path, code string) string{
	"unknown":  func(*testing.T, *world, string, string) string { return "/login/otp/invitation/" + token.New() },
	"no token": func(*testing.T, *world, string, string) string { return "/login/otp/invitation/x" },
	"cut":      func(_ *testing.T, _ *world, path, _ string) string { return path[:len(path)-1] },
	"used": func(t *testing.T, w *world, path, code string) string {
		w.browser(t).accept(path, code, another).wantTo(t, "/login/otp?done=chosen")
		return path
	},
	"late": func(_ *testing.T, w *world, path, _ string) string {
		w.advance(24 * time.Hour)
		return path
	},
	"replaced": func(t *testing.T, w *world, path, _ string) string {
		w.invite(t)
		return path
	},
	"burnt": func(t *testing.T, w *world, path, code string) string {
		for i := range 5 {
			p := w.browser(t).accept(path, off(code), secret)
			if i < 4 {
				p.want(t, http.StatusUnprocessableEntity, textWrongVoice)
				continue
			}
			p.want(t, http.StatusNotFound, textOver)
		}
		w.wantRefusal(t, "invitation_burnt")
		w.forgive(t)
		return path
	},
	"disabled": func(t *testing.T, w *world, path, _ string) string { // D14
		w.disable(t)
		return path
	},
	"address changed": func(t *testing.T, w *world, path, _ string) string { // D1: the link went to somebody else
		if err := w.store.SetAddress(t.Context(), w.account(t).Subject, "jeanne@example.org", w.now()); err != nil {
			t.Fatal(err)
		}
		return path
	},
	"address protected": func(t *testing.T, w *world, path, _ string) string { // D2, since the invitation
		w.idp.Registration.Protected = []string{"mssante.fr", "example.fr"}
		return path
	},
}

// D16, D11, D14: whatever is wrong with a link, it has one answer, with the right code too, and sets nothing.
func TestD16D14AllLinksThatAreOverHaveOneAnswer(t *testing.T) {
	answers := map[string]string{} // to each request of those below
	for name, spoil := range over {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			path, code := w.invite(t)
			path = spoil(t, w, path, code)
			before := w.factors(t, store.Password)
			for request, p := range map[string]page{
				"the link": w.browser(t).get(path), "the right code": w.browser(t).accept(path, code, secret),
				"a wrong code": w.browser(t).accept(path, off(code), "court"), "nothing": w.browser(t).post(path),
			} {
				p.want(t, http.StatusNotFound, textOver)
				if answers[request] == "" {
					answers[request] = p.body
				}
				if p.body != answers[request] {
					t.Errorf("%s is answered in other words than elsewhere", request)
				}
			}
			after := w.factors(t, store.Password)
			if len(before) != len(after) || len(after) == 1 && after[0].Secret != before[0].Secret {
				t.Errorf("the password was set")
			}
		})
	}
}

// D3, D4: wrong codes count for the account too, with its passwords and all other codes; what cannot be a code, and a password that may not
// be chosen, costs no try.
func TestD3D4WrongActivationCodesCountForTheAccount(t *testing.T) {
	w := newWorld(t)
	path, code := w.invite(t)
	b := w.browser(t)
	for range 8 {
		b.accept(path, code[:7], secret).want(t, http.StatusUnprocessableEntity, "Aucun essai n’est perdu.")
		b.post(path).want(t, http.StatusUnprocessableEntity, "Aucun essai n’est perdu.") // D8
		b.accept(path, code, "court").want(t, http.StatusUnprocessableEntity, "Ce mot de passe est trop court.")
	}
	w.browser(t).guess(rpps)
	w.browser(t).guess(box)
	w.browser(t).guess(name)
	b.accept(path, off(code), secret).want(t, http.StatusUnprocessableEntity, "Il vous reste 4 essais.")
	b.accept(path, off(code), secret).want(t, http.StatusUnprocessableEntity, "Il vous reste 3 essais.")
	p := b.accept(path, code, secret)
	p.want(t, http.StatusTooManyRequests, textThrottled)
	if p.header.Get("Retry-After") != "2" {
		t.Errorf("Retry-After = %q", p.header.Get("Retry-After"))
	}
	w.wantRefusal(t, "throttled")
	w.browser(t).guess(rpps).want(t, http.StatusTooManyRequests)
	w.advance(3 * time.Second)
	b.accept(path, code, secret).wantTo(t, "/login/otp?done=chosen")
}

// The policy is that of the account page; it says nothing of a password to who has not the code, since it knows the person's names. The
// page says nothing of who they are.
func TestInvitedPasswordIsJudgedOnceTheCodeIsRight(t *testing.T) {
	w := newWorldWith(t, func(c *otp.Config) { c.Policy = password.Policy{MinLength: 14} })
	path, code := w.invite(t)
	b := w.browser(t)
	for _, p := range []page{b.get(path), b.accept(path, off(code), "jeannemartin12")} {
		for _, known := range []string{"Jeanne", "JEANNE", "Martin", "MARTIN", rpps, name, home, "jeanne.martin", "ressemble trop"} {
			if strings.Contains(p.body, known) {
				t.Errorf("the page says %q", known)
			}
		}
	}
	for password, want := range map[string]string{
		"":                                "Ce mot de passe est trop court.",
		"thirteen char":                   "Au moins 14 caractères.",
		strings.Repeat("long", 40):        "Ce mot de passe est trop long",
		"with a \x07 bell in it":          "ne se saisissent pas au clavier",
		"jeannemartin12":                  "ressemble trop à votre nom",
		"99700218896abc":                  "ressemble trop à votre nom",
		home:                              "ressemble trop à votre nom",
		strings.TrimSuffix(box, ".fr"):    "ressemble trop à votre nom",
		strings.ToUpper("Jeanne Martin1"): "ressemble trop à votre nom",
	} {
		p := b.accept(path, code, password)
		p.want(t, http.StatusUnprocessableEntity, want, `value="`+code+`"`)
		if password != "" && strings.Contains(p.body, password) {
			t.Errorf("the page repeats %q", password)
		}
	}
	b.post(path, "code", code, "password", secret, "again", secret+" ").want(t, http.StatusUnprocessableEntity, "ne sont pas les mêmes")
	b.post(path, "code", code, "password", secret).want(t, http.StatusUnprocessableEntity, "ne sont pas les mêmes")
	b.post(path, "code", code, "code", code, "password", secret, "again", secret).want(t, http.StatusBadRequest)
	if n := w.count(t); n != 0 {
		t.Fatalf("%d passwords were taken", n)
	}
	b.accept(path, code, "  "+secret).wantTo(t, "/login/otp?done=chosen")
	b.post("/login/otp/password", "identifier", rpps, "password", "  "+secret).wantTo(t, "/login/otp/code")
}

// D7: no other site sends the form, whatever halves it has; and the page is left with nothing that other sites are told.
func TestD7InvitationIsAcceptedFromItsOwnPageOnly(t *testing.T) {
	w := newWorld(t)
	path, code := w.invite(t)
	b := w.browser(t)
	form := url.Values{"code": {code}, "password": {secret}, "again": {secret}}
	for _, site := range []string{"cross-site", "same-site"} {
		b.send(http.MethodPost, path, form, "Sec-Fetch-Site", site).want(t, http.StatusForbidden, textForbidden)
	}
	b.send(http.MethodPost, path, form, "Sec-Fetch-Site", "", "Origin", "https://evil.example").want(t, http.StatusForbidden)
	if n := w.count(t); n != 0 {
		t.Fatalf("%d means of proof", n)
	}
	// The link of a message is a navigation from another site.
	p := b.send(http.MethodGet, path, nil, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	p.want(t, http.StatusOK, textInvited)
	for _, p := range []page{p, b.accept(path, off(code), secret)} {
		if got := p.header.Get("Referrer-Policy"); got != "same-origin" {
			t.Errorf("Referrer-Policy = %q", got)
		}
		if got := p.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control = %q", got)
		}
		if regexp.MustCompile(`(?:src|href|action)="(?:https?:)?//`).MatchString(p.body) {
			t.Error("the page leads to another site")
		}
	}
	b.send(http.MethodPost, path, form).wantTo(t, "/login/otp?done=chosen")
}

// Two presses of the button, or two persons with both halves, are one password.
func TestInvitationIsAcceptedOnce(t *testing.T) {
	w := newWorld(t)
	path, code := w.invite(t)
	results := make(chan page)
	for i := range 4 {
		b := w.browser(t)
		go func() { results <- b.accept(path, code, fmt.Sprint(secret, i)) }()
	}
	accepted := 0
	for range 4 {
		switch p := <-results; p.status {
		case http.StatusSeeOther:
			accepted++
		case http.StatusNotFound, http.StatusServiceUnavailable:
		default:
			t.Errorf("answer %d", p.status)
		}
	}
	if n := len(w.factors(t, store.Password)); accepted != 1 || n != 1 {
		t.Errorf("%d accepted, %d passwords, want one", accepted, n)
	}
}

// D1, D2, D14: nobody is invited without an address that is theirs to read; and then an invitation from before is void too.
func TestD1D2D14WhoIsNotInvited(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, w *world)
		want   error
	}{
		"disabled":             {func(t *testing.T, w *world) { w.disable(t) }, otp.ErrDisabled},
		"no address":           {func(t *testing.T, w *world) { w.setAddress(t, "") }, outbox.ErrNoAddress},
		"a protected address":  {func(t *testing.T, w *world) { w.setAddress(t, "jeanne@chu.mssante.fr") }, outbox.ErrProtected},
		"their own mailbox's":  {func(t *testing.T, w *world) { w.setAddress(t, "other@hopital.mssante.fr") }, outbox.ErrProtected},
		"no address, but text": {func(t *testing.T, w *world) { w.setAddress(t, "jeanne") }, outbox.ErrNoAddress},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			path, code := w.invite(t)
			sent := w.mail.Count()
			tt.change(t, w)
			got, _, err := w.inviter().Invite(t.Context(), w.account(t))
			if got != "" || err == nil || !strings.Contains(err.Error(), tt.want.Error()) {
				t.Errorf("Invite = %q, %v, want %v", got, err, tt.want)
			}
			w.browser(t).accept(path, code, secret).want(t, http.StatusNotFound, textOver)
			w.settle(t)
			if n := w.mail.Count(); n != sent {
				t.Errorf("%d messages were sent", n-sent)
			}
		})
	}
}

func (w *world) setAddress(t testing.TB, address string) {
	t.Helper()
	if err := w.store.SetAddress(t.Context(), w.account(t).Subject, address, w.now()); err != nil {
		t.Fatal(err)
	}
}

// Without its line in the audit no password is set, and the invitation stays.
func TestNoPasswordIsSetWithoutItsAuditLine(t *testing.T) {
	w := newWorld(t)
	path, code := w.invite(t)
	w.audit.breakDown()
	w.browser(t).accept(path, code, secret).want(t, http.StatusServiceUnavailable)
	if n := w.count(t); n != 0 {
		t.Errorf("%d means of proof", n)
	}
	w.browser(t).get(path).want(t, http.StatusOK, textInvited)
}

// Neither half is in the database, the log or the audit.
func TestInvitationIsNowhereToBeRead(t *testing.T) {
	w := newWorld(t)
	path, code := w.invite(t)
	b := w.browser(t)
	b.get(path)
	b.accept(path, off(code), secret)
	tok := strings.TrimPrefix(path, "/login/otp/invitation/")
	hash, _ := token.Of(token.Invite, tok)
	kept, err := w.store.InvitationByToken(t.Context(), hash, w.now())
	if err != nil || !strings.HasPrefix(kept.MAC, "1.k1.") || kept.Tries != 4 {
		t.Errorf("kept = %+v, %v, want a keyed hash with four tries", kept, err)
	}
	b.accept(path, code, secret).wantTo(t, "/login/otp?done=chosen")
	bare := strings.ReplaceAll(code, "-", "")
	for _, half := range []string{tok, code, bare, secret, home, filepath.Base(path)} {
		for where, text := range map[string]string{"log": w.log.String(), "audit": w.audit.String()} {
			if strings.Contains(text, half) {
				t.Errorf("the %s has a half of the invitation, a password or an address", where)
			}
		}
	}
}
