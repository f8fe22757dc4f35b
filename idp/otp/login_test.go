package otp_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/otp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// ways are the second factors, each with how a person who has it gives one.
var ways = map[string]func(t *testing.T, w *world) (give func(b *browser) page){
	"totp": func(t *testing.T, w *world) func(*browser) page {
		k := w.addApp(t, "Téléphone")
		return func(b *browser) page { return b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())) }
	},
	"mail": func(t *testing.T, w *world) func(*browser) page {
		return func(b *browser) page {
			b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
			return b.post("/login/otp/code/mail", "code", w.mailed(t))
		}
	},
	"recovery": func(t *testing.T, w *world) func(*browser) page {
		codes := w.addSheet(t)
		return func(b *browser) page { return b.post("/login/otp/code/recovery", "code", strings.ToLower(codes[3])) }
	},
}

func TestPersonSignsInWithPasswordAndEachSecondFactor(t *testing.T) {
	for way, has := range ways {
		t.Run(way, func(t *testing.T) {
			w := enrolled(t)
			give := has(t, w)
			b := w.browser(t)
			b.post("/login/otp").wantTo(t, "/login/otp")
			b.get("/login/otp").want(t, http.StatusOK, `action="/login/otp/password"`)
			b.post("/login/otp/password", "identifier", rpps, "password", secret).wantTo(t, "/login/otp/code")
			b.get("/login/otp/code?way="+way).want(t, http.StatusOK, "Seconde étape sur deux")
			b.wantSignedIn(false)
			give(b).wantTo(t, "/")
			v, ok := b.session()
			// RFC 8176: a password, a one-time code, and so several factors.
			if !ok || v.Method != "otp" || v.ACR != idp.ACRTwoFactor || !slices.Equal(v.AMR, []string{"pwd", "otp", "mfa"}) || !v.AuthTime.Equal(w.now()) {
				t.Errorf("session = %+v, want one of two factors", v)
			}
			e := w.events(t, audit.LoginSucceeded)
			if last := e[len(e)-1]; last.Method != "otp" || last.ACR != idp.ACRTwoFactor || last.Subject != w.account(t).Subject {
				t.Errorf("audit = %+v", last)
			}
		})
	}
}

func TestPageShowsTheWaysThatThePersonHas(t *testing.T) {
	w := enrolled(t)
	b := w.first(t)
	b.get("/login/otp/code").want(t, http.StatusOK, "Recevoir un code", "j…@example.fr") // the only one is chosen
	w.addApp(t, "Téléphone")
	w.addSheet(t)
	p := b.get("/login/otp/code")
	p.want(t, http.StatusOK, "Comment voulez-vous prouver", "/login/otp/code?way=totp", "/login/otp/code?way=mail", "/login/otp/code?way=recovery")
	if strings.Contains(p.body, `name="code"`) {
		t.Error("there is a field before the person has chosen")
	}
	p = b.get("/login/otp/code?way=recovery")
	if !strings.Contains(p.body, `action="/login/otp/code/recovery"`) || strings.Contains(p.body, "?way=recovery") || !strings.Contains(p.body, "?way=totp") {
		t.Error("the chosen way does not have its field and the others beside it")
	}
	// What was switched off is neither shown nor taken.
	w.config.Recovery, w.config.MailCode = false, false
	w.serve(t)
	b = w.first(t)
	if p := b.get("/login/otp/code"); !strings.Contains(p.body, `action="/login/otp/code/totp"`) || strings.Contains(p.body, "way=") {
		t.Error("what was switched off is shown")
	}
	b.post("/login/otp/mail").want(t, http.StatusNotFound)
	b.post("/login/otp/code/recovery", "code", "34679ACEFG").want(t, http.StatusNotFound)
	b.get("/account/recovery").want(t, http.StatusNotFound)
}

