package qr_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/idptest"
	"promess/authgw/internal/token"
)

// D18: who guesses the number has one try, also when all three are sent at once: the wrong ones end the login, whichever is first.
func TestD18NumbersAtOnceEndTheLogin(t *testing.T) {
	w := newWorld(t)
	p := w.enrolled(t)
	for range 20 {
		b := w.Browser(t, workstation)
		begin(t, b)
		got, _ := p.claim(code(t, b, "/login/qr"))
		var group sync.WaitGroup
		for _, number := range got.Numbers {
			one := &phone{w.Browser(t, telephone), p.device}
			one.SetCookie("__Host-authgw-phone", p.Cookie("__Host-authgw-phone"))
			group.Go(func() { one.pick(number) })
		}
		group.Wait()
		if got := status(t, b); got != "ended" {
			t.Fatalf("step = %q after all numbers at once, want ended", got)
		}
	}
}

// D18: nor does who tries all numbers at once at the workstation add the phone that somebody else has.
func TestD18NumbersAtOnceEndTheEnrolment(t *testing.T) {
	w := newWorld(t)
	b, shown := w.adding(t)
	thief := w.phone(t)
	thief.claim(shown)
	var group sync.WaitGroup
	for from := 10; from < 100; from += 15 {
		group.Go(func() {
			one := w.Browser(t, workstation)
			one.SetCookie("__Host-authgw", b.Cookie("__Host-authgw"))
			for n := from; n < from+15; n++ {
				one.Post("/account/phone/confirm", "number", fmt.Sprint(n))
			}
		})
	}
	group.Wait()
	if got, status := thief.add(t, "thief"); status != http.StatusConflict {
		t.Errorf("add = %d %+v", status, got)
	}
	if all := w.phones(t); len(all) != 0 {
		t.Errorf("%d phones are there", len(all))
	}
}

// D18: the code names the login to everybody who sees it. A cookie that is made up from it is no phone's: it learns nothing, and ends nothing.
func TestD18CookieThatIsMadeUpFromTheCode(t *testing.T) {
	const cookie = "__Host-authgw-phone"
	w := newWorld(t)
	forged := func(shown string) *phone {
		t.Helper()
		p := w.enrolled(t) // the thief has a key of their own
		p.SetCookie(cookie, strings.Split(shown, ".")[1]+"."+token.New())
		return p
	}
	t.Run("of a login", func(t *testing.T) {
		p, b := w.enrolled(t), w.Browser(t, workstation)
		begin(t, b)
		shown := code(t, b, "/login/qr")
		early, late := forged(shown), forged(shown)
		if got, status := early.deny(); status != http.StatusConflict { // nobody has claimed it: its phone is empty
			t.Errorf("deny before a phone has it = %d %+v", status, got)
		}
		p.claim(shown)
		picked := shownNumber(t, b)
		if got, status := late.pick(picked); status != http.StatusConflict || got.Options != nil {
			t.Errorf("pick = %d %+v", status, got)
		}
		if got, status := late.deny(); status != http.StatusConflict {
			t.Errorf("deny = %d %+v", status, got)
		}
		asked, _ := p.pick(picked)
		if got, status := late.approve(t, asked.Options); status != http.StatusConflict {
			t.Errorf("approve = %d %+v", status, got)
		}
		if got := status(t, b); got != "picked" {
			t.Errorf("the login is %q", got)
		}
	})
	t.Run("of an enrolment", func(t *testing.T) {
		b, shown := w.adding(t)
		p, thief := w.phone(t), forged(shown)
		before := len(w.phones(t))
		got, _ := p.claim(shown)
		b.Post("/account/phone/confirm", "number", got.Number)
		for _, path := range []string{"options", "deny"} {
			if got, status := thief.ask(path, struct{}{}); status != http.StatusConflict || got.Options != nil {
				t.Errorf("%s = %d %+v", path, status, got)
			}
		}
		if got := thief.Get("/phone/status"); !strings.Contains(got.Body, `"over"`) {
			t.Errorf("status = %d %s", got.Status, got.Body)
		}
		if got := thief.Get("/phone/events"); got.Status != http.StatusNoContent {
			t.Errorf("events = %d %s", got.Status, got.Body)
		}
		asked, _ := p.ask("options", struct{}{})
		answer, err := w.phone(t).device.Create(encode(t, asked.Options))
		if err != nil {
			t.Fatal(err)
		}
		if got, status := thief.ask("add", map[string]string{"answer": answer}); status != http.StatusConflict {
			t.Errorf("add = %d %+v", status, got)
		}
		if now := len(w.phones(t)); now != before {
			t.Errorf("%d phones are there, want %d", now, before)
		}
	})
}

