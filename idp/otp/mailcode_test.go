package otp_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/store"
)

// asked is a browser that has had a code sent, with the code.
func (w *world) asked(t testing.TB) (*browser, string) {
	t.Helper()
	b := w.first(t)
	b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	return b, w.mailed(t)
}

// D1: the code goes to the address of the record, whatever a request says.
func TestD1CodeGoesToTheAddressOfTheRecord(t *testing.T) {
	w := enrolled(t)
	b := w.first(t)
	fields := []string{"address", "thief@example.org", "to", "thief@example.org", "mail", "thief@example.org", "email", "thief@example.org"}
	b.post("/login/otp/mail?address=thief@example.org&to=thief@example.org&email=thief@example.org", fields...).wantTo(t, "/login/otp/code?way=mail")
	m := w.told(t, "Votre code de connexion")
	if m.To != home || strings.Contains(m.Raw, "thief@") {
		t.Errorf("the code went to %q", m.To)
	}
	// It says where and when it was asked for.
	for _, want := range []string{"127.0.0.1", "Firefox 153, Linux", "24/11/2026 à 13 h 00"} {
		if !strings.Contains(m.Text, want) {
			t.Errorf("the message does not say %q:\n%s", want, m.Text)
		}
	}
}

// The message names the service that is signed in to, in the language of the pages.
func TestMessageWithACodeSaysWhatItIsFor(t *testing.T) {
	w := enrolled(t)
	b := w.browser(t)
	b.get("/login?service=mail&lang=en").want(t, http.StatusOK, "Sign in")
	b.post("/login/otp/password", "identifier", rpps, "password", secret).wantTo(t, "/login/otp/code")
	b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	if m := w.told(t, "Your sign-in code"); !strings.Contains(m.Text, "For the service Messagerie, https://auth.example.test") {
		t.Errorf("the message does not say so:\n%s", m.Text)
	}
}

// A code that could not be left for sending is worth nothing, the page says so, and another one may be asked for at once.
func TestCodeThatCannotBeSent(t *testing.T) {
	w := enrolled(t)
	w.told(t, "Un moyen de connexion a été ajouté")
	b := w.first(t)
	post := w.idp.Registration
	post.Outbox.Use(nil, nil, nil)
	p := b.post("/login/otp/mail")
	p.want(t, http.StatusServiceUnavailable, "Le message n’a pas pu être envoyé.", "Recevoir un code")
	if strings.Contains(p.body, `name="code"`) {
		t.Error("the page asks for a code that was not sent")
	}
	post.Outbox.Use(post.Mail, w.keys, post.Protected)
	b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	b.post("/login/otp/code/mail", "code", w.mailed(t)).wantTo(t, "/")
}

// D2: no code goes to a mailbox that the login itself opens, nor to a domain that the gateway protects.
func TestD2NoCodeToAMailboxThatItOpens(t *testing.T) {
	for _, address := range []string{"jeanne@mssante.fr", "jeanne@chu.mssante.fr", "someone.else@hopital.mssante.fr", "jeanne@clinique.example", "other@clinique.example", ""} {
		t.Run(address, func(t *testing.T) {
			w := enrolled(t)
			w.add(t, store.Entry{
				IDType: "RPPS", NationalID: rpps, GivenName: "JEANNE", FamilyName: "MARTIN", LoginName: name, Nominative: []string{box, "jeanne@clinique.example"}, Address: home, State: "active",
			})
			k := w.addApp(t, "")
			b := w.first(t)
			if err := w.store.SetAddress(t.Context(), w.account(t).Subject, address, w.now()); err != nil {
				t.Fatal(err)
			}
			if p := b.get("/login/otp/code"); strings.Contains(p.body, "mail") && strings.Contains(p.body, "/login/otp/mail") {
				t.Error("a code by mail is offered")
			}
			b.post("/login/otp/mail").want(t, http.StatusNotFound)
			b.post("/login/otp/code/mail", "code", "12345678").want(t, http.StatusNotFound)
			b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
		})
	}
}

// D3: a code is good once, in the browser and the login that asked for it, and for one purpose.
func TestD3MailedCodeIsBoundToItsLogin(t *testing.T) {
	w := enrolled(t)
	b, code := w.asked(t)
	other := w.first(t)
	other.post("/login/otp/code/mail", "code", code).want(t, http.StatusUnprocessableEntity)
	other.wantSignedIn(false)
	w.wantRefusal(t, "wrong_code")
	login := b.login()
	kept, err := w.store.CodeOf(t.Context(), store.ForLogin, w.account(t).Subject, login.ID())
	if err != nil || !kept.Expires.Equal(login.Expires) {
		t.Errorf("the code is kept until %v, %v, want the end of its login %v", kept.Expires, err, login.Expires)
	}
	b.post("/login/otp/code/mail", "code", code).wantTo(t, "/")
	b.post("/login/otp/code/mail", "code", code).wantTo(t, "/login/otp?problem=over")
	if _, err := w.store.CodeOf(t.Context(), store.ForLogin, w.account(t).Subject, login.ID()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("CodeOf = %v after its use, want none", err)
	}

	// A second login in the same browser is another one.
	b = w.first(t)
	b.post("/login/otp/code/mail", "code", code).want(t, http.StatusUnprocessableEntity)
	b.wantSignedIn(false)
}

// D3: five tries, then the code is worth nothing.
func TestD3MailedCodeBurnsAfterFiveTries(t *testing.T) {
	w := enrolled(t)
	b, code := w.asked(t)
	for i := range 5 {
		p := b.post("/login/otp/code/mail", "code", off(code))
		if i < 4 {
			p.want(t, http.StatusUnprocessableEntity, textWrongCode)
			continue
		}
		p.want(t, http.StatusUnprocessableEntity, "Ce code n’est plus valable.", "Recevoir un code")
	}
	w.advance(3 * time.Second)
	b.post("/login/otp/code/mail", "code", code).want(t, http.StatusUnprocessableEntity)
	b.wantSignedIn(false)
}

