package qr_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/idp"
	"promess/authgw/idp/passkey"
	"promess/authgw/idp/qr"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/passkeytest"
)

// approved begins a login at a workstation and goes on until the phone has approved it.
func (w *world) approved(t *testing.T, b *idptest.Browser, p *phone) {
	t.Helper()
	begin(t, b)
	if got, status := p.claim(code(t, b, "/login/qr")); status != http.StatusOK {
		t.Fatalf("claim = %d %+v", status, got)
	}
	asked, status := p.pick(shownNumber(t, b))
	if status != http.StatusOK {
		t.Fatalf("pick = %d %+v", status, asked)
	}
	if got, status := p.approve(t, asked.Options); status != http.StatusOK {
		t.Fatalf("approve = %d %+v", status, got)
	}
}

func TestPhoneSignsAWorkstationIn(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	b.Get("/login?service=mail&state=")
	begin(t, b)
	w.Advance(15 * time.Second)
	got, _ := p.claim(code(t, b, "/login/qr"))
	shown := shownNumber(t, b)
	if got.Kind != "login" || got.Service != "Messagerie" || got.Source != workstation || got.Browser != "Firefox 153, Linux" || !got.Other ||
		!got.Time.Equal(idptest.Noon()) { // when it was asked for
		t.Errorf("the phone is told %+v", got)
	}
	if len(got.Numbers) != 3 || !slices.Contains(got.Numbers, shown) {
		t.Errorf("the phone offers %v, the workstation shows %s", got.Numbers, shown)
	}
	asked, _ := p.pick(shown)
	if _, status := p.approve(t, asked.Options); status != http.StatusOK {
		t.Fatalf("approve = %d", status)
	}
	if s := status(t, b); s != "approved" {
		t.Errorf("the workstation is told %q", s)
	}
	if b.SignedIn() {
		t.Error("signed in before the browser asked for it")
	}
	if got := b.Post("/login/qr/finish"); got.Status != http.StatusSeeOther || !b.SignedIn() {
		t.Fatalf("finish = %d %s", got.Status, got.Body)
	}
	v := w.Session(t, b)
	if v.ACR != idp.ACRHardware || v.Method != "qr" {
		t.Errorf("session is %s by %s", v.ACR, v.Method)
	}
	if diff := cmp.Diff([]string{"hwk", "user", "mfa"}, v.AMR); diff != "" { // RFC 8176, section 2
		t.Errorf("amr (-want +got):\n%s", diff)
	}
	if e := w.Events(t, audit.LoginApproved); len(e) != 1 || e[0].Source != telephone || e[0].Detail != "workstation at "+workstation {
		t.Errorf("the trail has the approvals %+v", e)
	}
	for _, secret := range []string{"MARTIN", "JEANNE", `"number"`, p.Cookie("__Host-authgw-phone")} {
		if strings.Contains(w.Written(), secret) {
			t.Errorf("log or trail hold %q", secret)
		}
	}
}

