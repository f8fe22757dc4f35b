package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/web"
)

// A person who waits is told for how long, and never for less.
func TestWaitIsSaidInFull(t *testing.T) {
	p := pages(t, web.Site{})
	for _, tt := range []struct {
		wait time.Duration
		want string
	}{
		{time.Millisecond, " 1\u00a0s."}, {2 * time.Second, " 2\u00a0s."}, {2*time.Second + 1, " 3\u00a0s."}, {90 * time.Second, " 90\u00a0s."},
		{91 * time.Second, " 2\u00a0min."}, {5 * time.Minute, " 5\u00a0min."}, {5*time.Minute + time.Second, " 6\u00a0min."},
	} {
		body := render(t, p, "fr", http.StatusTooManyRequests, web.OTPPage{Action: "/x", Problem: "throttled", Wait: tt.wait}).Body.String()
		if !strings.Contains(body, tt.want) {
			t.Errorf("%s: the page does not say %q", tt.wait, tt.want)
		}
	}
}

// Browsers and password managers fill in what the fields say that they are (HTML, section 4.10.18.7.1).
func TestFieldsSayWhatTheyAreFor(t *testing.T) {
	p := pages(t, web.Site{})
	for name, tt := range map[string]struct {
		page web.Page
		want map[string]string // by name of the field
	}{
		"password": {web.OTPPage{Action: "/x"}, map[string]string{"identifier": "username", "password": "current-password"}},
		"app":      {web.OTPCodePage{Way: "totp", Action: "/x", Digits: 6}, map[string]string{"code": "one-time-code"}},
		"mail":     {web.OTPCodePage{Way: "mail", Action: "/x", Sent: true, Digits: 8}, map[string]string{"code": "one-time-code"}},
		"new password": {
			web.PasswordPage{Action: "/x", Identifier: "899700218896"},
			map[string]string{"identifier": "username", "password": "new-password", "again": "new-password"},
		},
		"enrolment": {web.TOTPPage{Action: "/x", Digits: 6}, map[string]string{"code": "one-time-code"}},
	} {
		fields := map[string]element{}
		for _, e := range find(parse(t, render(t, p, "fr", http.StatusOK, tt.page).Body.String()), "input") {
			fields[e.attr["name"]] = e
		}
		for field, want := range tt.want {
			if got := fields[field].attr["autocomplete"]; got != want {
				t.Errorf("%s: %s has autocomplete %q, want %q", name, field, got, want)
			}
			if secret := strings.HasSuffix(want, "-password"); (fields[field].attr["type"] == "password") != secret {
				t.Errorf("%s: %s is of type %q", name, field, fields[field].attr["type"])
			}
			if want == "one-time-code" && fields[field].attr["inputmode"] != "numeric" {
				t.Errorf("%s: %s asks for no keyboard of digits", name, field)
			}
		}
	}
}

// The key is in the page as an image and in text; without the image there is still the text.
func TestKeyIsShownInBothForms(t *testing.T) {
	p := pages(t, web.Site{})
	page := web.TOTPPage{Action: "/x", URI: "otpauth://totp/x?secret=JBSWY3DPEHPK3PXP", Key: "JBSWY3DPEHPK3PX"}
	body := render(t, p, "fr", http.StatusOK, page).Body.String()
	if !strings.Contains(body, `<svg class="qr"`) || !strings.Contains(body, "<span>JBSW</span> <span>Y3DP</span> <span>EHPK</span> <span>3PX</span>") {
		t.Errorf("the page lacks the one or the other:\n%s", body)
	}
	page.URI = ""
	if body := render(t, p, "fr", http.StatusOK, page).Body.String(); strings.Contains(body, `class="qr"`) || !strings.Contains(body, "<span>JBSW</span>") {
		t.Errorf("without the image:\n%s", body)
	}
}