// D3: a code is good for ten minutes, whenever it was asked for, and the message says so; its login goes on for as long, and no longer.
func TestD3MailedCodeIsGoodForTenMinutes(t *testing.T) {
	const tenMinutes = 10 * time.Minute
	w := enrolled(t)
	ask := func(b *browser) (code string) {
		t.Helper()
		b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
		m := w.told(t, "Votre code de connexion")
		if !strings.Contains(m.Text, "10 minutes") {
			t.Errorf("the message does not say that the code is good for 10 minutes:\n%s", m.Text)
		}
		return mailedCode.FindString(m.Text)
	}
	b := w.first(t)
	w.advance(9 * time.Minute)
	code := ask(b)
	w.advance(tenMinutes - time.Second)
	b.post("/login/otp/code/mail", "code", code).wantTo(t, "/")

	b = w.first(t)
	w.advance(4 * time.Minute)
	code = ask(b)
	w.advance(tenMinutes)
	b.post("/login/otp/code/mail", "code", code).wantTo(t, "/login/otp?problem=over")
	b.wantSignedIn(false)

	// The password is good for half an hour at most, and no code is sent that would be worth less than it says.
	b = w.first(t)
	for range 2 {
		w.advance(tenMinutes - time.Second)
		code = ask(b)
	}
	w.advance(3 * time.Second)
	b.post("/login/otp/mail").wantTo(t, "/login/otp?problem=over")
	w.advance(tenMinutes - 4*time.Second)
	b.post("/login/otp/code/mail", "code", code).wantTo(t, "/")

	// Who asks for nothing has ten minutes.
	b = w.first(t)
	w.advance(tenMinutes)
	b.post("/login/otp/mail").wantTo(t, "/login/otp?problem=over")
}

// A new code takes the place of the old, not sooner than after half a minute, and not more than ten an hour.
func TestCodeIsSentAgainWithPatience(t *testing.T) {
	w := enrolled(t)
	b, old := w.asked(t)
	tooSoon := func(b *browser, shown, header string) {
		t.Helper()
		p := b.post("/login/otp/mail")
		p.want(t, http.StatusTooManyRequests, "Un code vient déjà d’être envoyé.", "un autre dans\u00a0:", shown, `name="code"`)
		if got := p.header.Get("Retry-After"); got != header {
			t.Errorf("Retry-After = %q, want %q", got, header)
		}
	}
	tooSoon(b, "30\u00a0s.", "30")
	w.advance(29 * time.Second)
	tooSoon(b, "1\u00a0s.", "1")
	w.advance(time.Second)
	b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	code := w.mailed(t)
	b.post("/login/otp/code/mail", "code", old).want(t, http.StatusUnprocessableEntity, textWrongCode)
	b.post("/login/otp/code/mail", "code", code).wantTo(t, "/")
	for range 8 {
		w.advance(30 * time.Second)
		w.first(t).post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	}
	w.advance(30 * time.Second)
	// Five minutes after the first of ten: the next one is an hour after it.
	p := w.first(t).post("/login/otp/mail")
	p.want(t, http.StatusTooManyRequests, "55\u00a0min")
	if got := p.header.Get("Retry-After"); got != "3300" {
		t.Errorf("Retry-After = %q, want 3300 s", got)
	}
}

// An address that was changed since is no longer the person's: a code that went to the old one opens nothing.
func TestD1CodeToAnAddressOfBeforeIsWorthNothing(t *testing.T) {
	w := enrolled(t)
	b, code := w.asked(t)
	if err := w.store.SetAddress(t.Context(), w.account(t).Subject, "jeanne@example.org", w.now()); err != nil {
		t.Fatal(err)
	}
	b.post("/login/otp/code/mail", "code", code).want(t, http.StatusUnprocessableEntity)
	b.wantSignedIn(false)
}

// D16: that the mail server is slow, or down, is in no answer; the message goes when it can.
func TestD16AnswerDoesNotWaitForTheMailServer(t *testing.T) {
	w := enrolled(t)
	w.told(t, "Un moyen de connexion a été ajouté")
	w.mail.FallSilent()
	b := w.first(t)
	b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	b.get("/login/otp/code?way=mail").want(t, http.StatusOK, `name="code"`)
	w.mail.AwaitSilence(t) // it has the message, and has not answered yet
	w.mail.Speak()         // and asks for patience
	for end := time.Now().Add(time.Minute); !strings.Contains(w.log.String(), "mail not sent yet"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the message is not put off")
		}
	}
	w.advance(time.Minute) // longer than the first delay
	b.post("/login/otp/code/mail", "code", w.mailed(t)).wantTo(t, "/")
}

// The database has no code in it that somebody who reads it could use.
func TestMailedCodeIsNotInTheDatabase(t *testing.T) {
	w := enrolled(t)
	b, code := w.asked(t)
	kept, err := w.store.CodeOf(t.Context(), store.ForLogin, w.account(t).Subject, b.login().ID())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(kept.MAC, strings.ReplaceAll(code, " ", "")) || !strings.HasPrefix(kept.MAC, "1.k1.") || kept.Tries != 5 {
		t.Errorf("kept = %+v, want a keyed hash with five tries", kept)
	}
	b.post("/login/otp/code/mail", "code", code).wantTo(t, "/")
	if kept, err = w.store.CodeOf(t.Context(), store.ForLogin, kept.Subject, kept.Holder); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of a code that was used is kept %+v, %v", kept, err)
	}
}