// What the phone signs is of this login, the number that was picked, and this origin, and is never the same.
func TestD18SignatureIsOfTheLoginTheNumberAndTheOrigin(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	seen := map[string]bool{}
	for range 2 {
		p := w.phone(t)
		begin(t, b)
		shown := code(t, b, "/login/qr")
		p.claim(shown)
		picked := shownNumber(t, b)
		asked, _ := p.pick(picked)
		text, _ := asked.Options.(map[string]any)["challenge"].(string)
		got, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(got) != 64 {
			t.Fatalf("challenge %q, %v", text, err)
		}
		login, err := base64.RawURLEncoding.DecodeString(strings.Split(shown, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		var all []byte // each part after its length, in eight bytes
		for _, part := range []string{"authgw qr login v1", string(login), picked, idptest.Origin} {
			all = append(append(all, 0, 0, 0, 0, 0, 0, 0, byte(len(part))), part...)
		}
		if want := sha256.Sum256(all); string(got[32:]) != string(want[:]) {
			t.Errorf("the challenge ends in %x, want %x", got[32:], want)
		}
		if fresh := string(got[:32]); seen[fresh] || fresh == strings.Repeat("\x00", 32) {
			t.Errorf("the challenge begins with %x again", fresh)
		} else {
			seen[fresh] = true
		}
	}
}

// The place of the number that is shown, among the three, says nothing: each has it in its turn.
func TestD18PlaceOfTheNumberSaysNothing(t *testing.T) {
	w := newWorld(t)
	b, at := w.Browser(t, workstation), map[int]bool{}
	for range 100 { // in one of 10^17 runs, one place is left out by chance
		begin(t, b)
		got, _ := w.phone(t).claim(code(t, b, "/login/qr"))
		at[slices.Index(got.Numbers, shownNumber(t, b))] = true
		if len(at) == 3 {
			break
		}
	}
	if len(at) != 3 || at[-1] {
		t.Errorf("the number shown is at the places %v, want each", at)
	}
}

func TestNumbersDifferAndHaveTwoDigits(t *testing.T) {
	for range 1000 {
		n := qr.TwoDigits(3)
		slices.Sort(n)
		if len(slices.Compact(n)) != 3 || n[0] < "10" || n[2] > "99" {
			t.Fatalf("numbers %v", n)
		}
	}
}

// What a phone has claimed is of its own page alone: no other site brings the cookie, and no script reads it.
func TestCookieOfAPhone(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	begin(t, b)
	got := b.Do(http.MethodPost, "/phone/claim", "application/json", `{"code":"`+code(t, b, "/login/qr")+`"}`)
	c, err := http.ParseSetCookie(got.Header.Get("Set-Cookie"))
	if err != nil || c.Name != "__Host-authgw-phone" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.MaxAge != 300 {
		t.Errorf("the cookie is %q, %v", got.Header.Get("Set-Cookie"), err)
	}
}

// What is one network: the address of one connection to the internet, or its /64 (RFC 4291, section 2.5.4).
func TestSameNetwork(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b string
		want bool
	}{
		"one IPv4 address":              {"192.0.2.1", "192.0.2.1", true},
		"two of them":                   {"192.0.2.1", "192.0.2.2", false},
		"one in IPv6's notation (B5)":   {"192.0.2.1", "::ffff:192.0.2.1", true},
		"one /64":                       {"2001:db8:1:2::3", "2001:db8:1:2:4:5:6:7", true},
		"the next /64":                  {"2001:db8:1:2::3", "2001:db8:1:3::3", false},
		"a site's two networks (a /48)": {"2001:db8:1:2::3", "2001:db8:1:ff::3", false},
		"IPv4 and IPv6":                 {"192.0.2.1", "2001:db8::1", false},
		"with a zone":                   {"fe80::1%eth0", "fe80::2", true},
		"nothing":                       {"", "", false},
		"no address":                    {"pipe", "pipe", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := qr.SameNetwork(tt.a, tt.b); got != tt.want {
				t.Errorf("sameNetwork(%q, %q) = %t, want %t", tt.a, tt.b, got, tt.want)
			}
			if qr.SameNetwork(tt.b, tt.a) != tt.want {
				t.Error("the other way round it is not so")
			}
		})
	}
}

// A phone at the same address is told so.
func TestPhoneInTheNetworkOfTheWorkstation(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	begin(t, b)
	p := &phone{w.Browser(t, workstation), nil}
	if got, _ := p.claim(code(t, b, "/login/qr")); got.Other {
		t.Errorf("the phone is told %+v, want the same network", got)
	}
}

// D18: the code changes every 20 seconds and is good for one more such time; nothing of the login changes.
func TestD18CodeRotates(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	begin(t, b)
	first := code(t, b, "/login/qr")
	w.Advance(20 * time.Second)
	second := code(t, b, "/login/qr")
	if first == second {
		t.Error("the code has not changed after 20 s")
	}
	for name, tt := range map[string]struct {
		after  time.Duration
		status int
	}{"during the next image": {0, http.StatusOK}, "after that": {20 * time.Second, http.StatusNotFound}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			b := w.Browser(t, workstation)
			begin(t, b)
			old := code(t, b, "/login/qr")
			w.Advance(20*time.Second + tt.after)
			if got, status := w.phone(t).claim(old); status != tt.status {
				t.Errorf("claim = %d %+v, want %d", status, got, tt.status)
			}
		})
	}
	w.Advance(2 * time.Minute)
	if got, status := w.phone(t).claim(second); status != http.StatusNotFound || got.Error != "expired" {
		t.Errorf("claim after two minutes = %d %+v", status, got)
	}
	if s := status(t, b); s != "over" {
		t.Errorf("after two minutes the workstation is told %q", s)
	}
}

