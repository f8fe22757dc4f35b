package idp_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	mails "promess/authgw/internal/mail"
	"promess/authgw/internal/mailtest"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
)

const (
	registerURL = auth + "/account/register"
	addressURL  = auth + "/account/address"
	home        = "jeanne.martin@example.fr"
)

// mailPKI has the machine's clock, which TLS to the mail server goes by.
var mailPKI = sync.OnceValues(func() (*testpki.PKI, error) { return testpki.New(testpki.Config{CardsOnly: true}) })

// postWorld is a world that sends messages.
type postWorld struct {
	*world
	server *mailtest.Server
}

func newPostWorld(t *testing.T) *postWorld {
	t.Helper()
	return newPostWorldOn(t, sqlite())
}

func newPostWorldOn(t *testing.T, e engine) *postWorld {
	t.Helper()
	pki, err := mailPKI()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pki.ServerCertificate("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	server := mailtest.Start(t, mailtest.Config{Certificate: cert})
	secret := make([]byte, 32)
	rand.Read(secret)
	keys, err := seal.Parse([]byte("k1 " + base64.StdEncoding.EncodeToString(secret)))
	if err != nil {
		t.Fatal(err)
	}
	return &postWorld{server: server, world: newWorldOn(t, e, func(c *idp.Config) {
		sender, err := mails.New(mails.Config{
			Host: "127.0.0.1", Port: server.Port, Roots: pki.ServerRoots(), Timeout: 10 * time.Second, From: "no-reply@example.test", Product: "ProMess",
			Origin: auth, Now: c.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		post := outbox.New(outbox.Config{Store: c.Store, Log: c.Log, Now: c.Now})
		post.Use(sender, keys, []string{"mssante.fr"})
		run(t, post.Run)
		c.Registration = &idp.Registration{Mail: sender, Outbox: post, Keys: keys, Protected: []string{"mssante.fr"}, AtFirstLogin: true}
	})}
}

// run runs something until the test ends.
func run(t *testing.T, do func(context.Context)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// form sends a form of the host's own page.
func (b *browser) form(address string, fields ...string) page {
	b.t.Helper()
	values := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	return b.send(http.MethodPost, address, strings.NewReader(values.Encode()), "Sec-Fetch-Site", "same-origin", "Content-Type", "application/x-www-form-urlencoded")
}

// code reads the code of the n-th message.
func (w *postWorld) code(t *testing.T, n int) string {
	t.Helper()
	code := regexp.MustCompile(`\b[0-9]{4} [0-9]{4}\b`).FindString(w.server.Await(t, n).Text)
	if code == "" {
		t.Fatal("the message has no code")
	}
	return code
}

// wrong is a code that is not that of the n-th message.
func (w *postWorld) wrong(t *testing.T, n int) string {
	t.Helper()
	code := []byte(w.code(t, n))
	code[0] = '0' + (code[0]-'0'+1)%10
	return string(code)
}

// address is what is recorded of the person.
func (w *postWorld) account(t *testing.T) store.Account {
	t.Helper()
	a, err := w.store.AccountByNationalID(context.Background(), "RPPS", "899700218896")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (w *postWorld) wantAddress(t *testing.T, want string) {
	t.Helper()
	if got := w.account(t).Address; got != want {
		t.Errorf("recorded address %q, want %q", got, want)
	}
}

// asked signs a person in and has a code sent to an address.
func (w *postWorld) asked(t *testing.T, address string) *browser {
	t.Helper()
	b := w.browser(t)
	b.logIn()
	b.wantTo(b.form(registerURL, "address", address), registerURL+"/code")
	return b
}

// wantTo wants a page to send the browser somewhere.
func (b *browser) wantTo(p page, address string) {
	b.t.Helper()
	if p.status != http.StatusSeeOther || p.location != address {
		b.t.Fatalf("page = %d to %q, want a redirect to %q:\n%.400s", p.status, p.location, address, p.body)
	}
}

// Texts of the French catalogue.
const (
	textWrong     = "Ce code n’est pas le bon"
	textExpired   = "Ce code n’est plus valable"
	textMalformed = "n’a pas la forme d’une adresse e-mail"
	textProtected = "Cette adresse est protégée par ce service"
	textUnsent    = "Le message n’a pas pu être envoyé"
	textTooSoon   = "Un code vient déjà d’être envoyé"
	textResent    = "Un nouveau code vient d’être envoyé"
)

func TestFirstLoginAsksForAnAddressAndGoesOn(t *testing.T) {
	each(t, testFirstLoginAsksForAnAddressAndGoesOn)
}

func testFirstLoginAsksForAnAddressAndGoesOn(t *testing.T, e engine) {
	w := newPostWorldOn(t, e)
	b := w.browser(t)
	b.follow(b.get(mail + "/inbox?folder=2"))
	p := b.post(auth + "/login/card")
	b.wantTo(p, registerURL)
	if p := b.get(registerURL); p.status != http.StatusOK || !strings.Contains(p.body, "JEANNE MARTIN") {
		t.Fatalf("register = %d %.200s", p.status, p.body)
	}
	b.wantTo(b.form(registerURL, "address", "  Jeanne.Martin@Example.FR "), registerURL+"/code")
	m := w.server.Await(t, 1)
	if m.To != "Jeanne.Martin@example.fr" {
		t.Errorf("sent to %q (D17)", m.To)
	}
	if !strings.Contains(m.Text, "127.0.0.1") || !strings.Contains(m.Text, auth) {
		t.Errorf("the message does not say from where and for what:\n%s", m.Text)
	}
	if p := b.get(registerURL + "/code"); p.status != http.StatusOK || !strings.Contains(p.body, "J…@example.fr") || strings.Contains(p.body, "Jeanne.Martin@") {
		t.Errorf("the page of the code = %d, want the address masked", p.status)
	}
	b.wantTo(b.form(registerURL+"/code", "code", w.code(t, 1)), registerURL+"/done")
	p = b.get(registerURL + "/done")
	p.body = strings.ReplaceAll(p.body, "<wbr>", "") // where a narrow screen may break a line
	for _, text := range []string{"Jeanne.Martin@example.fr", "899700218896", "JEANNE MARTIN", "Médecin", registerURL[len(auth):] + "/continue"} {
		if !strings.Contains(p.body, text) {
			t.Errorf("what was recorded is shown without %q", text)
		}
	}
	if !w.account(t).Registered.IsZero() {
		t.Error("registered before the person went on")
	}
	last, at := b.follow(b.get(registerURL + "/continue"))
	if last.status != http.StatusOK || at != mail+"/inbox?folder=2" || last.body != "the service" {
		t.Errorf("went on to %q: %d, want the page that was asked for", at, last.status)
	}
	w.wantAddress(t, "Jeanne.Martin@example.fr")
	if !w.account(t).Registered.Equal(start()) {
		t.Errorf("registered at %v, want %v", w.account(t).Registered, start())
	}
	changed := w.events(t, audit.AddressChanged)
	if len(changed) != 1 || changed[0].Outcome != "success" || changed[0].Subject != w.account(t).Subject || changed[0].Source != "127.0.0.1" {
		t.Errorf("events %+v, want one change", changed)
	}
	if text := w.log.String() + w.audit.String(); strings.Contains(strings.ToLower(text), "jeanne.martin@") || strings.Contains(text, w.code(t, 1)) {
		t.Error("an address or a code is in the log or the audit")
	}
	// Never again.
	other := w.browser(t)
	other.wantTo(other.post(auth+"/login/card"), auth+"/")
	other.wantTo(other.get(registerURL), auth+"/")
}

func TestWithoutMailNobodyIsAsked(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.wantTo(b.post(auth+"/login/card"), auth+"/")
	if p := b.get(registerURL); p.status != http.StatusNotFound {
		t.Errorf("register = %d, want 404", p.status)
	}
}

func TestLaterGoesOnAndAsksAtTheNextLogin(t *testing.T) {
	w := newPostWorld(t)
	b := w.browser(t)
	b.follow(b.get(mail + "/inbox"))
	b.wantTo(b.post(auth+"/login/card"), registerURL)
	if _, at := b.follow(b.form(registerURL + "/later")); at != mail+"/inbox" {
		t.Errorf("later leads to %q, want the service", at)
	}
	// The same session is not asked on its way to another service.
	if _, at := b.follow(b.get(agenda + "/day")); at != agenda+"/day" {
		t.Errorf("another service leads to %q", at)
	}
	w.wantAddress(t, "")
	if !w.account(t).Registered.IsZero() {
		t.Error("registered without an address")
	}
	next := w.browser(t)
	next.wantTo(next.post(auth+"/login/card"), registerURL)
}

func TestInscriptionThatWasLeftIsTakenUp(t *testing.T) {
	w := newPostWorld(t)
	b := w.asked(t, home)
	b.wantTo(b.form(registerURL+"/code", "code", w.code(t, 1)), registerURL+"/done")
	next := w.browser(t) // the first one was closed there
	next.wantTo(next.post(auth+"/login/card"), registerURL)
	next.wantTo(next.get(registerURL), registerURL+"/done")
	next.wantTo(next.get(registerURL+"/continue"), auth+"/")
}

// Lessons D2 and F8: a code must not go to a mailbox that the same login opens, and an address has one @.
func TestD2F8AddressesThatAreRefused(t *testing.T) {
	w := newPostWorld(t)
	b := w.browser(t)
	b.logIn()
	plan, err := w.store.PlanImport(t.Context(), []store.Entry{{
		IDType: "RPPS", NationalID: "899700218896", GivenName: "JEANNE", FamilyName: "MARTIN", Nominative: []string{"jeanne@Cabinet-Martin.example"},
	}})
	if err == nil {
		err = w.store.Import(t.Context(), plan, w.now, func([]store.Imported) error { return nil })
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ address, text string }{
		{"jeanne@mssante.fr", textProtected},
		{"jeanne@MSSANTE.FR", textProtected},
		{"jeanne@cabinet.mssante.fr", textProtected},
		{"jeanne@cabinet-martin.example", textProtected},
		{"other@sub.cabinet-martin.example", textProtected},
		{"jeanne@example.fr@mssante.fr", textMalformed},
		{"jeanne@example.fr,x@mssante.fr", textMalformed},
		{"jeanne@example.fr\r\nBcc: x@example.org", textMalformed},
		{"jeanne", textMalformed},
		{"jeanne@mssante.fr.", textMalformed},
		{"<script>@example.fr", textMalformed},
	} {
		p := b.form(registerURL, "address", tt.address)
		p.wantError(t, http.StatusUnprocessableEntity, tt.text)
		if strings.Contains(p.body, "<script>@") {
			t.Error("what was typed is markup on the page")
		}
	}
	if n := w.server.Count(); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	// Neighbours in the alphabet are others.
	b.wantTo(b.form(registerURL, "address", "jeanne@notmssante.fr"), registerURL+"/code")
}

// Lessons D8 and D12: only the right code in the last step records an address.
func TestD8D12NothingElseCompletesAStep(t *testing.T) { each(t, testD8D12NothingElseCompletesAStep) }

func testD8D12NothingElseCompletesAStep(t *testing.T, e engine) {
	w := newPostWorldOn(t, e)
	b := w.browser(t)
	b.logIn()
	b.wantTo(b.form(registerURL), registerURL)
	b.wantTo(b.form(registerURL, "address", " "), registerURL)
	b.wantTo(b.form(registerURL+"/code", "code", "12345678"), registerURL) // there is none yet
	b.wantTo(b.get(registerURL+"/done"), registerURL)
	b.wantTo(b.get(registerURL+"/continue"), registerURL)
	b.form(registerURL, "address", home, "address", "other@example.fr").wantError(t, http.StatusBadRequest, "")

	// Nor does saying that it is proved, which is what CVE-2026-27946 of others was.
	claims := []string{"verified", "true", "isVerified", "true", "email_verified", "true", "code", "", "proved", home}
	b.wantTo(b.form(registerURL+"?verified=true", append(claims, "address", home)...), registerURL+"/code")
	w.wantAddress(t, "")
	right := w.code(t, 1)
	for _, fields := range [][]string{
		nil, {"code", ""}, {"code", " "}, {"code", "0"}, {"code", right + "0"}, {"code", "１２３４５６７８"}, {"code", "-1234567"}, {"code", strings.ReplaceAll(right, " ", "_")},
		{"address", home}, {"verified", "true"},
	} {
		b.form(registerURL+"/code", fields...).wantError(t, http.StatusUnprocessableEntity, textWrong)
	}
	b.form(registerURL+"/code", "code", right, "code", right).wantError(t, http.StatusBadRequest, "")
	if p := b.get(registerURL + "/code?code=" + strings.ReplaceAll(right, " ", "")); p.location != "" {
		t.Error("a code in an address is taken")
	}
	b.wantTo(b.get(registerURL+"/continue"), registerURL)
	w.wantAddress(t, "")
	// None of these cost a try; and the code proves the address that it went to.
	claims = []string{"address", "other@example.fr", "email", "other@example.fr", "verified", "true", "code", " " + strings.ReplaceAll(right, " ", "  ") + "\t"}
	b.wantTo(b.form(registerURL+"/code?address=other@example.fr", claims...), registerURL+"/done")
	w.wantAddress(t, home)
}

// Lesson D3.
func TestD3CodeIsBurntAfterFiveTries(t *testing.T) { each(t, testD3CodeIsBurntAfterFiveTries) }

func testD3CodeIsBurntAfterFiveTries(t *testing.T, e engine) {
	w := newPostWorldOn(t, e)
	b := w.asked(t, home)
	for left := 4; left >= 1; left-- {
		p := b.form(registerURL+"/code", "code", w.wrong(t, 1))
		p.wantError(t, http.StatusUnprocessableEntity, textWrong)
		say := fmt.Sprintf("Il vous reste %d essais.", left)
		if left == 1 {
			say = "Il vous reste un seul essai."
		}
		if !strings.Contains(p.body, say) {
			t.Errorf("the page does not say %q", say)
		}
	}
	b.form(registerURL+"/code", "code", w.wrong(t, 1)).wantError(t, http.StatusUnprocessableEntity, textExpired)
	b.form(registerURL+"/code", "code", w.code(t, 1)).wantError(t, http.StatusUnprocessableEntity, textExpired)
	w.wantAddress(t, "")
	got := w.events(t, audit.AddressChanged)
	if len(got) != 1 || got[0].Outcome != "refused" || got[0].Reason != "too_many_tries" {
		t.Errorf("events %+v, want one refusal", got)
	}
	// A new one is good.
	w.advance(time.Minute)
	b.form(registerURL+"/resend").wantError(t, http.StatusOK, textResent)
	b.wantTo(b.form(registerURL+"/code", "code", w.code(t, 2)), registerURL+"/done")
}

func TestD3CodeIsGoodForOneSessionTenMinutesAndOneUse(t *testing.T) {
	each(t, testD3CodeIsGoodForOneSessionTenMinutesAndOneUse)
}

func testD3CodeIsGoodForOneSessionTenMinutesAndOneUse(t *testing.T, e engine) {
	t.Run("not in another session of the same person", func(t *testing.T) {
		w := newPostWorldOn(t, e)
		w.asked(t, home)
		other := w.browser(t)
		other.logIn()
		other.wantTo(other.form(registerURL+"/code", "code", w.code(t, 1)), registerURL)
		w.wantAddress(t, "")
	})
	t.Run("not after ten minutes", func(t *testing.T) {
		w := newPostWorldOn(t, e)
		b := w.asked(t, home)
		w.advance(10 * time.Minute)
		if p := b.get(registerURL + "/code"); !strings.Contains(p.body, textExpired) {
			t.Error("the page does not say that the code is late")
		}
		b.form(registerURL+"/code", "code", w.code(t, 1)).wantError(t, http.StatusUnprocessableEntity, textExpired)
		w.wantAddress(t, "")
	})
	t.Run("not after another was sent", func(t *testing.T) {
		w := newPostWorldOn(t, e)
		b := w.asked(t, home)
		w.advance(30 * time.Second)
		b.form(registerURL+"/resend").wantError(t, http.StatusOK, textResent)
		w.code(t, 2)
		b.form(registerURL+"/code", "code", w.code(t, 1)).wantError(t, http.StatusUnprocessableEntity, textWrong)
	})
	t.Run("not without a session", func(t *testing.T) {
		w := newPostWorldOn(t, e)
		w.asked(t, home)
		stranger := w.browser(t)
		stranger.wantTo(stranger.form(registerURL+"/code", "code", w.code(t, 1)), auth+"/login")
		stranger.wantTo(stranger.form(registerURL, "address", "x@example.org"), auth+"/login")
		w.wantAddress(t, "")
	})
	t.Run("once, when two press at once", func(t *testing.T) {
		w := newPostWorldOn(t, e)
		b := w.asked(t, home)
		code := w.code(t, 1)
		results := make(chan string, 5)
		for range cap(results) {
			go func() { results <- b.form(registerURL+"/code", "code", code).location }()
		}
		won := 0
		for range cap(results) {
			if <-results == registerURL+"/done" {
				won++
			}
		}
		if won == 0 {
			t.Error("nobody proved the address")
		}
		w.wantAddress(t, home)
	})
}

// Lesson D1: a code goes to the address of the record. What a request says besides changes nothing.
func TestD1ResendGoesToTheRecordedAddress(t *testing.T) {
	w := newPostWorld(t)
	b := w.asked(t, home)
	w.advance(time.Minute)
	b.form(registerURL+"/resend", "address", "thief@example.org", "to", "thief@example.org")
	if m := w.server.Await(t, 2); m.To != home {
		t.Errorf("sent to %q, want %q", m.To, home)
	}
	// Nor does the code of one address prove another.
	w.advance(time.Minute)
	b.wantTo(b.form(registerURL, "address", "thief@example.org"), registerURL+"/code")
	b.form(registerURL+"/code", "code", w.code(t, 2), "address", home).wantError(t, http.StatusUnprocessableEntity, textWrong)
	w.wantAddress(t, "")
}

func TestMessagesAreFew(t *testing.T) { each(t, testMessagesAreFew) }

func testMessagesAreFew(t *testing.T, e engine) {
	w := newPostWorldOn(t, e)
	b := w.asked(t, home)
	b.form(registerURL+"/resend").wantError(t, http.StatusTooManyRequests, textTooSoon)
	b.form(registerURL, "address", "victim@example.org").wantError(t, http.StatusTooManyRequests, textTooSoon)
	other := w.browser(t) // of the same person: the limit is the account's
	other.logIn()
	other.form(registerURL, "address", "victim@example.org").wantError(t, http.StatusTooManyRequests, textTooSoon)
	if n := w.server.Count(); n != 1 {
		t.Fatalf("%d messages, want 1", n)
	}
	for n := 2; n <= 10; n++ {
		w.advance(30 * time.Second)
		b.form(registerURL+"/resend").wantError(t, http.StatusOK, textResent)
	}
	w.advance(30 * time.Second)
	b.form(registerURL+"/resend").wantError(t, http.StatusTooManyRequests, textTooSoon) // the eleventh in an hour
}

func TestMessageThatCannotBeSent(t *testing.T) {
	t.Parallel() // it waits
	for _, tt := range []struct {
		name  string
		spoil func(*postWorld)
	}{
		{"the recipient is refused", func(w *postWorld) { w.server.Refuse(home) }},
		{"the server takes it and says nothing", func(w *postWorld) { w.server.FallSilent() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newPostWorld(t)
			tt.spoil(w)
			b := w.browser(t)
			b.logIn()
			p := b.form(registerURL, "address", home)
			p.wantError(t, http.StatusServiceUnavailable, textUnsent)
			if !strings.Contains(p.body, home) {
				t.Error("what was typed is lost")
			}
			if text := w.log.String(); !strings.Contains(text, "address code not sent") || strings.Contains(text, home) {
				t.Errorf("the log says nothing, or the address:\n%s", text)
			}
			b.wantTo(b.get(registerURL+"/code"), registerURL)
			// The person goes on without, and can try again at once.
			w.server.Speak()
			b.wantTo(b.form(registerURL, "address", "other@example.fr"), registerURL+"/code")
			b.wantTo(b.form(registerURL+"/later"), auth+"/")
		})
	}
}

// Lesson D7.
func TestD7OtherSitesCannotPost(t *testing.T) {
	w := newPostWorld(t)
	b := w.asked(t, home)
	w.advance(time.Minute)
	for _, path := range []string{registerURL, registerURL + "/code", registerURL + "/resend", registerURL + "/later", addressURL, addressURL + "/code", addressURL + "/resend"} {
		body := "address=thief%40example.org&code=" + strings.ReplaceAll(w.code(t, 1), " ", "")
		p := b.send(http.MethodPost, path, strings.NewReader(body), "Sec-Fetch-Site", "cross-site", "Content-Type", "application/x-www-form-urlencoded")
		p.wantError(t, http.StatusForbidden, textForbidden)
	}
	w.wantAddress(t, "")
	if n := w.server.Count(); n != 1 {
		t.Errorf("%d messages, want 1", n)
	}
}

func TestNoAddressWithoutItsAuditLine(t *testing.T) { each(t, testNoAddressWithoutItsAuditLine) }

func testNoAddressWithoutItsAuditLine(t *testing.T, e engine) {
	w := newPostWorldOn(t, e)
	b := w.asked(t, home)
	w.audit.breakDown()
	b.form(registerURL+"/code", "code", w.code(t, 1)).wantError(t, http.StatusServiceUnavailable, textUnavailable)
	w.wantAddress(t, "")
}

// changing is a browser of a person with an address.
func (w *postWorld) changing(t *testing.T) *browser {
	t.Helper()
	b := w.asked(t, home)
	b.wantTo(b.form(registerURL+"/code", "code", w.code(t, 1)), registerURL+"/done")
	b.wantTo(b.get(registerURL+"/continue"), auth+"/")
	w.advance(time.Minute)
	return b
}

func TestAddressIsChangedByProvingTheNewOne(t *testing.T) {
	each(t, testAddressIsChangedByProvingTheNewOne)
}

func testAddressIsChangedByProvingTheNewOne(t *testing.T, e engine) {
	w := newPostWorldOn(t, e)
	b := w.changing(t)
	if p := b.get(auth + "/account"); !strings.Contains(p.body, `action="/account/address"`) {
		t.Error("the account page offers no change")
	}
	b.wantTo(b.form(addressURL), addressURL) // the button of the account page
	b.wantTo(b.form(addressURL, "address", "new@example.fr"), addressURL+"/code")
	w.wantAddress(t, home)
	if m := w.server.Await(t, 2); m.To != "new@example.fr" {
		t.Errorf("sent to %q", m.To)
	}
	b.wantTo(b.form(addressURL+"/code", "code", w.code(t, 2)), auth+"/account?done=address_changed")
	w.wantAddress(t, "new@example.fr")
	// Lesson D1: the notice goes to the address that the record had.
	notice := w.server.Await(t, 3)
	if notice.To != home || !strings.Contains(notice.Subject, "Votre adresse e-mail a été remplacée") {
		t.Errorf("the old address got %q, sent to %q", notice.Subject, notice.To)
	}
	if !strings.Contains(notice.Text, "n…@example.fr") || strings.Contains(notice.Text+notice.HTML, "new@example.fr") || !strings.Contains(notice.Text, "127.0.0.1") {
		t.Errorf("the notice does not say what happened, or says more:\n%s", notice.Text)
	}
	b.form(addressURL+"/code", "code", w.code(t, 2))
	if got := w.events(t, audit.AddressChanged); len(got) != 2 {
		t.Errorf("%d changes in the audit, want 2", len(got))
	}
	w.advance(time.Minute)
	b.form(addressURL, "address", "x@sub.mssante.fr").wantError(t, http.StatusUnprocessableEntity, textProtected)
	b.wantTo(b.form(addressURL+"/later"), auth+"/account")
	if text := w.log.String() + w.audit.String(); strings.Contains(text, "new@example.fr") || strings.Contains(text, home) {
		t.Error("an address is in the log or the audit")
	}
}

// The answer waits for the database, and not for a mail server that takes its time.
func TestAddressIsChangedWhileItsNoticeWaits(t *testing.T) {
	w := newPostWorld(t)
	b := w.changing(t)
	b.wantTo(b.form(addressURL, "address", "new@example.fr"), addressURL+"/code")
	code := w.code(t, 2)
	w.server.RefuseWith(home, 451)
	b.wantTo(b.form(addressURL+"/code", "code", code), auth+"/account?done=address_changed")
	w.wantAddress(t, "new@example.fr")
	if n, err := w.store.CountMail(t.Context()); n != 1 || err != nil {
		t.Errorf("%d messages wait, %v, want the notice", n, err)
	}
}

// Lesson D6: nor is an address that somebody has put off added at their workstation when they have left it.
func TestD6FirstAddressNeedsARecentLogin(t *testing.T) {
	w := newPostWorld(t)
	b := w.browser(t)
	b.logIn()
	w.advance(10*time.Minute + time.Second)
	b.wantTo(b.form(registerURL, "address", "thief@example.org"), registerURL)
	b.wantTo(b.get(registerURL), addressURL)
	b.get(addressURL).wantError(t, http.StatusOK, "prouvez d’abord une nouvelle fois qui vous êtes")
	b.wantTo(b.form(addressURL, "address", "thief@example.org"), addressURL)
	if n := w.server.Count(); n != 0 {
		t.Errorf("%d messages, want none", n)
	}

	// Pro Santé Connect may have seen the person hours ago: the login is new.
	proof := martin()
	proof.Time = w.now().Add(-2 * time.Hour)
	w.method.believe(proof)
	b = w.browser(t)
	b.logIn()
	b.wantTo(b.form(registerURL, "address", home), registerURL+"/code")
}

// Lesson D6: codes of later logins go to the address, so changing it asks for a new login.
func TestD6ChangeNeedsARecentLogin(t *testing.T) {
	w := newPostWorld(t)
	b := w.changing(t)
	w.advance(10 * time.Minute)
	p := b.get(addressURL)
	p.wantError(t, http.StatusOK, "prouvez d’abord une nouvelle fois qui vous êtes")
	b.wantTo(b.form(addressURL, "address", "thief@example.org"), addressURL)
	if n := w.server.Count(); n != 1 {
		t.Errorf("%d messages, want 1: none for the change", n)
	}
	proof := martin()
	proof.Time = w.now()
	w.method.believe(proof)
	b.get(addressURL)
	b.wantTo(b.post(auth+"/login/card"), addressURL)
	b.get(addressURL).wantError(t, http.StatusOK, `name="address"`)
	b.wantTo(b.form(addressURL, "address", "new@example.fr"), addressURL+"/code")

	// A level that nothing here knows is not a strong one.
	proof.ACR = "urn:authgw:acr:unknown"
	w.method.believe(proof)
	weak := w.browser(t)
	weak.logIn()
	weak.get(addressURL).wantError(t, http.StatusOK, "prouvez d’abord")
}
