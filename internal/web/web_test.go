package web_test

import (
	"html"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"promess/authgw/internal/web"
	"promess/authgw/internal/web/webtest"
)

// pages makes Pages or ends the test.
func pages(t *testing.T, site web.Site) *web.Pages {
	t.Helper()
	if site.Name == "" {
		site.Name = "ProMess"
	}
	p, err := web.NewPages(site)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// render draws a page in a language.
func render(t *testing.T, p *web.Pages, lang string, status int, page web.Page) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://auth.example/x", nil)
	r.Header.Set("Accept-Language", lang)
	w := httptest.NewRecorder()
	p.Render(w, r, status, page)
	return w
}

func TestEveryPageIsDrawnInBothLanguages(t *testing.T) {
	for name, page := range webtest.Samples() {
		for _, lang := range []string{"fr", "en"} {
			w := render(t, pages(t, web.Site{SupportPhone: "01 23 45 67 89", SupportMail: "aide@example.org"}), lang, http.StatusTeapot, page)
			if w.Code != http.StatusTeapot {
				t.Errorf("%s in %s: status %d, want %d: %s", name, lang, w.Code, http.StatusTeapot, w.Body)
			}
		}
	}
}

// What the pages say of a problem, of an end or of a change is looked at in a browser too, which shows every sample.
func TestSamplesShowEveryState(t *testing.T) {
	p := pages(t, web.Site{})
	var all strings.Builder
	for _, page := range webtest.Samples() {
		all.WriteString(html.UnescapeString(render(t, p, "fr", http.StatusOK, page).Body.String()))
	}
	shown := all.String()
	for key, text := range texts(t, "fr") {
		group, _, _ := strings.Cut(key, ".")
		switch group {
		case "otp", "otp_problem", "otp_code", "otp_code_problem", "otp_way", "password", "password_problem", "invitation", "invitation_problem", "totp", "totp_problem",
			"recovery", "passkey", "passkey_add", "passkey_problem", "phone_add", "phone_end", "qr", "phone", "phone_fault", "problem", "enrol", "factor":
			for part := range strings.SplitSeq(text, "%d") {
				if !strings.Contains(shown, part) {
					t.Errorf("no sample shows %s: %q", key, text)
				}
			}
		}
	}
}
