package otp_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

// remove removes a person's factor of a kind, as they do on their account page.
func (w *world) remove(t testing.TB, kind store.FactorKind) {
	t.Helper()
	b := w.browser(t)
	b.byCard()
	b.post("/account/factors/"+w.factors(t, kind)[0].ID+"/remove").wantTo(t, "/account?done=factor_removed")
}

// D5: who had given a password that was then changed, or removed, has given none: the person who changes it wants them out.
func TestD5PasswordThatIsNoLongerRightIsNoFirstFactor(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *world){
		"changed": func(t *testing.T, w *world) {
			b := w.browser(t)
			b.byCard()
			b.post("/account/password", "password", another, "again", another).wantTo(t, "/account?done=password_set")
		},
		"chosen anew, the same": func(t *testing.T, w *world) {
			b := w.browser(t)
			b.byCard()
			b.post("/account/password", "password", secret, "again", secret).wantTo(t, "/account?done=password_set")
		},
		"removed": func(t *testing.T, w *world) { w.remove(t, store.Password) },
		"reset by the help desk": func(t *testing.T, w *world) {
			if _, err := w.store.RemoveFactors(t.Context(), w.account(t).Subject, store.Password); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := enrolled(t)
			k := w.addApp(t, "")
			thief := w.first(t)
			thief.get("/login/otp/code").want(t, http.StatusOK)
			change(t, w)
			thief.get("/login/otp/code").wantTo(t, "/login/otp?problem=over")
			thief.post("/login/otp/mail").wantTo(t, "/login/otp?problem=over")
			thief.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/login/otp?problem=over")
			thief.wantSignedIn(false)
		})
	}
}

// D5: a second factor that was removed between the password and its code is none, and the others stay needed.
func TestD5FactorRemovedMeanwhileProvesNothing(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	codes := w.addSheet(t)
	b := w.first(t)
	w.remove(t, store.TOTP)
	w.remove(t, store.Recovery)
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).want(t, http.StatusNotFound)
	b.post("/login/otp/code/recovery", "code", codes[0]).want(t, http.StatusNotFound)
	b.wantSignedIn(false)
}

// D3: all the codes of a sheet at once, in one login, each of them right: it opens one session.
func TestD3CodesAtOnceInOneLoginOpenOneSession(t *testing.T) {
	w := enrolled(t)
	codes := w.addSheet(t)
	b := w.first(t)
	login := b.cookies()
	var group sync.WaitGroup
	sessions := make(chan bool, len(codes))
	for _, code := range codes {
		group.Go(func() {
			one := w.browser(t)
			form := map[string][]string{"code": {code}}
			sessions <- strings.Contains(strings.Join(one.send(http.MethodPost, "/login/otp/code/recovery", form, "Cookie", login).header["Set-Cookie"], " "), "__Host-authgw=")
		})
	}
	group.Wait()
	close(sessions)
	in := 0
	for ok := range sessions {
		if ok {
			in++
		}
	}
	if in != 1 {
		t.Errorf("%d sessions, want 1", in)
	}
}

// D16: the cookie of a browser that one person is known by says nothing of another: whoever holds it is answered about a person and about
// nobody in the same way, and has no counter of their own there.
func TestD16KnownBrowserOfAnotherPersonTellsNothing(t *testing.T) {
	w := enrolled(t)
	paul := w.stranger(t)
	paul.post("/login/card", "id", "810100000002").wantTo(t, "/") // now the browser is known, for him
	for i := range 7 {
		known, unknown := paul.guess(rpps), paul.guess("899700218897")
		if known.status != unknown.status || known.header.Get("Retry-After") != unknown.header.Get("Retry-After") ||
			strings.ReplaceAll(known.body, rpps, "") != strings.ReplaceAll(unknown.body, "899700218897", "") ||
			len(known.header["Set-Cookie"])+len(unknown.header["Set-Cookie"]) > 0 {
			t.Errorf("attempt %d: %d for a person, %d for nobody, or other words", i, known.status, unknown.status)
		}
	}
	w.browser(t).guess(rpps).want(t, http.StatusTooManyRequests) // his guesses have counted for everybody
}