// Who gave a wrong code is told what to do with that kind of code; who has a password or a sheet is offered another, and not a first one.
func TestPersonIsToldWhatToDoNext(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	codes := w.addSheet(t)
	b := w.first(t)
	b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	for way, tt := range map[string]struct{ code, want string }{
		"totp":     {off(oathtool(t, k, w.now())), textWrongCode + " Attendez que l’application montre le suivant."},
		"mail":     {off(w.mailed(t)), textWrongCode + " Recopiez celui du dernier message reçu."},
		"recovery": {off(codes[0]), textWrongCode + " Prenez-en un autre sur la feuille."},
	} {
		b.post("/login/otp/code/"+way, "code", tt.code).want(t, http.StatusUnprocessableEntity, tt.want)
	}
	const change, remake = "Changer de mot de passe", "Refaire la feuille de codes de secours"
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
	b.get("/account").want(t, http.StatusOK, change, remake, "Ajouter une application de codes")
	w.remove(t, store.Password)
	if p := b.get("/account"); strings.Contains(p.body, change) || !strings.Contains(p.body, "Choisir un mot de passe") {
		t.Error("who has no password is offered to change it")
	}
}

// D5: whatever a browser does between the factors, the first stays given and the second stays needed.
func TestD5RestartBackReloadAndOtherWaysSkipNothing(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	b := w.first(t)
	for _, path := range []string{
		"/login/otp/code", "/login/otp/code", "/login/otp/code?way=mail", "/login/otp/code?way=totp", "/login/otp", "/login", "/login/otp/code?way=nothing",
		"/login/otp/code?way=none", "/login/otp/code?way=skip", "/login/otp/code?way=password", "/login/otp/code?way=", "/login/otp/code?way=totp&way=mail",
	} {
		b.get(path).want(t, http.StatusOK)
	}
	b.post("/login/otp").wantTo(t, "/login/otp")
	b.post("/login/otp/password", "identifier", rpps, "password", another).want(t, http.StatusUnprocessableEntity, textWrongPassword)
	b.post("/login/otp/code/totp", "code", "123").want(t, http.StatusUnprocessableEntity)
	b.wantSignedIn(false)
	b.get("/").wantTo(t, "/login")
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/") // the first factor was not lost
	b.wantSignedIn(true)
}

// D5: a login that is finished, or late, is over: what follows begins with the password.
func TestD5LoginIsGoodOnceAndForTenMinutes(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	b := w.first(t)
	before := b.cookies()
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
	w.advance(time.Minute)
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/login/otp?problem=over")
	copied := w.browser(t) // who has read the cookie of the login meanwhile
	copied.send(http.MethodGet, "/login/otp/code", nil, "Cookie", before).wantTo(t, "/login/otp?problem=over")
	form := url.Values{"code": {oathtool(t, k, w.now())}}
	copied.send(http.MethodPost, "/login/otp/code/totp", form, "Cookie", before).wantTo(t, "/login/otp?problem=over")
	copied.wantSignedIn(false)

	b = w.first(t)
	w.advance(10*time.Minute + time.Second)
	b.get("/login/otp/code").wantTo(t, "/login/otp?problem=over")
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/login/otp?problem=over")
	b.get("/login/otp?problem=over").want(t, http.StatusOK, "Cette connexion n’est plus valable")
	b.wantSignedIn(false)
}

// D8: a form without its fields, with one twice, or with nothing in it completes nothing, and costs no try.
func TestD8EmptyFormsCompleteNothing(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	w.addSheet(t)
	b := w.browser(t)
	for _, fields := range [][]string{
		nil, {"identifier", rpps}, {"password", secret}, {"identifier", "", "password", ""}, {"identifier", rpps, "password", ""}, {"identifier", "", "password", secret},
	} {
		b.post("/login/otp/password", fields...).want(t, http.StatusUnprocessableEntity, "Donnez votre identifiant et votre mot de passe.")
	}
	b.post("/login/otp/password", "identifier", rpps, "identifier", rpps, "password", secret).want(t, http.StatusBadRequest)
	b.post("/login/otp/password", "identifier", rpps, "password", secret, "password", secret).want(t, http.StatusBadRequest)
	b.get("/login/otp/code").wantTo(t, "/login/otp?problem=over")

	b = w.first(t)
	for range 3 { // more in all than a login has tries
		for _, way := range []string{"totp", "mail", "recovery"} {
			for _, fields := range [][]string{nil, {"code", ""}, {"code", "   "}, {"code", "null"}, {"code", "0"}, {"subject", "x", "way", "totp"}} {
				b.post("/login/otp/code/"+way, fields...).want(t, http.StatusUnprocessableEntity)
			}
			b.post("/login/otp/code/"+way, "code", "1", "code", "2").want(t, http.StatusBadRequest)
		}
	}
	for _, way := range []string{"", "x", "password", "card"} {
		b.post("/login/otp/code/"+way, "code", "123456").want(t, http.StatusNotFound)
	}
	b.wantSignedIn(false)
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
}

