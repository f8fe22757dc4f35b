package otp_test

import (
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/otp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/password"
	"promess/authgw/internal/store"
)

// count is how many means of proof the person has.
func (w *world) count(t testing.TB) int {
	t.Helper()
	all, err := w.store.Factors(t.Context(), w.account(t).Subject)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// enrolments are the forms that add a means of proof, each as somebody sends it who is allowed to.
func (w *world) enrolments(t testing.TB, b *browser) map[string][]string {
	t.Helper()
	k, pending := key(t, b.get("/account/totp"))
	return map[string][]string{
		"/account/password": {"password", secret, "again", secret},
		"/account/totp":     {"pending", pending, "code", oathtool(t, k, w.now())},
		"/account/recovery": nil,
	}
}

// D6: what gives two factors is added after a recent login of two factors only. D15: nor is there any other way to choose a first one.
func TestD6D15EnrolmentNeedsARecentLoginOfItsLevel(t *testing.T) {
	for name, tt := range map[string]struct {
		acr    string
		after  time.Duration
		signed bool
	}{
		"not signed in":             {idp.ACRHardware, 0, false},
		"signed in too long ago":    {idp.ACRHardware, 11 * time.Minute, true},
		"signed in at no level":     {"", 0, true},
		"the level is not known":    {"urn:else", 0, true},
		"recent by the wrong clock": {idp.ACRTwoFactor, 24 * time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.browser(t)
			b.byCard()
			forms := w.enrolments(t, b)
			w.card.acr = tt.acr
			b = w.browser(t)
			if tt.signed {
				b.byCard()
			}
			w.advance(tt.after)
			for path, fields := range forms {
				for _, p := range []page{b.get(path), b.post(path, fields...)} {
					if p.status == http.StatusSeeOther {
						p.wantTo(t, "/login")
						continue
					}
					p.want(t, http.StatusOK, textRecent)
				}
			}
			if n := w.count(t); n != 0 {
				t.Errorf("%d means of proof were added", n)
			}
		})
	}
}

// Who is asked to sign in again comes back to what they wanted to do.
func TestPersonComesBackToTheEnrolment(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.byCard()
	w.advance(time.Hour / 2)
	b.get("/account/totp").want(t, http.StatusOK, textRecent)
	b.post("/login/card", "id", rpps).wantTo(t, "/account/totp")
	b.get("/account/totp").want(t, http.StatusOK, "1. Donnez la clé à l’application")
}

// D7: no other site adds a means of proof, begins a login with one's password, or has messages sent.
func TestD7FormsOfOtherSitesAreRefused(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.byCard()
	forms := w.enrolments(t, b)
	for _, path := range []string{"/login/otp", "/login/otp/password", "/login/otp/mail", "/login/otp/code/totp", "/login/otp/code/mail", "/login/otp/code/recovery"} {
		forms[path] = []string{"identifier", rpps, "password", secret, "code", "123456"}
	}
	for path, fields := range forms {
		for _, site := range []string{"cross-site", "same-site"} {
			form := map[string][]string{}
			for i := 0; i < len(fields); i += 2 {
				form[fields[i]] = []string{fields[i+1]}
			}
			b.send(http.MethodPost, path, form, "Sec-Fetch-Site", site).want(t, http.StatusForbidden, textForbidden)
			b.send(http.MethodGet, path+"?"+url.Values(form).Encode(), nil, "Sec-Fetch-Site", site) // a link brings the cookies along
		}
	}
	if n := w.count(t); n != 0 {
		t.Errorf("%d means of proof were added", n)
	}
	for path, fields := range forms { // and its own forms are taken
		if strings.HasPrefix(path, "/account/") {
			b.post(path, fields...)
		}
	}
	if n := w.count(t); n != 3 {
		t.Errorf("%d means of proof, want 3", n)
	}
}

