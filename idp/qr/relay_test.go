package qr_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/audit"
)

// The remote attacker of draft-ietf-oauth-cross-device-security-13 (section 4.1.1, "user-transferred session data"): they begin a login at
// a machine of theirs, and show the QR code to a person on a page of theirs, by mail, or on paper. docs/threat-model.md says the same
// in words.
func TestD18RemoteRelay(t *testing.T) {
	t.Run("the code was sent by mail: it is too old", func(t *testing.T) {
		w := newWorld(t)
		victim, evil := w.enrolled(t), w.Browser(t, attacker)
		begin(t, evil)
		sent := code(t, evil, "/login/qr")
		w.Advance(41 * time.Second)
		if got, status := victim.claim(sent); status != http.StatusNotFound || got.Error != "expired" {
			t.Errorf("claim = %d %+v", status, got)
		}
	})
	t.Run("live, but without the number: one wrong choice ends it", func(t *testing.T) {
		w := newWorld(t)
		victim, evil := w.enrolled(t), w.Browser(t, attacker)
		begin(t, evil)
		got, _ := victim.claim(code(t, evil, "/login/qr"))
		for _, n := range got.Numbers {
			if n != shownNumber(t, evil) { // the person guesses, and it is not this one
				victim.pick(n)
				break
			}
		}
		wantNoSession(t, w, evil, "wrong_number")
	})
	t.Run("live, and the person sees that it is not them", func(t *testing.T) {
		w := newWorld(t)
		victim, evil := w.enrolled(t), w.Browser(t, attacker)
		begin(t, evil)
		got, _ := victim.claim(code(t, evil, "/login/qr"))
		if !got.Other || got.Source != attacker {
			t.Errorf("the phone is told %+v, want the attacker's address, and that it is another network", got)
		}
		victim.deny()
		wantNoSession(t, w, evil, "not_me")
		if e := w.Events(t, audit.LoginRefused); e[0].Source != attacker {
			t.Errorf("the trail does not have the attacker's address: %+v", e[0])
		}
	})
	t.Run("live, and the victim's browser is made to finish: it has nothing to finish", func(t *testing.T) {
		w := newWorld(t)
		victim, evil := w.enrolled(t), w.Browser(t, attacker)
		w.approved(t, evil, victim)
		if got := w.Browser(t, workstation).Post("/login/qr/finish"); got.Status != http.StatusForbidden {
			t.Errorf("finish = %d", got.Status)
		}
	})
	t.Run("from outside the networks of the operator: it cannot begin", func(t *testing.T) {
		w := newWorld(t, "127.0.0.1/32")
		w.enrolled(t)
		evil, b := w.Browser(t, attacker), w.Browser(t, workstation)
		if got := evil.Post("/login/qr"); got.Status != http.StatusForbidden || !strings.Contains(got.Body, "que depuis son réseau") {
			t.Errorf("begin = %d %s", got.Status, got.Body)
		}
		const form = `action="/login/qr"`
		if strings.Contains(evil.Get("/login").Body, form) || !strings.Contains(b.Get("/login").Body, form) {
			t.Error("it is offered to the wrong network")
		}
		begin(t, b)
		if got, status := w.phone(t).claim(code(t, b, "/login/qr")); status != http.StatusOK { // a phone may be anywhere
			t.Errorf("claim = %d %+v", status, got)
		}
	})
	// What nothing here stops, and the document says so: without networks, a person who is shown code and number live, and approves in
	// spite of what their phone says. The trail then has both addresses.
	t.Run("live, with the number, and the person approves all the same: it succeeds", func(t *testing.T) {
		w := newWorld(t)
		victim, evil := w.enrolled(t), w.Browser(t, attacker)
		w.approved(t, evil, victim)
		evil.Post("/login/qr/finish")
		if !evil.SignedIn() {
			t.Error("it does not: docs/threat-model.md is wrong")
		}
		if e := w.Events(t, audit.LoginApproved); len(e) != 1 || e[0].Detail != "workstation at "+attacker || e[0].Source != telephone {
			t.Errorf("the trail has %+v", e)
		}
	})
}
