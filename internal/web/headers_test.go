package web_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/web"
)

func TestHeadersOfAPage(t *testing.T) {
	const rest = "base-uri 'none'; frame-ancestors 'none'"
	for name, c := range map[string]struct {
		site    web.Site
		page    web.Page
		csp     string
		refresh []string
	}{
		"a page of the gateway": {web.Site{}, web.SignedOutPage{},
			"default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; " + rest, nil},
		"the login page leads to the agent": {web.Site{FormAction: []string{"http://127.0.0.1:24780"}}, web.LoginPage{Methods: []string{"card"}},
			"default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self' http://127.0.0.1:24780; " + rest, nil},
		"an agent's page has no script": {web.Site{Agent: true, FormAction: []string{"https://auth.example"}}, web.AgentPINPage{Action: "/x"},
			"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' https://auth.example; " + rest, nil},
		"the agent's status reloads": {web.Site{Agent: true}, web.AgentStatusPage{Step: "card"},
			"default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; " + rest, []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := render(t, pages(t, c.site), "fr", http.StatusOK, c.page)
			want := http.Header{
				"Content-Security-Policy":      {c.csp},
				"Cache-Control":                {"no-store"},
				"Content-Type":                 {"text/html; charset=utf-8"},
				"Content-Language":             {"fr"},
				"Content-Length":               {strconv.Itoa(w.Body.Len())},
				"Cross-Origin-Opener-Policy":   {"same-origin"},
				"Cross-Origin-Resource-Policy": {"same-origin"},
				"Permissions-Policy":           {"camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"},
				"Referrer-Policy":              {"same-origin"},
				"X-Content-Type-Options":       {"nosniff"},
				"X-Frame-Options":              {"DENY"},
			}
			if c.refresh != nil {
				want["Refresh"] = c.refresh
			}
			if diff := cmp.Diff(want, w.Header()); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSiteThatWouldBreakItsPagesIsRefused(t *testing.T) {
	for name, site := range map[string]web.Site{
		"no name":                               {},
		"a form action that is a policy":        {Name: "x", FormAction: []string{"https://a.example; script-src *"}},
		"a form action with a path":             {Name: "x", FormAction: []string{"https://a.example/x"}},
		"a form action that is a wildcard":      {Name: "x", FormAction: []string{"*"}},
		"an origin that is a script":            {Name: "x", Origin: "javascript:alert(1)"},
		"an origin with a line break":           {Name: "x", Origin: "https://a.example\r\nX: y"},
		"assets on another host":                {Name: "x", AssetsPath: "//a.example/"},
		"assets without a slash at the end":     {Name: "x", AssetsPath: "/static"},
		"assets without a slash at the begin":   {Name: "x", AssetsPath: "static/"},
		"a form action with a trailing newline": {Name: "x", FormAction: []string{"https://a.example\n"}},
	} {
		if _, err := web.NewPages(site); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestPageThatCannotBeDrawnIsAPlain500(t *testing.T) {
	var log bytes.Buffer
	p := pages(t, web.Site{Log: slog.New(slog.NewTextHandler(&log, nil))})
	w := render(t, p, "fr", http.StatusOK, nil)
	if w.Code != http.StatusInternalServerError || w.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Content-Security-Policy") == "" {
		t.Errorf("headers %v", w.Header())
	}
	if !strings.Contains(log.String(), "page not drawn") {
		t.Errorf("log %q", log.String())
	}
}

func TestHeadGetsTheHeadersAlone(t *testing.T) {
	w := httptest.NewRecorder()
	pages(t, web.Site{}).Render(w, httptest.NewRequest(http.MethodHead, "/", nil), http.StatusNotFound, web.ErrorPage{Code: "not_found"})
	if w.Code != http.StatusNotFound || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("status %d, %d bytes, headers %v", w.Code, w.Body.Len(), w.Header())
	}
}

// assetsOf returns the addresses of the assets that a page refers to.
func assetsOf(t *testing.T, p *web.Pages) []string {
	t.Helper()
	var all []string
	for _, e := range parse(t, render(t, p, "fr", 200, web.SignedOutPage{}).Body.String()) {
		if e.name == "link" {
			all = append(all, e.attr["href"])
		}
		if e.name == "script" {
			all = append(all, e.attr["src"])
		}
	}
	return all
}

func TestAssetsAreServedForEver(t *testing.T) {
	types := map[string]string{".css": "text/css; charset=utf-8", "p.js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	for _, mount := range []string{web.AssetsPath, "/.authgw/static/"} {
		p := pages(t, web.Site{AssetsPath: mount})
		addresses := assetsOf(t, p)
		if len(addresses) != 3 {
			t.Fatalf("%d assets, want 3", len(addresses))
		}
		for _, address := range addresses {
			w := httptest.NewRecorder()
			p.Assets().ServeHTTP(w, httptest.NewRequest(http.MethodGet, address, nil))
			want := http.Header{
				"Cache-Control":                {"public, max-age=31536000, immutable"},
				"Content-Length":               {strconv.Itoa(w.Body.Len())},
				"Content-Security-Policy":      {"default-src 'none'; style-src 'self'; frame-ancestors 'none'"},
				"Content-Type":                 {types[address[len(address)-4:]]},
				"Cross-Origin-Resource-Policy": {"same-origin"},
				"X-Content-Type-Options":       {"nosniff"},
			}
			if diff := cmp.Diff(want, w.Header()); diff != "" || w.Code != 200 || w.Body.Len() == 0 || !strings.HasPrefix(address, mount) {
				t.Errorf("%s: status %d, headers (-want +got):\n%s", address, w.Code, diff)
			}
		}
	}
}

func TestAssetsGiveNothingElse(t *testing.T) {
	p := pages(t, web.Site{})
	address := assetsOf(t, p)[0]
	dir := address[:strings.LastIndex(address, "/")+1]
	for name, c := range map[string]struct {
		method, path string
		want         int
	}{
		"no file":             {"GET", "/static/", 404},
		"the directory":       {"GET", dir, 404},
		"another hash":        {"GET", "/static/0000000000000000/style.css", 404},
		"no hash":             {"GET", "/static/style.css", 404},
		"a path out of it":    {"GET", dir + "../../pages.go", 404},
		"an encoded path out": {"GET", dir + "%2e%2e/style.css", 404},
		"a source file":       {"GET", dir + "layout.html", 404},
		"a post":              {"POST", address, 405},
		"a head":              {"HEAD", address, 200},
	} {
		w := httptest.NewRecorder()
		p.Assets().ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.want)
		}
		if c.want != 200 && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: a refusal is cached: %v", name, w.Header())
		}
	}
}