// D6: who signed in with a code and removes what gives more is told why not, and is not led round in a circle by the way in that does not do.
func TestD6PersonIsShownTheWaysThatWillDo(t *testing.T) {
	w := enrolled(t)
	phone := store.Factor{ID: "lost", Subject: w.account(t).Subject, Kind: store.Phone, External: "x", ACR: idp.ACRHardware, Secret: "{}", Created: w.now()}
	if ok, err := w.store.AddFactor(t.Context(), phone, nil, 5); !ok || err != nil {
		t.Fatalf("AddFactor = %t, %v", ok, err)
	}
	b := w.first(t)
	b.post("/login/otp/mail")
	b.post("/login/otp/code/mail", "code", w.mailed(t)).wantTo(t, "/")
	p := b.post("/account/factors/lost/remove")
	p.want(t, http.StatusOK, textRecent, "n’est pas assez sûr", "/login/card")
	if strings.Contains(p.body, "/login/otp") {
		t.Error("the way in is offered that led here")
	}
	b.post("/login/card", "id", rpps).wantTo(t, "/account")
	b.post("/account/factors/lost/remove").wantTo(t, "/account?done=factor_removed")
}

// D13, D6: what a person adds with the card gives the level of two factors, and no more; so it is removed with a login of two factors, by who
// has left the card at home.
func TestD13D6WhatIsAddedWithTheCardIsOfTwoFactors(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.byCard()
	for path, fields := range w.enrolments(t, b) {
		b.post(path, fields...)
	}
	for _, kind := range []store.FactorKind{store.Password, store.TOTP, store.Recovery} {
		if acr := w.factors(t, kind)[0].ACR; acr != idp.ACRTwoFactor {
			t.Errorf("%s has the level %q", kind, acr)
		}
	}
	b = w.first(t)
	b.post("/login/otp/mail")
	b.post("/login/otp/code/mail", "code", w.mailed(t)).wantTo(t, "/")
	b.post("/account/factors/"+w.factors(t, store.TOTP)[0].ID+"/remove").wantTo(t, "/account?done=factor_removed")
}

// D12: nothing in these forms says whose they are, or what is proved: only the session and the record do.
func TestD12FieldsOfARequestProveNothing(t *testing.T) {
	w := newWorld(t)
	thief := w.stranger(t)
	thief.post("/login/card", "id", "810100000002").wantTo(t, "/")
	subject := w.account(t).Subject
	extra := []string{"subject", subject, "identifier", rpps, "id", subject, "acr", idp.ACRHardware, "address", home, "verified", "true"}
	for path, fields := range w.enrolments(t, thief) {
		thief.post(path, append(fields, extra...)...)
	}
	if n := w.count(t); n != 0 {
		t.Errorf("%d means of proof of another person", n)
	}
	all, err := w.store.AccountByNationalID(t.Context(), "RPPS", "810100000002")
	if err != nil || all.Address != "paul@example.org" {
		t.Errorf("address = %q, %v, want the one that an administrator gave", all.Address, err)
	}
}

// D6, D20: the person is told of each means that was added, at the address of the record, and what they called it is text.
func TestD6D20PersonIsToldOfWhatWasAdded(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.byCard()
	for path, fields := range w.enrolments(t, b) {
		b.post(path, append(fields, "label", `<img src=x>"garde"`, "address", "thief@example.org", "email", "thief@example.org")...)
	}
	texts := map[string]bool{}
	for range 3 {
		m := w.told(t, "Un moyen de connexion a été ajouté")
		if m.To != home || strings.Contains(m.HTML, "<img") || !strings.Contains(m.Text, "127.0.0.1") {
			t.Errorf("told to %q:\n%s", m.To, m.HTML)
		}
		for _, word := range []string{"mot de passe", "application", "codes de secours", `<img src=x>"garde"`} {
			if strings.Contains(m.Text, word) {
				texts[word] = true
			}
		}
	}
	if len(texts) != 4 {
		t.Errorf("the messages say %v", texts)
	}
	if p := b.get("/account"); strings.Contains(p.body, "<img") || !strings.Contains(p.body, "&lt;img src=x&gt;") {
		t.Error("the name is markup on the account page")
	}
	if n := len(w.events(t, audit.FactorAdded)); n != 3 {
		t.Errorf("%d additions in the audit, want 3", n)
	}
}

