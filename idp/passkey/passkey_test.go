package passkey_test

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/idp/passkey"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/passkeytest"
	"promess/authgw/internal/store"
)

func newWorld(t *testing.T) *idptest.World {
	t.Helper()
	return idptest.New(t, func(w *idptest.World) []idp.Method {
		keys, err := passkey.NewCredentials(passkey.Config{Server: w.Server, Product: "ProMess", Store: w.Store, Log: w.Log, Now: w.Now})
		if err != nil {
			t.Fatal(err)
		}
		return []idp.Method{passkey.New(keys)}
	})
}

const here = "127.0.0.1"

// device is one whose browser is at the auth host.
func device() *passkeytest.Device { return passkeytest.New(idptest.Origin, idptest.Host) }

// add adds a key of a device to the account of a browser, and returns the answer of the server.
func add(t *testing.T, b *idptest.Browser, d *passkeytest.Device) idptest.Answer {
	t.Helper()
	asked := b.Post("/account/passkey/options")
	if asked.Status != http.StatusOK {
		t.Fatalf("options = %d %s", asked.Status, asked.Body)
	}
	answer, err := d.Create([]byte(asked.Body))
	if err != nil {
		t.Fatal(err)
	}
	return b.Post("/account/passkey", "label", "Mon poste", "answer", answer)
}

// enrolled is a device with a key of whom the world believes.
func enrolled(t *testing.T, w *idptest.World, d *passkeytest.Device) {
	t.Helper()
	b := w.Browser(t, here)
	b.LogIn()
	if got := add(t, b, d); got.Location != "/account?done=factor_added" {
		t.Fatalf("add = %d %s %s", got.Status, got.Location, got.Body)
	}
}

var options = regexp.MustCompile(`data-options="([^"]*)"`)

// begin begins a login and returns what the page asks the device for.
func begin(t *testing.T, b *idptest.Browser) []byte {
	t.Helper()
	if got := b.Post("/login/passkey"); got.Location != "/login/passkey" {
		t.Fatalf("begin = %d %s", got.Status, got.Location)
	}
	page := b.Get("/login/passkey")
	found := options.FindStringSubmatch(page.Body)
	if found == nil {
		t.Fatalf("the page asks for nothing: %d %s", page.Status, page.Body)
	}
	return []byte(html.UnescapeString(found[1]))
}