// D10: there is no other door. Each address of the method, without the first factor or with that of another browser or of another
// method, leads back to the beginning; and a password in a header opens nothing.
func TestD10NoDoorWithoutTheFirstFactor(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	codes := w.addSheet(t)
	first := w.first(t)
	first.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	mailed := w.mailed(t)
	for name, b := range map[string]*browser{"a new browser": w.browser(t), "one with a login of another person": w.stranger(t)} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			for way, code := range map[string]string{"totp": oathtool(t, k, w.now()), "mail": mailed, "recovery": codes[0]} {
				b.post("/login/otp/code/"+way, "code", code, "subject", w.account(t).Subject, "identifier", rpps)
			}
			const basic = "Basic ODk5NzAwMjE4ODk2OmNvcnJlY3QgaG9yc2UgYmF0dGVyeSBzdGFwbGU="
			for _, path := range []string{"/", "/account", "/login/otp", "/login/otp/code", "/login/otp/password", "/login/otp/mail", "/login/otp/code/totp"} {
				b.send(http.MethodGet, path, nil, "Authorization", basic)
				b.send(http.MethodPost, path, nil, "Authorization", basic)
			}
			b.wantSignedIn(false)
		})
	}
	first.post("/login/otp/code/mail", "code", mailed).wantTo(t, "/")
}

// stranger is the browser of another person who has given a first factor.
func (w *world) stranger(t testing.TB) *browser {
	t.Helper()
	w.add(t, store.Entry{IDType: "RPPS", NationalID: "810100000002", GivenName: "PAUL", FamilyName: "DURAND", Address: "paul@example.org", State: "active"})
	b := w.browser(t)
	b.post("/login/card", "id", "810100000002").wantTo(t, "/")
	b.post("/account/password", "password", another, "again", another).wantTo(t, "/account?done=password_set")
	b = w.browser(t)
	b.post("/login/otp/password", "identifier", "810100000002", "password", another).wantTo(t, "/login/otp/code")
	return b
}

// D10: a login of another method is none of this one, though it is in the same table, for the same browser.
func TestD10LoginOfAnotherMethodIsNoFirstFactor(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	b := w.first(t)
	mine := b.login()
	if err := w.store.Sweep(t.Context(), w.now().Add(time.Hour)); err != nil { // forgets the login, and not the cookie
		t.Fatal(err)
	}
	handle, _ := token.Of(token.Handle, token.New())
	mine.Method = "card"
	if err := w.store.CreateLogin(t.Context(), handle, mine, w.now()); err != nil {
		t.Fatal(err)
	}
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/login/otp?problem=over")
	b.wantSignedIn(false)
}

// D14: a disabled account is refused as an unknown one before the password, and at every later step.
func TestD14DisabledAccountIsRefusedAtEachStep(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	between := w.first(t)
	w.disable(t)
	w.browser(t).post("/login/otp/password", "identifier", rpps, "password", secret).want(t, http.StatusUnprocessableEntity, textWrongPassword)
	w.wantRefusal(t, "account_disabled")
	between.get("/login/otp/code").wantTo(t, "/login/otp?problem=over")
	between.post("/login/otp/mail").wantTo(t, "/login/otp?problem=over")
	between.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/login/otp?problem=over")
	between.wantSignedIn(false)
}