func TestPasswordIsJudgedInPlainWords(t *testing.T) {
	list := filepath.Join(t.TempDir(), "breached.txt")
	if err := os.WriteFile(list, []byte("azertyuiop123456\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	breached, err := password.OpenBreached(list)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, func(c *otp.Config) { c.Policy = password.Policy{MinLength: 12, Breached: breached} })
	b := w.browser(t)
	b.byCard()
	b.get("/account/password").want(t, http.StatusOK, "Choisir un mot de passe", "Au moins 12 caractères.", `value="`+name+`"`)
	for _, tt := range []struct{ password, again, want string }{
		{"", "", "Ce mot de passe est trop court."},
		{"court", "court", "Ce mot de passe est trop court."},
		{strings.Repeat("long", 40), strings.Repeat("long", 40), "Ce mot de passe est trop long"},
		{"with a \x07 bell in it", "with a \x07 bell in it", "ne se saisissent pas au clavier"},
		{"jeannemartin12", "jeannemartin12", "ressemble trop à votre nom"},
		{"99700218896abc", "99700218896abc", "ressemble trop à votre nom"},
		{"azertyuiop123456", "azertyuiop123456", "listes que des attaquants connaissent"},
		{secret, secret + " ", "ne sont pas les mêmes"},
		{secret, "", "ne sont pas les mêmes"},
	} {
		b.post("/account/password", "password", tt.password, "again", tt.again).want(t, http.StatusUnprocessableEntity, tt.want)
	}
	b.post("/account/password").want(t, http.StatusUnprocessableEntity) // D8
	if n := w.count(t); n != 0 {
		t.Errorf("%d passwords were taken", n)
	}
	// Spaces belong to it: where they were typed they are needed.
	b.post("/account/password", "password", "  "+secret, "again", "  "+secret).wantTo(t, "/account?done=password_set")
	b = w.browser(t)
	b.post("/login/otp/password", "identifier", rpps, "password", secret).want(t, http.StatusUnprocessableEntity, textWrongPassword)
	b.post("/login/otp/password", "identifier", rpps, "password", "  "+secret).wantTo(t, "/login/otp/code")
}

// Whoever knew the password before is out; the person stays in.
func TestNewPasswordEndsTheOtherSessions(t *testing.T) {
	w := enrolled(t)
	elsewhere := w.browser(t)
	elsewhere.byCard()
	b := w.browser(t)
	b.byCard()
	b.get("/account/password").want(t, http.StatusOK, "Changer de mot de passe", "Vos autres sessions prendront fin.")
	b.post("/account/password", "password", another, "again", another).wantTo(t, "/account?done=password_set")
	b.get("/account?done=password_set").want(t, http.StatusOK, "Le mot de passe est enregistré.")
	elsewhere.wantSignedIn(false)
	b.wantSignedIn(true)
	if n := len(w.factors(t, store.Password)); n != 1 {
		t.Errorf("%d passwords, want 1", n)
	}
	b = w.browser(t)
	b.post("/login/otp/password", "identifier", rpps, "password", secret).want(t, http.StatusUnprocessableEntity, textWrongPassword)
	b.post("/login/otp/password", "identifier", rpps, "password", another).wantTo(t, "/login/otp/code")
}

// Without its line in the audit there is no change.
func TestNothingIsEnrolledWithoutItsAuditLine(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	b.byCard()
	forms := w.enrolments(t, b)
	w.audit.breakDown()
	for path, fields := range forms {
		b.post(path, fields...).want(t, http.StatusServiceUnavailable)
	}
	if n := w.count(t); n != 0 {
		t.Errorf("%d means of proof were added", n)
	}
}

// Hashes are made anew when the parameters rise, at the next login.
func TestPasswordIsHashedAnewWhenTheParametersRise(t *testing.T) {
	w := enrolled(t)
	before := w.factors(t, store.Password)[0]
	dearer, err := password.NewHasher(password.Params{Memory: 8 << 10, Time: 5, Threads: 1}, 2)
	if err != nil {
		t.Fatal(err)
	}
	w.config.Hasher, w.config.Familiar = dearer, dearer
	w.serve(t)
	w.first(t)
	after := w.factors(t, store.Password)[0]
	if !strings.Contains(before.Secret, "m=7168,t=5") || !strings.Contains(after.Secret, "m=8192,t=5") || after.ID != before.ID || !after.Used.Equal(w.now()) {
		t.Errorf("hash before %.32s, after %.32s", before.Secret, after.Secret)
	}
	w.first(t)
}