// D16: what can be nobody's identifier, or nobody's password, is answered as a wrong one, whatever its length and letters.
func TestD16OddIdentifiersAndPasswordsAreWrong(t *testing.T) {
	w := enrolled(t)
	for name, tt := range map[string]struct{ identifier, password string }{
		"a password of 50,000 letters":    {rpps, strings.Repeat("a", 50_000)},
		"an identifier of 50,000 letters": {strings.Repeat("1", 50_000), secret},
		"letters that look alike":         {"\u0458eanne.m", secret},          // Cyrillic je
		"letters of full width":           {"\uff4aeanne.m", secret},          // NFKC would make it j
		"a letter that folds to another":  {"jeanne.m\u017f", secret},         // long s
		"a letter without width":          {"jeanne\u200b.m", secret},         // zero width space
		"digits of another script":        {"\u0668" + rpps[1:], secret},      // Arabic-Indic eight
		"a quote":                         {rpps + "' OR '1'='1", secret},     // D19 of SQL
		"no UTF-8":                        {"\xff" + name, secret},            //
		"a password that is no UTF-8":     {rpps, secret + "\xff"},            //
		"a zero byte":                     {name + "\x00", secret},            // PostgreSQL takes none
		"a zero byte in the password":     {rpps, secret + "\x00"},            //
		"line ends":                       {name + "\r\nX-Y: z", secret},      //
		"a password in other letters":     {rpps, strings.ToUpper(secret)},    //
		"a password that is cut":          {rpps, secret[:len(secret)-1]},     //
		"a password that goes on":         {rpps, secret + "x"},               //
		"an identifier that goes on":      {name + "@hopital.mssante.fr", ""}, //
	} {
		t.Run(name, func(t *testing.T) {
			if tt.password == "" {
				tt.password = secret
			}
			w.advance(12 * time.Hour)
			b := w.browser(t)
			b.post("/login/otp/password", "identifier", tt.identifier, "password", tt.password).want(t, http.StatusUnprocessableEntity, textWrongPassword)
			b.get("/login/otp/code").wantTo(t, "/login/otp?problem=over")
		})
	}
	w.browser(t).post("/login/otp/password", "identifier", rpps, "password", strings.Repeat("a", 100_000)).want(t, http.StatusRequestEntityTooLarge)
}

// G10: the audit trail is never shortened, and who is turned away costs nothing. So what a flood leaves in it is bounded, and what comes from
// elsewhere meanwhile is in it.
func TestG10FloodThatIsTurnedAwayDoesNotFillTheAudit(t *testing.T) {
	w := enrolled(t)
	b := w.browser(t)
	for range 5 {
		b.guess(rpps)
	}
	const flood = 300
	for range flood {
		b.guess(rpps).want(t, http.StatusTooManyRequests)
	}
	var reasons []string
	for _, e := range w.events(t, audit.LoginRefused) {
		reasons = append(reasons, e.Reason)
	}
	throttled := slices.DeleteFunc(slices.Clone(reasons), func(r string) bool { return r != "throttled" })
	if len(throttled) != 100 || len(reasons) != 105 {
		t.Errorf("%d refusals, of which %d turned away, want 105 and 100", len(reasons), len(throttled))
	}
	w.advance(5 * time.Minute) // it goes on later, and so does the trail
	b.guess(rpps)
	b.guess(rpps).want(t, http.StatusTooManyRequests)
	if n := len(w.events(t, audit.LoginRefused)); n != 107 {
		t.Errorf("%d refusals, want 107", n)
	}
	if log := w.log.String(); !strings.Contains(log, "refusal not recorded") || strings.Contains(log, "level=WARN") {
		t.Error("what was not recorded is not in the log at debug level, or is above it")
	}
}

// E1: nothing that a browser had before a login is good for more after it: neither the login's cookie nor that of an old session.
func TestE1LoginGivesANewSession(t *testing.T) {
	w := enrolled(t)
	k := w.addApp(t, "")
	b := w.first(t)
	before := b.cookies()
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
	one, _ := b.session()
	copied := w.browser(t).send(http.MethodGet, "/", nil, "Cookie", before)
	copied.wantTo(t, "/login")
	w.advance(time.Minute)
	b.post("/login/otp/password", "identifier", rpps, "password", secret).wantTo(t, "/login/otp/code")
	b.post("/login/otp/code/totp", "code", oathtool(t, k, w.now())).wantTo(t, "/")
	two, ok := b.session()
	if !ok || one.ID == two.ID {
		t.Errorf("sessions %q and %q, want two", one.ID, two.ID)
	}
	open, err := w.store.SessionsOf(t.Context(), two.Account.Subject, time.Hour, w.now())
	if err != nil || slices.ContainsFunc(open, func(v store.Session) bool { return v.ID == one.ID }) {
		t.Errorf("the session before is open still, or %v", err)
	}
}

// G10: ten thousand beginnings leave nothing behind: neither a row nor a cookie before the password is right.
func TestG10BeginningLeavesNothingBehind(t *testing.T) {
	w := enrolled(t)
	b := w.browser(t)
	for i := range 1000 {
		p := b.post("/login/otp")
		q := b.get("/login/otp?x=" + fmt.Sprint(i))
		if len(p.header["Set-Cookie"])+len(q.header["Set-Cookie"]) > 0 {
			t.Fatalf("cookies %q %q", p.header["Set-Cookie"], q.header["Set-Cookie"])
		}
	}
	if len(w.audit.String()) > 0 && len(w.events(t, audit.LoginRefused)) > 0 {
		t.Error("the audit has refusals")
	}
}