func (w *world) disable(t testing.TB) {
	t.Helper()
	if _, err := w.store.DisableAccount(t.Context(), w.account(t).Subject, w.now()); err != nil {
		t.Fatal(err)
	}
}

// A password alone opens nothing, and who has nothing else is told what to do.
func TestPersonWithoutASecondFactorIsToldWhatToDo(t *testing.T) {
	w := newWorldWith(t, func(c *otp.Config) { c.MailCode = false })
	w.setPassword(t)
	b := w.browser(t)
	b.post("/login/otp/password", "identifier", rpps, "password", secret).want(t, http.StatusForbidden, "Il manque un second moyen", "Connectez-vous avec votre carte")
	w.wantRefusal(t, "no_second_factor")
	b.get("/login/otp/code").wantTo(t, "/login/otp?problem=over")
	b.wantSignedIn(false)
}

// D13: the level is the least of what was proved and of the logins that enrolled it; an unknown one opens nothing that asks for a level.
func TestD13LevelIsTheLowestOfTheFactors(t *testing.T) {
	for _, tt := range []struct{ name, password, app, want string }{
		{"enrolled with two factors", idp.ACRTwoFactor, idp.ACRTwoFactor, idp.ACRTwoFactor},
		{"a card's level is not that of a password", idp.ACRHardware, idp.ACRHardware, idp.ACRTwoFactor},
		{"the password's level is unknown", "urn:else", idp.ACRTwoFactor, "urn:else"},
		{"the app's level is unknown", idp.ACRTwoFactor, "urn:else", "urn:else"},
		{"no level", "", idp.ACRTwoFactor, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := enrolled(t)
			k := w.addApp(t, "")
			w.relevel(t, store.Password, tt.password)
			w.relevel(t, store.TOTP, tt.app)
			b := w.first(t)
			b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
			if v, _ := b.session(); v.ACR != tt.want {
				t.Errorf("level = %q, want %q", v.ACR, tt.want)
			}
		})
	}
}

// relevel writes the person's factor of a kind again, with another level.
func (w *world) relevel(t testing.TB, kind store.FactorKind, acr string) {
	t.Helper()
	f := w.factors(t, kind)[0]
	if err := w.store.RemoveFactor(t.Context(), f.Subject, f.ID); err != nil {
		t.Fatal(err)
	}
	f.ACR = acr
	if ok, err := w.store.AddFactor(t.Context(), f, nil, 5); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

// What a person typed is in no log and no audit event: a password may well be in the wrong field.
func TestNothingTypedIsInLogsOrAudit(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "Téléphone de garde")
	codes := w.addSheet(t)
	b := w.first(t)
	b.post("/login/otp/mail").wantTo(t, "/login/otp/code?way=mail")
	mailed := w.mailed(t)
	b.post("/login/otp/password", "identifier", "typed-"+secret, "password", secret)
	b.post("/login/otp/password", "identifier", rpps, "password", another)
	b.post("/login/otp/code/mail", "code", off(mailed))
	b.post("/login/otp/code/recovery", "code", off(codes[0]))
	code := oathtool(t, k, w.now())
	b.post("/login/otp/code/totp", "code", code).wantTo(t, "/")
	all := w.log.String() + w.audit.String()
	for _, typed := range []string{
		secret, another, rpps, name, box, home, mailed, strings.ReplaceAll(mailed, " ", ""), code, codes[0], off(codes[0]), k, "Téléphone de garde", "typed-",
	} {
		if strings.Contains(strings.ToLower(all), strings.ToLower(typed)) {
			t.Errorf("%q is in a log or the audit", typed)
		}
	}
	var reasons []string
	for _, e := range w.events(t, audit.LoginRefused) {
		reasons = append(reasons, e.Reason+" "+e.Factor)
	}
	if want := []string{"unknown_identifier password", "wrong_password password", "wrong_code ", "wrong_code recovery"}; !slices.Equal(reasons, want) {
		t.Errorf("refusals = %q, want %q", reasons, want)
	}
}