// logIn signs in with a device.
func logIn(t *testing.T, b *idptest.Browser, d *passkeytest.Device) idptest.Answer {
	t.Helper()
	answer, err := d.Get(begin(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return b.Post("/login/passkey/finish", "answer", answer)
}

func TestPasskeySignsIn(t *testing.T) {
	w := newWorld(t)
	d := device()
	enrolled(t, w, d)
	b := w.Browser(t, here)
	if got := logIn(t, b, d); got.Status != http.StatusSeeOther || !b.SignedIn() {
		t.Fatalf("login = %d %s", got.Status, got.Body)
	}
	v := w.Session(t, b)
	if v.ACR != idp.ACRHardware || v.Method != "passkey" {
		t.Errorf("session is %s by %s", v.ACR, v.Method)
	}
	if diff := cmp.Diff([]string{"hwk", "user", "mfa"}, v.AMR); diff != "" { // RFC 8176, section 2
		t.Errorf("amr (-want +got):\n%s", diff)
	}
	for _, secret := range []string{"MARTIN", "JEANNE"} {
		if strings.Contains(w.Written(), secret) {
			t.Errorf("log or trail hold %q", secret)
		}
	}
}

func TestPasskeyIsOfferedWhereThereIsOne(t *testing.T) {
	w := newWorld(t)
	d := device()
	b := w.Browser(t, here)
	b.LogIn()
	add(t, b, d)
	fresh := w.Browser(t, here)
	const form = `action="/login/passkey"`
	if strings.Contains(fresh.Get("/login").Body, form) {
		t.Error("a browser without a passkey is offered it")
	}
	logIn(t, fresh, d)
	for name, b := range map[string]*idptest.Browser{"that enrolled": b, "that signed in": fresh} {
		b.Post("/logout")
		if !strings.Contains(b.Get("/login").Body, form) {
			t.Errorf("the browser %s is not offered it", name)
		}
	}
}

// D13: nobody rises by enrolling, and a key that is copied between devices is not of hardware.
func TestD13LevelOfAPasskey(t *testing.T) {
	for name, tt := range map[string]struct {
		login  string
		synced bool
		want   string
		amr    string
	}{
		"a key of one device, enrolled with a card":   {idp.ACRHardware, false, idp.ACRHardware, "hwk"},
		"a key that is synchronised":                  {idp.ACRHardware, true, idp.ACRTwoFactor, "swk"},
		"a key of one device, enrolled with a code":   {idp.ACRTwoFactor, false, idp.ACRTwoFactor, "hwk"},
		"a key that is synchronised, with a code too": {idp.ACRTwoFactor, true, idp.ACRTwoFactor, "swk"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.Proof()
			p.ACR = tt.login
			w.Believe(p)
			d := device()
			d.Synced = tt.synced
			enrolled(t, w, d)
			b := w.Browser(t, here)
			logIn(t, b, d)
			if v := w.Session(t, b); v.ACR != tt.want || v.AMR[0] != tt.amr {
				t.Errorf("login is %s by %v, want %s by %s", v.ACR, v.AMR, tt.want, tt.amr)
			}
		})
	}
}

// wantRefused wants a page that refuses, no session, and the reason in the trail.
func wantRefused(t *testing.T, w *idptest.World, b *idptest.Browser, got idptest.Answer, reason string) {
	t.Helper()
	if got.Status != http.StatusForbidden || b.SignedIn() {
		t.Errorf("login = %d, signed in = %t, want a refusal", got.Status, b.SignedIn())
	}
	events := w.Events(t, audit.LoginRefused)
	if len(events) == 0 || events[len(events)-1].Reason != reason {
		t.Errorf("refusals in the trail are %+v, want the last for %q", events, reason)
	}
}

func TestDeviceThatIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*passkeytest.Device)
		reason string
	}{
		"of a page of another site":      {func(d *passkeytest.Device) { d.Origin = "https://auth.example.test.evil.example" }, "passkey_refused"},
		"of another port of the host":    {func(d *passkeytest.Device) { d.Origin += ":8443" }, "passkey_refused"},
		"that was asked for by another":  {func(d *passkeytest.Device) { d.Host = "example.test" }, "passkey_refused"},
		"that did not verify the person": {func(d *passkeytest.Device) { d.Unverified = true }, "passkey_refused"},
		"that is synchronised since":     {func(d *passkeytest.Device) { d.Synced = true }, "passkey_refused"},
		"whose count went back":          {func(d *passkeytest.Device) { d.Count = 0 }, "passkey_cloned"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := device()
			d.Count = 5
			enrolled(t, w, d)
			tt.change(d)
			b := w.Browser(t, here)
			wantRefused(t, w, b, logIn(t, b, d), tt.reason)
		})
	}
}

// A key that somebody has copied out of its device: whoever comes second is refused, and the trail says whose it is.
func TestCopyOfAKeyIsNoticed(t *testing.T) {
	w := newWorld(t)
	d := device()
	enrolled(t, w, d)
	thief := d.Copy()
	if logIn(t, w.Browser(t, here), d).Status != http.StatusSeeOther {
		t.Fatal("the owner is refused")
	}
	b := w.Browser(t, here)
	wantRefused(t, w, b, logIn(t, b, thief), "passkey_cloned")
	if events := w.Events(t, audit.LoginRefused); events[0].Subject == "" {
		t.Error("the trail does not say whose key it is")
	}
}

func TestDeviceThatDoesNotCountIsAccepted(t *testing.T) {
	w := newWorld(t)
	d := device()
	d.Countless = true
	enrolled(t, w, d)
	for range 2 {
		b := w.Browser(t, here)
		logIn(t, b, d)
		if !b.SignedIn() {
			t.Fatal("refused")
		}
	}
}

// D8: nothing, or nonsense, never completes a step. What was answered once is used up.
func TestD8AnswersThatAreNone(t *testing.T) {
	for name, answer := range map[string]string{"none": "", "nonsense": "x", "an empty object": "{}", "null": "null", "a list": "[]"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d := device()
			enrolled(t, w, d)
			b := w.Browser(t, here)
			asked := begin(t, b)
			wantRefused(t, w, b, b.Post("/login/passkey/finish", "answer", answer), "passkey_refused")
			good, err := d.Get(asked)
			if err != nil {
				t.Fatal(err)
			}
			wantRefused(t, w, b, b.Post("/login/passkey/finish", "answer", good), "login_unknown") // its challenge is used up
		})
	}
}