func TestCodesThatAreNone(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	begin(t, b)
	good := code(t, b, "/login/qr")
	parts := strings.SplitN(good, ".", 3)
	for name, code := range map[string]string{
		"nothing":                "",
		"a word":                 "x",
		"no keyed hash":          parts[0] + "." + parts[1],
		"an empty keyed hash":    parts[0] + "." + parts[1] + ".",
		"another kind":           "p." + parts[1] + "." + parts[2],
		"an unknown kind":        "z." + parts[1] + "." + parts[2],
		"another login":          parts[0] + "." + strings.Repeat("A", 43) + "." + parts[2],
		"a longer login":         parts[0] + "." + parts[1] + "A." + parts[2],
		"a key that is not ours": parts[0] + "." + parts[1] + "." + strings.Replace(parts[2], "k1", "k2", 1),
		"very long":              good + strings.Repeat("A", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			if got, status := w.phone(t).claim(code); status != http.StatusNotFound {
				t.Errorf("claim = %d %+v", status, got)
			}
		})
	}
	if got, status := w.phone(t).claim(good); status != http.StatusOK {
		t.Errorf("then the good one = %d %+v", status, got)
	}
}

// D18: one approval for each login. The first phone has it; a second learns nothing of it, and the trail has that it came.
func TestD18SecondPhone(t *testing.T) {
	w := newWorld(t)
	p, second, b := w.enrolled(t), w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	shown := code(t, b, "/login/qr")
	p.claim(shown)
	if again, status := p.claim(shown); status != http.StatusOK || len(again.Numbers) != 3 { // its page was loaded anew
		t.Errorf("the same phone once more = %d %+v", status, again)
	}
	if got, status := second.claim(shown); status != http.StatusConflict || got.Error != "taken" || got.Source != "" {
		t.Errorf("claim = %d %+v, want taken and nothing else", status, got)
	}
	if got, status := second.pick(shownNumber(t, b)); status != http.StatusConflict {
		t.Errorf("pick of the second = %d %+v", status, got)
	}
	asked, _ := p.pick(shownNumber(t, b))
	if got, status := second.approve(t, asked.Options); status != http.StatusConflict {
		t.Errorf("approve of the second = %d %+v", status, got)
	}
	if got, status := p.approve(t, asked.Options); status != http.StatusOK {
		t.Errorf("approve of the first = %d %+v", status, got)
	}
	if got, status := p.approve(t, asked.Options); status != http.StatusConflict {
		t.Errorf("approve once more = %d %+v", status, got)
	}
	if got, status := p.deny(); status != http.StatusConflict { // it is too late
		t.Errorf("deny afterwards = %d %+v", status, got)
	}
	if e := w.Events(t, audit.LoginRefused); len(e) != 1 || e[0].Reason != "second_phone" {
		t.Errorf("refusals in the trail: %+v", e)
	}
}

// D18: who guesses the number has one try.
func TestD18WrongNumberEndsTheLogin(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	got, _ := p.claim(code(t, b, "/login/qr"))
	shown := shownNumber(t, b)
	wrong := got.Numbers[(slices.Index(got.Numbers, shown)+1)%3]
	if got, status := p.pick(wrong); status != http.StatusForbidden || got.Error != "wrong_number" {
		t.Errorf("pick = %d %+v", status, got)
	}
	if got, status := p.pick(shown); status != http.StatusConflict {
		t.Errorf("the right one afterwards = %d %+v", status, got)
	}
	if page := b.Get("/login/qr"); !strings.Contains(page.Body, "Le nombre choisi n’est pas le bon") {
		t.Errorf("the workstation shows %s", page.Body)
	}
	wantNoSession(t, w, b, "wrong_number")
}

