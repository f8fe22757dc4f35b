package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/web"
)

func TestLanguageIsTheOneAskedFor(t *testing.T) {
	for name, c := range map[string]struct{ query, cookie, header, want string }{
		"nothing asked":                        {"", "", "", "fr"},
		"French":                               {"", "", "fr-FR,fr;q=0.9,en;q=0.8", "fr"},
		"English":                              {"", "", "en-GB,en;q=0.9", "en"},
		"English before French":                {"", "", "en,fr", "en"},
		"French of a higher weight":            {"", "", "en;q=0.5, fr;q=0.8", "fr"},
		"neither, then English":                {"", "", "de-DE,de;q=0.9,en;q=0.8", "en"},
		"neither":                              {"", "", "de", "fr"},
		"English refused":                      {"", "", "en;q=0", "fr"},
		"any":                                  {"", "", "*", "fr"},
		"upper case":                           {"", "", "EN-us;Q=1", "en"},
		"a weight that is no number":           {"", "", "en;q=NaN", "fr"},
		"a weight above one":                   {"", "", "en;q=7,fr;q=0.1", "fr"},
		"a language that begins like English":  {"", "", "enm", "fr"},
		"a header without end":                 {"", "", strings.Repeat("en,", 5000), "fr"},
		"the cookie wins over the browser":     {"", "en", "fr", "en"},
		"a cookie of nonsense is not believed": {"", "xx", "en", "en"},
		"the address wins over the cookie":     {"lang=fr", "en", "en", "fr"},
		"an address of nonsense is ignored":    {"lang=../../etc", "", "en", "en"},
	} {
		r := httptest.NewRequest(http.MethodGet, "https://auth.example/?"+c.query, nil)
		r.Header.Set("Accept-Language", c.header)
		if c.cookie != "" {
			r.Header.Set("Cookie", "__Host-lang="+c.cookie)
		}
		w := httptest.NewRecorder()
		pages(t, web.Site{}).Render(w, r, 200, web.SignedOutPage{})
		if got := w.Header().Get("Content-Language"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestLanguageOfTheAddressIsRemembered(t *testing.T) {
	w := httptest.NewRecorder()
	pages(t, web.Site{}).Render(w, httptest.NewRequest(http.MethodGet, "/?lang=en-US", nil), 200, web.SignedOutPage{})
	want := "__Host-lang=en; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax"
	if got := w.Header().Get("Set-Cookie"); got != want {
		t.Errorf("cookie %q, want %q", got, want)
	}
}

func TestAgentKeepsNoCookie(t *testing.T) {
	w := httptest.NewRecorder()
	pages(t, web.Site{Agent: true}).Render(w, httptest.NewRequest(http.MethodGet, "/?lang=en", nil), 200, web.AgentHomePage{})
	if got := w.Header().Get("Set-Cookie"); got != "" {
		t.Errorf("cookie %q", got)
	}
}

// The link that changes the language is "?lang=…": where it would drop a query, or where the page answers a form, it is not shown.
func TestLanguageLinkIsShownOnlyWhereItLosesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		method, target string
		want           bool
	}{
		"a plain page":          {"GET", "/login", true},
		"a changed language":    {"GET", "/login?lang=en", true},
		"a page with a query":   {"GET", "/login?next=x", false},
		"more than a language":  {"GET", "/login?lang=en&next=x", false},
		"the answer to a form":  {"POST", "/login/card", false},
		"an encoded other name": {"GET", "/login?lang=en%26x", false},
	} {
		w := httptest.NewRecorder()
		pages(t, web.Site{}).Render(w, httptest.NewRequest(c.method, c.target, nil), 200, web.SignedOutPage{})
		if got := strings.Contains(w.Body.String(), `href="?lang=`); got != c.want {
			t.Errorf("%s: shown %v, want %v", name, got, c.want)
		}
	}
}

// On the way from a service a person may read in their language what they agree to: those pages are there for as long as their request is.
func TestLanguageLinkKeepsTheRequestOfAPage(t *testing.T) {
	const handle = "A-z_09"
	for name, c := range map[string]struct {
		method, target string
		page           web.Page
		want           string
	}{
		"consent":               {"GET", "/oauth/consent?request=A-z_09", web.ConsentPage{Request: handle}, `href="?request=A-z_09&amp;lang=en"`},
		"consent, changed":      {"GET", "/oauth/consent?request=A-z_09&lang=en", web.ConsentPage{Request: handle}, `href="?request=A-z_09&amp;lang=fr"`},
		"not admitted":          {"GET", "/oauth/resume?request=A-z_09", web.ClientRefusedPage{Request: handle}, `href="?request=A-z_09&amp;lang=en"`},
		"a device":              {"GET", "/device/confirm?request=A-z_09", web.DeviceConfirmPage{Request: handle}, `href="?request=A-z_09&amp;lang=en"`},
		"the answer to a form":  {"POST", "/device/confirm?request=A-z_09", web.DeviceConfirmPage{Request: handle}, ""},
		"another request":       {"GET", "/oauth/consent?request=A-z_09x", web.ConsentPage{Request: handle}, ""},
		"more than a request":   {"GET", "/oauth/consent?request=A-z_09&x=y", web.ConsentPage{Request: handle}, ""},
		"the login":             {"GET", "/login?service=mail&state=x", web.LoginPage{}, `href="?lang=en"`},
		"the login elsewhere":   {"GET", "/logout?state=x", web.LoginPage{}, ""},
		"a page that is over":   {"GET", "/oauth/resume?request=A-z_09", web.ReturnPage{Next: "https://agenda.example/cb?code=x"}, ""},
		"no request at all":     {"GET", "/oauth/consent?request=", web.ConsentPage{}, ""},
		"what is no handle":     {"GET", `/oauth/consent?request="><b>`, web.ConsentPage{Request: `"><b>`}, `href="?request=%22%3e%3cb%3e&amp;lang=en"`},
		"without what it shows": {"GET", "/oauth/consent", web.ConsentPage{Request: handle}, `href="?lang=en"`},
	} {
		r := httptest.NewRequest(c.method, "/", nil)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(c.target, "?")
		w := httptest.NewRecorder()
		pages(t, web.Site{}).Render(w, r, 200, c.page)
		found := regexp.MustCompile(`href="\?[^"]*"`).FindString(w.Body.String())
		if found != c.want {
			t.Errorf("%s: the link is %q, want %q", name, found, c.want)
		}
	}
}

// Whatever a request holds, the page is one of two, and nothing of the request comes back in it or in its headers.
func FuzzRequestChoosesOneOfTwoPages(f *testing.F) {
	f.Add("en", "fr", "lang=en")
	f.Add("fr\r\nX-Injected: 1", "en\r\n", "lang=en%0d%0aX-Injected:1")
	f.Add("en;q=1e309,fr;q=-0", "en; Domain=evil", "lang=en&lang=<script>")
	p, err := web.NewPages(web.Site{Name: "ProMess"})
	if err != nil {
		f.Fatal(err)
	}
	draw := func(header, cookie, query string) *httptest.ResponseRecorder {
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/", RawQuery: query}, Header: http.Header{"Accept-Language": {header}, "Cookie": {"__Host-lang=" + cookie}}}
		w := httptest.NewRecorder()
		p.Render(w, r, 200, web.SignedOutPage{})
		return w
	}
	allowed := map[string]bool{}
	for _, lang := range []string{"fr", "en"} {
		allowed[draw(lang, "", "").Body.String()] = true
		allowed[draw(lang, "", "x").Body.String()] = true
	}
	f.Fuzz(func(t *testing.T, header, cookie, query string) {
		w := draw(header, cookie, query)
		if !allowed[w.Body.String()] {
			t.Errorf("another page: %s", w.Body)
		}
		switch c := w.Header().Get("Set-Cookie"); c {
		case "", "__Host-lang=fr; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax", "__Host-lang=en; Path=/; Max-Age=31536000; HttpOnly; Secure; SameSite=Lax":
		default:
			t.Errorf("cookie %q", c)
		}
	})
}
