package qr_test

import (
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

// adding begins an enrolment at a workstation where the person has signed in, and returns its code.
func (w *world) adding(t *testing.T) (*idptest.Browser, string) {
	t.Helper()
	b := w.Browser(t, workstation)
	b.LogIn()
	b.Post("/account/phone")
	return b, code(t, b, "/account/phone/code")
}

// wantNotAdded wants no phone in the account, and the reason in the trail.
func wantNotAdded(t *testing.T, w *world, reason string) {
	t.Helper()
	if all := w.phones(t); len(all) != 0 {
		t.Errorf("%d phones are there", len(all))
	}
	if e := w.Events(t, audit.FactorAdded); reason != "" && (len(e) != 1 || e[0].Reason != reason || e[0].Outcome != "refused" || e[0].Subject == "") {
		t.Errorf("the trail has %+v, want a refusal for %q", e, reason)
	}
}

// carried says whether an attribute of a page that is not about sizes is a number.
func carried(page, number string) bool {
	return regexp.MustCompile(`(value|content|data-[a-z-]+|title|placeholder|aria-label)="` + number + `"`).MatchString(page)
}

func TestPhoneIsAddedWhenBothSidesAgree(t *testing.T) {
	w := newWorld(t)
	b, shown := w.adding(t)
	p := w.phone(t)
	got, status := p.claim(shown)
	if status != http.StatusOK || got.Kind != "phone" || got.Name != "JEANNE MARTIN" || len(got.Number) != 2 {
		t.Fatalf("claim = %d %+v", status, got)
	}
	if page := b.Get("/account/phone/code"); strings.Contains(page.Body, ">"+got.Number+"<") || carried(page.Body, got.Number) || !strings.Contains(page.Body, `name="number"`) {
		t.Errorf("the workstation shows %s", page.Body)
	}
	if got, status := p.add(t, "trop tôt"); status != http.StatusConflict {
		t.Errorf("before the workstation has confirmed = %d %+v", status, got)
	}
	b.Post("/account/phone/confirm", "number", " "+got.Number[:1]+" "+got.Number[1:]+" ") // however it is written
	if got, status := p.add(t, "  Mon\u202e téléphone\n  "); status != http.StatusOK {
		t.Fatalf("add = %d %+v", status, got)
	}
	if page := b.Get("/account/phone/code"); !strings.Contains(page.Body, "Téléphone ajouté") || !strings.Contains(page.Body, "Mon téléphone") {
		t.Errorf("the workstation shows %s", page.Body)
	}
	all := w.phones(t)
	if len(all) != 1 || all[0].Kind != store.Phone || all[0].Label != "Mon téléphone" || all[0].ACR != idp.ACRHardware {
		t.Errorf("the account has %+v", all)
	}
	if page := b.Get("/account").Body; !strings.Contains(page, "Mon téléphone") || !strings.Contains(page, "/account/factors/"+all[0].ID+"/remove") {
		t.Error("the account does not show it with a button to remove it")
	}
	if got, status := p.add(t, "noch einmal"); status != http.StatusConflict {
		t.Errorf("a second key = %d %+v", status, got)
	}
}

// The key of a phone is of the phone itself, is found without a name, and asks who is there each time (WebAuthn level 3, section 5.4.4).
func TestWhatAPhoneIsAskedFor(t *testing.T) {
	w := newWorld(t)
	had := w.enrolled(t)
	b, shown := w.adding(t)
	p := w.phone(t)
	got, _ := p.claim(shown)
	b.Post("/account/phone/confirm", "number", got.Number)
	asked, _ := p.ask("options", struct{}{})
	options, _ := asked.Options.(map[string]any)
	want := map[string]any{"authenticatorAttachment": "platform", "residentKey": "required", "requireResidentKey": true, "userVerification": "required"}
	if diff := cmp.Diff(want, options["authenticatorSelection"]); diff != "" {
		t.Errorf("authenticatorSelection (-want +got):\n%s", diff)
	}
	if options["attestation"] != "none" {
		t.Errorf("attestation %v", options["attestation"])
	}
	if _, err := had.device.Create(encode(t, asked.Options)); err == nil || err.Error() != "InvalidStateError" {
		t.Errorf("the phone that has a key makes another: %v", err)
	}
	begin(t, b)
	p.claim(code(t, b, "/login/qr"))
	asked, _ = p.pick(shownNumber(t, b))
	if options, _ := asked.Options.(map[string]any); options["userVerification"] != "required" || options["rpId"] != idptest.Host {
		t.Errorf("to sign in: %v", options)
	}
}

// D18: who sees the code first and scans it cannot add a phone: the person reads no number on their own.
func TestD18PhoneOfSomebodyElse(t *testing.T) {
	w := newWorld(t)
	b, shown := w.adding(t)
	thief, p := w.phone(t), w.phone(t)
	taken, _ := thief.claim(shown)
	if got, status := p.claim(shown); status != http.StatusConflict || got.Error != "taken" || got.Number != "" || got.Name != "" {
		t.Errorf("the person's phone = %d %+v", status, got)
	}
	wrong := "10"
	if taken.Number == wrong {
		wrong = "11"
	}
	b.Post("/account/phone/confirm", "number", wrong)
	b.Post("/account/phone/confirm", "number", taken.Number) // too late: one wrong number ends it
	if got, status := thief.add(t, "thief"); status != http.StatusConflict {
		t.Errorf("add = %d %+v", status, got)
	}
	if all := w.phones(t); len(all) != 0 {
		t.Errorf("%d phones are there", len(all))
	}
	var reasons []string
	for _, e := range w.Events(t, audit.FactorAdded) {
		reasons = append(reasons, e.Reason)
	}
	if strings.Join(reasons, " ") != "second_phone wrong_number" {
		t.Errorf("the trail has the reasons %q", reasons)
	}
}

func TestEnrolmentThatEnds(t *testing.T) {
	t.Run("the phone says it is not them", func(t *testing.T) {
		w := newWorld(t)
		b, shown := w.adding(t)
		p := w.phone(t)
		got, _ := p.claim(shown)
		p.deny()
		b.Post("/account/phone/confirm", "number", got.Number)
		if got, status := p.add(t, "x"); status != http.StatusConflict {
			t.Errorf("add = %d %+v", status, got)
		}
		wantNotAdded(t, w, "not_me")
	})
	t.Run("nothing is confirmed (D8)", func(t *testing.T) {
		w := newWorld(t)
		b, shown := w.adding(t)
		p := w.phone(t)
		p.claim(shown)
		b.Post("/account/phone/confirm")
		if got, status := p.add(t, "x"); status != http.StatusConflict {
			t.Errorf("add = %d %+v", status, got)
		}
		wantNotAdded(t, w, "wrong_number")
	})
	t.Run("five minutes pass", func(t *testing.T) {
		w := newWorld(t)
		b, shown := w.adding(t)
		p := w.phone(t)
		got, _ := p.claim(shown)
		w.Advance(5 * time.Minute)
		b.Post("/account/phone/confirm", "number", got.Number)
		if got, status := p.add(t, "x"); status != http.StatusConflict {
			t.Errorf("add = %d %+v", status, got)
		}
		if got, status := w.phone(t).claim(shown); status != http.StatusConflict && status != http.StatusNotFound {
			t.Errorf("claim = %d %+v", status, got)
		}
		wantNotAdded(t, w, "")
	})
	t.Run("the session ends meanwhile", func(t *testing.T) {
		w := newWorld(t)
		b, shown := w.adding(t)
		p := w.phone(t)
		got, _ := p.claim(shown)
		b.Post("/account/phone/confirm", "number", got.Number)
		w.Browser(t, workstation).LogIn() // another of theirs, which has asked for nothing
		b.Post("/logout")
		if got, status := p.add(t, "x"); status != http.StatusConflict {
			t.Errorf("add = %d %+v", status, got)
		}
		wantNotAdded(t, w, "")
	})
	t.Run("the account is disabled meanwhile (D14)", func(t *testing.T) {
		w := newWorld(t)
		b, shown := w.adding(t)
		subject := w.Session(t, b).Account.Subject
		p := w.phone(t)
		got, _ := p.claim(shown)
		b.Post("/account/phone/confirm", "number", got.Number)
		if _, err := w.Store.DisableAccount(t.Context(), subject, w.Now()); err != nil {
			t.Fatal(err)
		}
		if got, status := p.add(t, "x"); status != http.StatusConflict {
			t.Errorf("add = %d %+v", status, got)
		}
		if all, err := w.Store.Factors(t.Context(), subject); len(all) != 0 || err != nil {
			t.Errorf("%d phones, %v", len(all), err)
		}
	})
	t.Run("the key is not of this site", func(t *testing.T) {
		w := newWorld(t)
		b, shown := w.adding(t)
		p := w.phone(t)
		p.device.Origin = "https://evil.example"
		got, _ := p.claim(shown)
		b.Post("/account/phone/confirm", "number", got.Number)
		if got, status := p.add(t, "x"); status != http.StatusForbidden || got.Error != "passkey_refused" {
			t.Errorf("add = %d %+v", status, got)
		}
		wantNotAdded(t, w, "passkey_refused")
	})
}

// D7: no other site begins, confirms, approves, refuses or finishes anything, by a form or by a link.
func TestD7RequestsOfOtherSitesAreRefused(t *testing.T) {
	w := newWorld(t)
	b, shown := w.adding(t)
	p := w.phone(t)
	got, _ := p.claim(shown)
	for path, who := range map[string]*idptest.Browser{
		"/login/qr": b, "/login/qr/finish": b, "/account/phone": b, "/account/phone/confirm": b,
		"/phone/claim": p.Browser, "/phone/pick": p.Browser, "/phone/approve": p.Browser, "/phone/deny": p.Browser, "/phone/options": p.Browser, "/phone/add": p.Browser,
	} {
		for _, site := range []string{"cross-site", "same-site"} {
			const form = "application/x-www-form-urlencoded"
			if got := who.Do(http.MethodPost, path, form, "number="+got.Number, "Sec-Fetch-Site", site); got.Status != http.StatusForbidden {
				t.Errorf("%s = %d, want 403", path, got.Status)
			}
			who.Do(http.MethodGet, path+"?number="+got.Number, "", "", "Sec-Fetch-Site", site)
		}
	}
	if got, status := p.add(t, "von anderswo"); status != http.StatusConflict {
		t.Errorf("add = %d %+v: another site has confirmed the phone", status, got)
	}
	b.Post("/account/phone/confirm", "number", got.Number) // and nothing has ended meanwhile
	if got, status := p.add(t, "Mon téléphone"); status != http.StatusOK {
		t.Errorf("add = %d %+v", status, got)
	}
}

// D6: a phone is added, and confirmed, after a recent login only; the code is no page of somebody else's session.
func TestD6EnrolmentThatIsRefused(t *testing.T) {
	w := newWorld(t)
	b := w.Browser(t, workstation)
	if got := b.Post("/account/phone"); got.Location != "/login" {
		t.Errorf("without a session = %d %s", got.Status, got.Location)
	}
	b.LogIn()
	w.Advance(9 * time.Minute)
	b.Post("/account/phone")
	p := w.phone(t)
	got, _ := p.claim(code(t, b, "/account/phone/code"))
	other := w.Browser(t, workstation)
	other.LogIn()
	other.Post("/account/phone/confirm", "number", got.Number)
	if got, status := p.add(t, "x"); status != http.StatusConflict {
		t.Errorf("confirmed by another session = %d %+v", status, got)
	}
	w.Advance(2 * time.Minute)
	if page := b.Post("/account/phone/confirm", "number", got.Number); !strings.Contains(page.Body, "prouvez d’abord") {
		t.Errorf("confirmed late = %d %s", page.Status, page.Body)
	}
	if got, status := p.add(t, "x"); status != http.StatusConflict {
		t.Errorf("confirmed late = %d %+v", status, got)
	}
	if page := b.Post("/account/phone"); !strings.Contains(page.Body, "prouvez d’abord") {
		t.Errorf("begun late = %d %s", page.Status, page.Body)
	}
}

func TestPhonesAreBounded(t *testing.T) {
	w := newWorld(t)
	for range passkey.Most {
		w.enrolled(t)
		w.Advance(time.Second)
	}
	b, shown := w.adding(t)
	p := w.phone(t)
	got, _ := p.claim(shown)
	b.Post("/account/phone/confirm", "number", got.Number)
	if got, status := p.add(t, "x"); status != http.StatusForbidden || got.Error != "full" {
		t.Errorf("add = %d %+v", status, got)
	}
	if page := b.Get("/account/phone/code"); !strings.Contains(page.Body, "autant de téléphones") {
		t.Errorf("the workstation shows %s", page.Body)
	}
}

// D13: the phone has the level of the login that enrolled it, as long as that is not above its own.
func TestD13PhoneEnrolledByALowerLogin(t *testing.T) {
	w := newWorld(t)
	proof := w.Proof()
	proof.ACR = idp.ACRTwoFactor
	w.Believe(proof)
	w.enrolled(t, func(d *passkeytest.Device) { d.Synced = false })
	if all := w.phones(t); len(all) != 1 || all[0].ACR != idp.ACRTwoFactor {
		t.Errorf("the account has %+v", all)
	}
}
