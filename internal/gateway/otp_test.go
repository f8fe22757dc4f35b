package gateway_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/config"
	"promess/authgw/internal/testpki"
)

// A person with a card chooses a password, and then signs in without it, with a code that comes by mail.
func TestPersonSignsInWithoutTheCard(t *testing.T) {
	f := newFiles(t)
	server := f.post(t)
	f.config.OTP = config.OTP{Enabled: true, MailCode: true, TOTP: true, Recovery: true}
	r := f.run(t)
	p := r.ask(t, "899700218896", "jeanne.martin@example.fr")
	p.answer(server, 1)
	const chosen = "une phrase assez longue"
	if location, body := p.send(auth+"/account/password", "password", chosen, "again", chosen); location != "/account?done=password_set" {
		t.Fatalf("the password leads to %q: %.2000s", location, body)
	}
	if m := server.Await(t, 2); !strings.Contains(m.Subject, "Un moyen de connexion a été ajouté") {
		t.Errorf("message about %q, want the notice of the password", m.Subject)
	}

	p = r.person(t, f.card(t, testpki.Card{NationalID: "899700218896"})) // another browser; the card is not used
	if _, _, body := p.visit(http.MethodGet, auth+"/login"); !strings.Contains(body, `action="/login/otp"`) {
		t.Error("the login page does not offer it")
	}
	if location, body := p.send(auth+"/login/otp/password", "identifier", "99700218896", "password", chosen); location != "/login/otp/code" {
		t.Fatalf("the password leads to %q: %.2000s", location, body)
	}
	p.send(auth + "/login/otp/mail")
	code := regexp.MustCompile(`\b[0-9]{4} [0-9]{4}\b`).FindString(server.Await(t, 3).Text)
	if location, body := p.send(auth+"/login/otp/code/mail", "code", code); location != "/account/register" && location != "/" {
		t.Fatalf("the code leads to %q: %.2000s", location, body)
	}
	p.wantSignedIn(true)
	if _, body := r.get(t, "/metrics"); !strings.Contains(body, `authgw_logins_total{method="otp",outcome="success",reason="none"} 1`) {
		t.Error("the metrics do not count the login by its method")
	}
	if all := r.log.String() + r.audit.String(); strings.Contains(all, chosen) || strings.Contains(all, "99700218896") {
		t.Error("the password or the identifier is in the log or the audit")
	}
}

// Switched off, by the file or by the lack of keys, there is nothing of it.
func TestNoPasswordsUnlessSwitchedOn(t *testing.T) {
	p := newFiles(t).run(t).person(t, nil)
	if status, _, _ := p.visit(http.MethodGet, auth+"/login/otp"); status != http.StatusNotFound {
		t.Errorf("/login/otp = %d, want 404", status)
	}
}