func TestNotMeEndsTheLogin(t *testing.T) {
	for name, picked := range map[string]bool{"before the number": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p, b := w.enrolled(t), w.Browser(t, workstation)
			begin(t, b)
			p.claim(code(t, b, "/login/qr"))
			var asked answered
			if picked {
				asked, _ = p.pick(shownNumber(t, b))
			}
			if got, status := p.deny(); status != http.StatusOK {
				t.Fatalf("deny = %d %+v", status, got)
			}
			if picked {
				if got, status := p.approve(t, asked.Options); status != http.StatusConflict {
					t.Errorf("approve afterwards = %d %+v", status, got)
				}
			}
			if page := b.Get("/login/qr"); !strings.Contains(page.Body, "Ce n’est pas moi") {
				t.Errorf("the workstation shows %s", page.Body)
			}
			wantNoSession(t, w, b, "not_me")
			if e := w.Events(t, audit.LoginRefused); e[0].Source != workstation || e[0].Detail != "phone at "+telephone {
				t.Errorf("the trail does not say from where: %+v", e[0])
			}
		})
	}
}

// wantNoSession tries to finish, which must not work, and wants the reason of the login's end in the trail.
func wantNoSession(t *testing.T, w *world, b *idptest.Browser, reason string) {
	t.Helper()
	if e := w.Events(t, audit.LoginRefused); len(e) == 0 || e[0].Reason != reason {
		t.Errorf("refusals in the trail: %+v, want one for %q", e, reason)
	}
	if got := b.Post("/login/qr/finish"); got.Status != http.StatusForbidden || b.SignedIn() {
		t.Errorf("finish = %d, signed in = %t", got.Status, b.SignedIn())
	}
}

// D8, D9: the form completes nothing. Only the proof that the server has recorded does, for the browser that began, once.
func TestD8D9FinishCountsNothingButTheRecordedProof(t *testing.T) {
	for name, until := range map[string]func(*testing.T, *world, *idptest.Browser, *phone){
		"nothing has begun": func(*testing.T, *world, *idptest.Browser, *phone) {},
		"no phone came":     func(t *testing.T, _ *world, b *idptest.Browser, _ *phone) { begin(t, b) },
		"a phone claimed it": func(t *testing.T, _ *world, b *idptest.Browser, p *phone) {
			begin(t, b)
			p.claim(code(t, b, "/login/qr"))
		},
		"the number was picked": func(t *testing.T, _ *world, b *idptest.Browser, p *phone) {
			begin(t, b)
			p.claim(code(t, b, "/login/qr"))
			p.pick(shownNumber(t, b))
		},
		"the approval was of nothing": func(t *testing.T, _ *world, b *idptest.Browser, p *phone) {
			begin(t, b)
			p.claim(code(t, b, "/login/qr"))
			p.pick(shownNumber(t, b))
			if got, status := p.ask("approve", struct{}{}); status != http.StatusForbidden {
				t.Errorf("approve = %d %+v", status, got)
			}
		},
		"another began since": func(t *testing.T, w *world, b *idptest.Browser, p *phone) {
			w.approved(t, b, p)
			begin(t, b) // which is the login of the browser now
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p, b := w.enrolled(t), w.Browser(t, workstation)
			until(t, w, b, p)
			if got := b.Post("/login/qr/finish", "state", "approved", "outcome", `{"subject":"x"}`); got.Status != http.StatusForbidden || b.SignedIn() {
				t.Errorf("finish = %d, signed in = %t", got.Status, b.SignedIn())
			}
		})
	}
	t.Run("another browser finishes", func(t *testing.T) {
		w := newWorld(t)
		p, b, thief := w.enrolled(t), w.Browser(t, workstation), w.Browser(t, attacker)
		begin(t, thief)
		w.approved(t, b, p)
		if got := thief.Post("/login/qr/finish"); got.Status != http.StatusForbidden || thief.SignedIn() {
			t.Errorf("finish of another = %d, signed in = %t", got.Status, thief.SignedIn())
		}
		b.Post("/login/qr/finish")
		if !b.SignedIn() {
			t.Error("the browser that began is not signed in")
		}
	})
	t.Run("it finishes twice", func(t *testing.T) {
		w := newWorld(t)
		p, b := w.enrolled(t), w.Browser(t, workstation)
		w.approved(t, b, p)
		b.Post("/login/qr/finish")
		if got := b.Post("/login/qr/finish"); got.Status != http.StatusForbidden {
			t.Errorf("finish again = %d", got.Status)
		}
	})
	t.Run("it comes late", func(t *testing.T) {
		w := newWorld(t)
		p, b := w.enrolled(t), w.Browser(t, workstation)
		w.approved(t, b, p)
		w.Advance(time.Minute)
		if got := b.Post("/login/qr/finish"); got.Status != http.StatusForbidden || b.SignedIn() {
			t.Errorf("finish = %d, signed in = %t", got.Status, b.SignedIn())
		}
	})
}