// The same phone that scans once more, after the number, is no second phone: the trail does not cry wolf, and the login goes on.
func TestSamePhoneOnceMoreIsNoSecondPhone(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	shown := code(t, b, "/login/qr")
	p.claim(shown)
	asked, _ := p.pick(shownNumber(t, b))
	if got, status := p.claim(shown); status != http.StatusConflict || got.Error != "expired" {
		t.Errorf("claim = %d %+v", status, got)
	}
	if e := w.Events(t, audit.LoginRefused); len(e) != 0 {
		t.Errorf("refusals in the trail: %+v", e)
	}
	if got, status := p.approve(t, asked.Options); status != http.StatusOK {
		t.Errorf("approve = %d %+v", status, got)
	}
}

// D18: what a phone signs is of one login, and not of another that the same phone has claimed.
func TestD18SignatureOfAnotherLoginApprovesNothing(t *testing.T) {
	w := newWorld(t)
	p, b, evil := w.enrolled(t), w.Browser(t, workstation), w.Browser(t, attacker)
	begin(t, b)
	p.claim(code(t, b, "/login/qr"))
	mine, _ := p.pick(shownNumber(t, b))
	signed, err := p.device.Get(encode(t, mine.Options))
	if err != nil {
		t.Fatal(err)
	}
	begin(t, evil)
	p.claim(code(t, evil, "/login/qr"))
	p.pick(shownNumber(t, evil))
	if got, status := p.ask("approve", map[string]string{"answer": signed}); status != http.StatusForbidden || got.Error != "passkey_refused" {
		t.Errorf("approve = %d %+v", status, got)
	}
	if got := evil.Post("/login/qr/finish"); got.Status != http.StatusForbidden || evil.SignedIn() {
		t.Errorf("finish = %d", got.Status)
	}
}

// A phone that says it is another person's is not believed: the key says whose it is.
func TestPhoneThatClaimsToBeAnotherPersonsIsRefused(t *testing.T) {
	w := newWorld(t)
	victim := w.enrolled(t)
	other := w.Proof()
	other.NationalID, other.GivenName = "810100000002", "PAUL"
	w.Believe(other)
	thief, b := w.enrolled(t), w.Browser(t, workstation)
	thief.device.Claim(victim.device)
	begin(t, b)
	thief.claim(code(t, b, "/login/qr"))
	asked, _ := thief.pick(shownNumber(t, b))
	if got, status := thief.approve(t, asked.Options); status != http.StatusForbidden || got.Error != "passkey_refused" {
		t.Errorf("approve = %d %+v", status, got)
	}
	wantNoSession(t, w, b, "passkey_refused")
}

// What somebody calls their phone is text wherever it is shown (D20), and is in no log.
func TestD20NameOfAPhoneIsText(t *testing.T) {
	w := newWorld(t)
	b, shown := w.adding(t)
	p := w.phone(t)
	got, _ := p.claim(shown)
	b.Post("/account/phone/confirm", "number", got.Number)
	const label = `<img src=x onerror=alert(1)>` + "\r\n\u202e"
	if got, status := p.add(t, label); status != http.StatusOK {
		t.Fatalf("add = %d %+v", status, got)
	}
	for _, path := range []string{"/account", "/account/phone/code"} {
		page := b.Get(path).Body
		if strings.Contains(page, "<img src=x") || !strings.Contains(page, "&lt;img src=x") || strings.Contains(page, "\u202e") {
			t.Errorf("%s shows the name as markup, or with signs that turn it around", path)
		}
	}
	if strings.Contains(w.Written(), "onerror") {
		t.Error("the name is in a log or the trail")
	}
}

// The pages of these flows are in no frame (clickjacking), run no code but their own, and are kept by no cache; the worker of the app answers
// for the app alone, and is asked for anew each time.
func TestPagesOfTheFlowAreFramedByNobody(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	begin(t, b)
	signed := w.Browser(t, workstation)
	signed.LogIn()
	for path, from := range map[string]*idptest.Browser{
		"/login/qr": b, "/phone": w.Browser(t, telephone), "/account/phone": signed, "/account/passkey": signed, "/account": signed,
	} {
		h := from.Get(path).Header
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe") || h.Get("X-Frame-Options") != "DENY" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, h)
		}
	}
	worker := w.Browser(t, telephone).Get("/phone/worker.js").Header
	if got := worker.Get("Service-Worker-Allowed"); got != "/phone" {
		t.Errorf("the worker may have the scope %q, want /phone", got)
	}
	if got := worker.Get("Cache-Control"); got != "no-cache" {
		t.Errorf("the worker is kept: %q", got)
	}
}