func TestAnswerIsGoodOnceHereAndInTime(t *testing.T) {
	w := newWorld(t)
	d := device()
	enrolled(t, w, d)
	b, other := w.Browser(t, here), w.Browser(t, here)
	answer, err := d.Get(begin(t, b))
	if err != nil {
		t.Fatal(err)
	}
	begin(t, other) // a login of its own
	wantRefused(t, w, other, other.Post("/login/passkey/finish", "answer", answer), "passkey_refused")
	wantRefused(t, w, w.Browser(t, here), w.Browser(t, here).Post("/login/passkey/finish", "answer", answer), "other_browser")
	w.Advance(2 * time.Minute)
	wantRefused(t, w, b, b.Post("/login/passkey/finish", "answer", answer), "login_unknown")
}

// D5: to go back and to load anew changes nothing; afterwards the page is gone.
func TestD5BackAndReload(t *testing.T) {
	w := newWorld(t)
	d := device()
	enrolled(t, w, d)
	b := w.Browser(t, here)
	asked := begin(t, b)
	if page := b.Get("/login/passkey"); !strings.Contains(html.UnescapeString(page.Body), string(asked)) {
		t.Error("loaded anew, the page asks for something else")
	}
	b.Get("/login")
	answer, err := d.Get(asked)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Post("/login/passkey/finish", "answer", answer); got.Status != http.StatusSeeOther {
		t.Errorf("finish = %d", got.Status)
	}
	if got := b.Get("/login/passkey"); got.Location != "/login" {
		t.Errorf("the used page = %d %s, want the choice of methods", got.Status, got.Location)
	}
}

// D14: a disabled account is refused, and so is a key that was removed.
func TestD14DisabledAccountAndRemovedKey(t *testing.T) {
	w := newWorld(t)
	d := device()
	enrolled(t, w, d)
	b := w.Browser(t, here)
	b.LogIn()
	subject := w.Session(t, b).Account.Subject
	if _, err := w.Store.DisableAccount(t.Context(), subject, w.Now()); err != nil {
		t.Fatal(err)
	}
	b = w.Browser(t, here)
	wantRefused(t, w, b, logIn(t, b, d), "account_disabled")
	if err := w.Store.EnableAccount(t.Context(), subject, w.Now()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Store.RemoveFactors(t.Context(), subject, store.Passkey); err != nil {
		t.Fatal(err)
	}
	b = w.Browser(t, here)
	wantRefused(t, w, b, logIn(t, b, d), "passkey_unknown")
}

// D6, D7: a key is added after a recent login only, by the page of this host only, and with a key that was asked for.
func TestD6D7EnrolmentThatIsRefused(t *testing.T) {
	t.Run("the login is old", func(t *testing.T) {
		w := newWorld(t)
		b := w.Browser(t, here)
		b.LogIn()
		w.Advance(11 * time.Minute)
		if got := b.Get("/account/passkey"); !strings.Contains(got.Body, "prouvez d’abord") {
			t.Errorf("page = %d %s", got.Status, got.Body)
		}
		if got := b.Post("/account/passkey/options"); got.Status != http.StatusForbidden {
			t.Errorf("options = %d", got.Status)
		}
	})
	t.Run("it became old meanwhile", func(t *testing.T) {
		w := newWorld(t)
		b, d := w.Browser(t, here), device()
		b.LogIn()
		w.Advance(9 * time.Minute)
		answer, err := d.Create([]byte(b.Post("/account/passkey/options").Body))
		if err != nil {
			t.Fatal(err)
		}
		w.Advance(2 * time.Minute)
		b.Post("/account/passkey", "answer", answer)
		wantKeys(t, w, b, 0)
	})
	t.Run("five minutes pass", func(t *testing.T) {
		w := newWorld(t)
		b, d := w.Browser(t, here), device()
		b.LogIn()
		answer, err := d.Create([]byte(b.Post("/account/passkey/options").Body))
		if err != nil {
			t.Fatal(err)
		}
		w.Advance(5 * time.Minute)
		if got := b.Post("/account/passkey", "answer", answer); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "n’est plus valable") {
			t.Errorf("add = %d %s", got.Status, got.Body)
		}
		wantKeys(t, w, b, 0)
	})
	t.Run("its challenge is used up", func(t *testing.T) {
		w := newWorld(t)
		b, d := w.Browser(t, here), device()
		b.LogIn()
		answer, err := d.Create([]byte(b.Post("/account/passkey/options").Body))
		if err != nil {
			t.Fatal(err)
		}
		b.Post("/account/passkey", "answer", "x")
		if got := b.Post("/account/passkey", "answer", answer); got.Status != http.StatusForbidden {
			t.Errorf("add = %d", got.Status)
		}
		wantKeys(t, w, b, 0)
	})
	t.Run("another site posts", func(t *testing.T) {
		w := newWorld(t)
		b := w.Browser(t, here)
		b.LogIn()
		if got := b.Do(http.MethodPost, "/account/passkey/options", "", "", "Sec-Fetch-Site", "cross-site"); got.Status != http.StatusForbidden {
			t.Errorf("options = %d", got.Status)
		}
	})
	t.Run("nobody is signed in", func(t *testing.T) {
		w := newWorld(t)
		if got := w.Browser(t, here).Get("/account/passkey"); got.Location != "/login" {
			t.Errorf("page = %d %s", got.Status, got.Location)
		}
	})
	t.Run("the key was asked for by another session", func(t *testing.T) {
		w := newWorld(t)
		b, other, d := w.Browser(t, here), w.Browser(t, here), device()
		b.LogIn()
		other.LogIn()
		answer, err := d.Create([]byte(b.Post("/account/passkey/options").Body))
		if err != nil {
			t.Fatal(err)
		}
		if got := other.Post("/account/passkey", "answer", answer); got.Status != http.StatusForbidden {
			t.Errorf("add = %d", got.Status)
		}
		wantKeys(t, w, other, 0)
	})
	for name, change := range map[string]func(*passkeytest.Device){
		"a page of another site": func(d *passkeytest.Device) { d.Origin = "https://evil.example" },
		"no verified person":     func(d *passkeytest.Device) { d.Unverified = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b, d := w.Browser(t, here), device()
			b.LogIn()
			change(d)
			if got := add(t, b, d); got.Status != http.StatusForbidden {
				t.Errorf("add = %d", got.Status)
			}
			wantKeys(t, w, b, 0)
		})
	}
}

