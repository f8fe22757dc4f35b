package web_test

import (
	"net/http"
	"net/http/httptest"
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