// D8: empty or odd requests of a phone complete nothing and end nothing.
func TestD8RequestsOfAPhoneThatSayNothing(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	p.claim(code(t, b, "/login/qr"))
	for _, path := range []string{"claim", "pick", "approve", "deny", "options", "add"} {
		for _, body := range []string{"", "null x", "[]", `{"number":1}`, `{"number":"10","more":1}`, "{} {}"} {
			if got := p.Do(http.MethodPost, "/phone/"+path, "application/json", body); got.Status < 400 {
				t.Errorf("%s with %q = %d", path, body, got.Status)
			}
		}
		if got := p.Do(http.MethodPost, "/phone/"+path, "application/json", "{}", "Sec-Fetch-Site", "cross-site"); got.Status != http.StatusForbidden {
			t.Errorf("%s from another site = %d", path, got.Status)
		}
	}
	if s := status(t, b); s != "claimed" {
		t.Errorf("afterwards the login is %q", s)
	}
}

// D5: to go back, load anew, or try another way does not change how far a login is, or what it needs.
func TestD5BackReloadAndAnotherWay(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	p.claim(code(t, b, "/login/qr"))
	before := shownNumber(t, b)
	b.Get("/login")
	if after := shownNumber(t, b); after != before {
		t.Errorf("loaded anew, the page shows %s in place of %s", after, before)
	}
	b.Post("/login/passkey") // another way: the login with the phone is left
	if got := b.Post("/login/qr/finish"); got.Status != http.StatusForbidden {
		t.Errorf("finish = %d", got.Status)
	}
	if got := b.Get("/login/qr"); !strings.Contains(got.Body, "Le délai est dépassé") {
		t.Errorf("page = %d %s", got.Status, got.Body)
	}
}

func TestSignatureThatIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*testing.T, *world, *phone)
		reason string
	}{
		"of a page of another site":      {func(_ *testing.T, _ *world, p *phone) { p.device.Origin = "https://evil.example" }, "passkey_refused"},
		"that did not verify the person": {func(_ *testing.T, _ *world, p *phone) { p.device.Unverified = true }, "passkey_refused"},
		"whose count went back":          {func(_ *testing.T, _ *world, p *phone) { p.device.Count = 0 }, "passkey_cloned"},
		"of a phone that was removed": {func(t *testing.T, w *world, _ *phone) {
			all := w.phones(t)
			if err := w.Store.RemoveFactor(t.Context(), all[0].Subject, all[0].ID); err != nil {
				t.Fatal(err)
			}
		}, "passkey_unknown"},
		"of a disabled account (D14)": {func(t *testing.T, w *world, _ *phone) {
			if _, err := w.Store.DisableAccount(t.Context(), w.phones(t)[0].Subject, w.Now()); err != nil {
				t.Fatal(err)
			}
		}, "account_disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p, b := w.enrolled(t, func(d *passkeytest.Device) { d.Count = 5 }), w.Browser(t, workstation)
			begin(t, b)
			p.claim(code(t, b, "/login/qr"))
			asked, _ := p.pick(shownNumber(t, b))
			tt.change(t, w, p)
			if got, status := p.approve(t, asked.Options); status != http.StatusForbidden || got.Error != tt.reason {
				t.Errorf("approve = %d %+v, want %s", status, got, tt.reason)
			}
			wantNoSession(t, w, b, tt.reason)
		})
	}
}