func wantKeys(t *testing.T, w *idptest.World, b *idptest.Browser, want int) {
	t.Helper()
	all, err := w.Store.Factors(t.Context(), w.Session(t, b).Account.Subject)
	if err != nil || len(all) != want {
		t.Errorf("%d keys, %v; want %d", len(all), err, want)
	}
}

func TestDeviceIsShownOnceAndIsNotAddedTwice(t *testing.T) {
	w := newWorld(t)
	b, d := w.Browser(t, here), device()
	b.LogIn()
	add(t, b, d)
	page := b.Get("/account").Body
	for _, want := range []string{"Mon poste", "Clé d’accès", "/remove"} {
		if !strings.Contains(page, want) {
			t.Errorf("the account does not show %q", want)
		}
	}
	asked := b.Post("/account/passkey/options")
	if _, err := d.Create([]byte(asked.Body)); err == nil || err.Error() != "InvalidStateError" {
		t.Errorf("the device that has a key makes another: %v", err)
	}
	w.Advance(time.Second) // of what is asked for in one millisecond, nobody knows which is the newest
	for range passkey.Most - 1 {
		add(t, b, device())
	}
	if got := add(t, b, device()); got.Status != http.StatusConflict {
		t.Errorf("one too many = %d", got.Status)
	}
	wantKeys(t, w, b, passkey.Most)
}

// What somebody calls a device is shown in a list: it is short, and of signs that can be seen.
func TestNameOfADeviceIsTidied(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, here)
	b.LogIn()
	answer, err := device().Create([]byte(b.Post("/account/passkey/options").Body))
	if err != nil {
		t.Fatal(err)
	}
	b.Post("/account/passkey", "label", "\u202e  "+strings.Repeat("é", 39)+"\r\n\xffxyz", "answer", answer)
	all, err := w.Store.Factors(t.Context(), w.Session(t, b).Account.Subject)
	if err != nil || len(all) != 1 {
		t.Fatalf("%d keys, %v", len(all), err)
	}
	if want := strings.Repeat("é", 39) + "x"; all[0].Label != want {
		t.Errorf("the name is %q, want %q", all[0].Label, want)
	}
}

// G10: a flood of logins from one address is refused before it costs a row.
func TestLoginsThatOneAddressBegins(t *testing.T) {
	w := newWorld(t)
	b, refused := w.Browser(t, here), 0
	for range 210 {
		if b.Post("/login/passkey").Status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d of 210 were refused, want 10", refused)
	}
	if got := w.Browser(t, "127.0.0.2").Post("/login/passkey"); got.Status != http.StatusSeeOther {
		t.Errorf("another address = %d", got.Status)
	}
}
