package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"promess/authgw/internal/web"
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

// samples has each page at least once, with every part of it shown.
func samples() map[string]web.Page {
	person := web.Person{Name: "Dr Jeanne Martin", Profession: "10", CardType: "CPS"}
	return map[string]web.Page{
		"login":         web.LoginPage{Service: "Messagerie", Methods: []string{"card", "otp", "qr", "psc"}, Browser: "/login/card/browser", Notice: "expired"},
		"wait":          web.WaitPage{StatusURL: "/login/card/status", AgentURL: "authgw-agent:start/demo", RetryURL: "/login"},
		"portal":        web.PortalPage{Person: person, Services: []web.PortalService{{Title: "Messagerie", Description: "Boîte aux lettres sécurisée", URL: "https://mail.example/"}}},
		"portal empty":  web.PortalPage{Person: person},
		"signing out":   web.SigningOutPage{Next: "https://mail.example/.authgw/leave"},
		"signed out":    web.SignedOutPage{},
		"error":         web.ErrorPage{Code: "card_expired", Support: "K7QM2X9D", RetryURL: "/login", Person: &person},
		"error bare":    web.ErrorPage{Code: "not_found"},
		"agent status":  web.AgentStatusPage{Step: "dialog", Gateway: "ProMess", Origin: "https://auth.example", Holder: "Jeanne Martin", Cancel: "/cancel/x"},
		"agent pin":     web.AgentPINPage{Gateway: "ProMess", Origin: "https://auth.example", Holder: "Jeanne Martin", Action: "/pin/x", Cancel: "/cancel/x", Min: 4, Max: 4, Last: true, Wrong: true},
		"agent choice":  web.AgentChoicePage{Gateway: "ProMess", Origin: "https://auth.example", Action: "/choice/x", Cancel: "/cancel/x", Tokens: []web.AgentToken{{Value: "1", Holder: "Jeanne Martin", Serial: "2800636234", Reader: "Reader 0"}}},
		"agent error":   web.AgentErrorPage{Code: "card_software", Detail: "CKR_DEVICE_ERROR", RetryURL: "https://auth.example/login"},
		"agent home":    web.AgentHomePage{Version: "1.2.3", Gateways: []web.AgentGateway{{Title: "ProMess", URL: "https://auth.example/"}}},
		"agent no home": web.AgentHomePage{},
	}
}

func TestEveryPageIsDrawnInBothLanguages(t *testing.T) {
	for name, page := range samples() {
		for _, lang := range []string{"fr", "en"} {
			w := render(t, pages(t, web.Site{SupportPhone: "01 23 45 67 89", SupportMail: "aide@example.org"}), lang, http.StatusTeapot, page)
			if w.Code != http.StatusTeapot {
				t.Errorf("%s in %s: status %d, want %d: %s", name, lang, w.Code, http.StatusTeapot, w.Body)
			}
		}
	}
}