// D14: an account that is disabled between the approval and the session.
func TestD14AccountDisabledAfterTheApproval(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	w.approved(t, b, p)
	if _, err := w.Store.DisableAccount(t.Context(), w.phones(t)[0].Subject, w.Now()); err != nil {
		t.Fatal(err)
	}
	wantRefusedAsDisabled := b.Post("/login/qr/finish")
	if wantRefusedAsDisabled.Status != http.StatusForbidden || b.SignedIn() {
		t.Errorf("finish = %d, signed in = %t", wantRefusedAsDisabled.Status, b.SignedIn())
	}
}

// Who removes a lost phone need not fear what it has just approved.
func TestPhoneRemovedAfterTheApproval(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	w.approved(t, b, p)
	lost := w.phones(t)[0]
	if err := w.Store.RemoveFactor(t.Context(), lost.Subject, lost.ID); err != nil {
		t.Fatal(err)
	}
	if got := b.Post("/login/qr/finish"); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "Clé d’accès refusée") {
		t.Errorf("finish = %d %s", got.Status, got.Body)
	}
	wantNoSession(t, w, b, "passkey_unknown")
}

// The passkey of a workstation approves nothing: it was not enrolled for that, and a workstation has no camera of its person's.
func TestPasskeyOfAWorkstationApprovesNothing(t *testing.T) {
	w := newWorld(t)
	p, b := w.phone(t), w.Browser(t, workstation)
	b.LogIn()
	answer, err := p.device.Create([]byte(b.Post("/account/passkey/options").Body))
	if err != nil {
		t.Fatal(err)
	}
	b.Post("/account/passkey", "answer", answer)
	b = w.Browser(t, workstation)
	begin(t, b)
	p.claim(code(t, b, "/login/qr"))
	asked, _ := p.pick(shownNumber(t, b))
	if got, status := p.approve(t, asked.Options); status != http.StatusForbidden || got.Error != "passkey_unknown" {
		t.Errorf("approve = %d %+v", status, got)
	}
}

// The phone's own browser is offered the key that it has: who opens a service on the phone needs no second screen.
func TestPhoneSignsItselfIn(t *testing.T) {
	const form = `action="/login/passkey"`
	w := newWorld(t)
	p := w.enrolled(t)
	if !strings.Contains(p.Get("/login").Body, form) {
		t.Error("it is not offered to the phone that was added")
	}
	elsewhere := &phone{w.Browser(t, telephone), p.device} // another browser of the phone, which uses the same key
	if strings.Contains(elsewhere.Get("/login").Body, form) {
		t.Error("it is offered to a browser that has had none")
	}
	w.approved(t, w.Browser(t, workstation), elsewhere)
	if !strings.Contains(elsewhere.Get("/login").Body, form) {
		t.Error("it is not offered to the phone that has approved a login")
	}
	p.Post("/login/passkey")
	asked := regexp.MustCompile(`data-options="([^"]*)"`).FindStringSubmatch(p.Get("/login/passkey").Body)
	if asked == nil {
		t.Fatal("the page asks for nothing")
	}
	answer, err := p.device.Get([]byte(html.UnescapeString(asked[1])))
	if err != nil {
		t.Fatal(err)
	}
	p.Post("/login/passkey/finish", "answer", answer)
	if v := w.Session(t, p.Browser); v.Method != passkey.Name || v.ACR != idp.ACRHardware {
		t.Errorf("session is %s by %s", v.ACR, v.Method)
	}
}

// D13 for phones: as for passkeys.
func TestD13LevelOfAPhone(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t, func(d *passkeytest.Device) { d.Synced = true }), w.Browser(t, workstation)
	w.approved(t, b, p)
	b.Post("/login/qr/finish")
	if v := w.Session(t, b); v.ACR != idp.ACRTwoFactor || v.AMR[0] != "swk" {
		t.Errorf("session is %s by %v, want two factors, of software", v.ACR, v.AMR)
	}
}

// G10: floods of logins and of codes from one address are refused before they cost a row.
func TestFloodsFromOneAddress(t *testing.T) {
	w := newWorld(t)
	b, refused := w.Browser(t, attacker), 0
	for range 210 {
		if b.Post("/login/qr").Status == http.StatusTooManyRequests {
			refused++
		}
	}
	p := &phone{b, nil}
	for range 210 {
		if _, status := p.claim("x"); status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 20 {
		t.Errorf("%d of 420 were refused, want 20", refused)
	}
}
