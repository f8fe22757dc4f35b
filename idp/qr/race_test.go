package qr_test

import (
	"errors"
	"net/http"
	"testing"

	"promess/authgw/internal/audit"
)

// D18: a wrong number ends the login though the right one, sent at the same time, was faster.
func TestD18WrongNumberEndsALoginThatHasComeFurther(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	got, _ := p.claim(code(t, b, "/login/qr"))
	shown := shownNumber(t, b)
	again := p.twin(t, w)
	w.meanwhile(2, func() {
		if got, status := again.pick(shown); status != http.StatusOK {
			t.Errorf("the right number = %d %+v", status, got)
		}
	})
	p.pick(other(got.Numbers, shown))
	if got := status(t, b); got != "ended" {
		t.Errorf("the login is %q, want ended", got)
	}
	wantNoSession(t, w, b, "wrong_number")
}

// D18: "it is not me" that is faster than the approval keeps it from counting, and the phone is not told that it did.
func TestD18RefusalIsFasterThanTheApproval(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	p.claim(code(t, b, "/login/qr"))
	asked, _ := p.pick(shownNumber(t, b))
	again := p.twin(t, w)
	w.meanwhile(3, func() {
		if got, status := again.deny(); status != http.StatusOK {
			t.Errorf("deny = %d %+v", status, got)
		}
	})
	if got, status := p.approve(t, asked.Options); status != http.StatusConflict || got.Error != "expired" {
		t.Errorf("approve = %d %+v", status, got)
	}
	wantNoSession(t, w, b, "not_me")
}

// D18: of two phones that come at once, one has the login; the other is told so, and the trail has that it came.
func TestD18TwoPhonesAtOnce(t *testing.T) {
	w := newWorld(t)
	slow, fast, b := w.phone(t), w.phone(t), w.Browser(t, workstation)
	begin(t, b)
	shown := code(t, b, "/login/qr")
	w.meanwhile(4, func() { // to count it, to read the code, to find the login, and to write
		if got, status := fast.claim(shown); status != http.StatusOK {
			t.Errorf("the faster one = %d %+v", status, got)
		}
	})
	if got, status := slow.claim(shown); status != http.StatusConflict || got.Error != "taken" || got.Source != "" {
		t.Errorf("the slower one = %d %+v", status, got)
	}
	if e := w.Events(t, audit.LoginRefused); len(e) != 1 || e[0].Reason != "second_phone" {
		t.Errorf("refusals in the trail: %+v", e)
	}
	if got, status := fast.pick(shownNumber(t, b)); status != http.StatusOK {
		t.Errorf("pick of the faster one = %d %+v", status, got)
	}
}

// One challenge makes one key, also when two answers come at once.
func TestAnswersAtOnceAddOnePhone(t *testing.T) {
	w := newWorld(t)
	b, shown := w.adding(t)
	p := w.phone(t)
	got, _ := p.claim(shown)
	b.Post("/account/phone/confirm", "number", got.Number)
	asked, _ := p.ask("options", struct{}{})
	var answers [2]string
	for i := range answers {
		var err error
		if answers[i], err = w.phone(t).device.Create(encode(t, asked.Options)); err != nil {
			t.Fatal(err)
		}
	}
	again := p.twin(t, w)
	w.meanwhile(3, func() { // the first has used the challenge up, and its key is not kept yet
		if got, status := again.ask("add", map[string]string{"answer": answers[1]}); status != http.StatusConflict {
			t.Errorf("the second = %d %+v", status, got)
		}
	})
	if got, status := p.ask("add", map[string]string{"answer": answers[0]}); status != http.StatusOK {
		t.Errorf("the first = %d %+v", status, got)
	}
	if all := w.phones(t); len(all) != 1 {
		t.Errorf("%d phones are there", len(all))
	}
}

// An approval opens one session: who has kept the browser's cookie of the login opens no second.
func TestApprovalOpensOneSession(t *testing.T) {
	const cookie = "__Host-authgw-login"
	w := newWorld(t)
	p, b, copied := w.enrolled(t), w.Browser(t, workstation), w.Browser(t, workstation)
	w.approved(t, b, p)
	copied.SetCookie(cookie, b.Cookie(cookie))
	b.Post("/login/qr/finish")
	if !b.SignedIn() {
		t.Fatal("the browser that began is not signed in")
	}
	if got := copied.Post("/login/qr/finish"); got.Status != http.StatusForbidden || copied.SignedIn() {
		t.Errorf("finish again = %d, signed in = %t", got.Status, copied.SignedIn())
	}
}

// full is a disk that is.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// What cannot be written into the trail is not approved.
func TestApprovalThatCannotBeRecordedIsNone(t *testing.T) {
	w := newWorld(t)
	p, b := w.enrolled(t), w.Browser(t, workstation)
	begin(t, b)
	p.claim(code(t, b, "/login/qr"))
	asked, _ := p.pick(shownNumber(t, b))
	w.Server.Audit = audit.New(full{}, w.Now)
	if got, status := p.approve(t, asked.Options); status != http.StatusServiceUnavailable || got.Error != "unavailable" {
		t.Errorf("approve = %d %+v", status, got)
	}
	if got := status(t, b); got != "picked" {
		t.Errorf("the login is %q", got)
	}
}

// twin is the same phone in a second request at once.
func (p *phone) twin(t *testing.T, w *world) *phone {
	t.Helper()
	const cookie = "__Host-authgw-phone"
	one := &phone{w.Browser(t, telephone), p.device}
	one.SetCookie(cookie, p.Cookie(cookie))
	return one
}

// other is one of the numbers that is not shown.
func other(numbers []string, shown string) string {
	for _, n := range numbers {
		if n != shown {
			return n
		}
	}
	return ""
}
