package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"promess/authgw/internal/testpki"
	"promess/authgw/internal/web"
	"promess/authgw/internal/web/webtest"
)

// TestNoPageHasABarrier shows every page of both programs in Chromium, in both languages, on a desktop and on a narrow telephone, in
// the light and the dark scheme, to axe-core: rules of WCAG 2.2 and of good practice that a machine can check, written by others.
// Nothing may overflow sideways at 320 px (WCAG 2.2, success criterion 1.4.10), fail in the console, or come from another host.
func TestNoPageHasABarrier(t *testing.T) {
	axe := axeCore(t)
	server := newGallery(t)
	root, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	browser := startChromium(t, root.Server.Certificate).browser(t)
	seen := browser.record(t, server.URL)
	for _, name := range slices.Sorted(maps.Keys(webtest.Samples())) {
		for _, lang := range []string{"fr", "en"} {
			t.Run(name+" "+lang, func(t *testing.T) {
				browser.open(t, server.URL+"/?"+url.Values{"page": {name}, "lang": {lang}}.Encode())
				browser.do(t, chromedp.Evaluate[chromedp.Void](axe))
				for _, view := range views {
					browser.show(t, view)
					browser.reveal(t, view)
					for _, barrier := range browser.barriers(t, view) {
						t.Errorf("%s: %s", view.name, barrier)
					}
					browser.screenshot(t, strings.ReplaceAll(fmt.Sprintf("%s %s %s", name, lang, view.name), " ", "-"))
				}
				for _, fault := range seen.take() {
					t.Error(fault)
				}
			})
		}
	}
	t.Run("a page that has barriers", func(t *testing.T) {
		browser.seesBarriers(t)
		eventually(t, "the browser tells what the policy refused", func() error {
			if told := strings.Join(seen.take(), "\n"); !strings.Contains(told, "Content Security Policy") {
				return fmt.Errorf("it tells: %s", told)
			}
			return nil
		})
	})
}

// view is a way to look at a page.
type view struct {
	name   string
	width  int64
	scheme string
	menu   bool // the menu is open
}

var views = []view{
	{"desktop light", 1280, "light", false},
	{"desktop dark", 1280, "dark", true},
	{"phone light", 320, "light", false},
	{"phone dark", 320, "dark", true},
}

func (b *tab) show(t *testing.T, v view) {
	t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetScrollbarsHidden, emulation.SetScrollbarsHiddenParams{Hidden: true}); err != nil {
		t.Fatal(err) // a telephone's take no width
	}
	b.do(t, chromedp.EmulateViewport(v.width, 800),
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`for (const menu of document.querySelectorAll("details")) { menu.open = %v }`, v.menu)))
}

// reveal shows, while the menu is open, whatever else the scripts of a page may show of what it shows, and what it says without scripts.
func (b *tab) reveal(t *testing.T, v view) {
	t.Helper()
	b.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
		const open = %v;
		for (const e of document.querySelectorAll("[data-say], [data-text], [data-if], [data-start], [data-print], [data-state]")) {
			if (open && e.hidden) { e.dataset.revealed = ""; e.hidden = false; }
			if (!open && "revealed" in e.dataset) { delete e.dataset.revealed; e.hidden = true; }
		}
		for (const e of document.querySelectorAll(".revealed")) { e.remove(); }
		for (const e of open ? document.querySelectorAll("body noscript") : []) {
			const shown = document.createElement("div");
			shown.className = "revealed";
			shown.innerHTML = e.textContent;
			e.after(shown);
		}
	}`, v.menu)))
}

// barriers returns what axe-core finds on a page, and what is wider than its view.
func (b *tab) barriers(t *testing.T, v view) []string {
	t.Helper()
	const script = `axe.run(document, {resultTypes: ["violations"]}).then(found => JSON.stringify({
		rules: found.passes.length,
		violations: found.violations.map(v => v.id + " (" + v.help + "):\n" + v.nodes.map(n => n.html + " " + n.failureSummary).join("\n")),
		wide: [...document.querySelectorAll("body, body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 200)),
		width: document.documentElement.scrollWidth,
	}))`
	var found struct {
		Rules      int      `json:"rules"`
		Violations []string `json:"violations"`
		Wide       []string `json:"wide"`
		Width      int64    `json:"width"`
	}
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: axe-core: %v", v.name, err)
	}
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		t.Fatal(err)
	}
	all := found.Violations
	if found.Rules < 10 {
		all = append(all, fmt.Sprintf("axe-core applied %d rules: it did not see the page", found.Rules))
	}
	if found.Width > v.width || len(found.Wide) > 0 {
		all = append(all, fmt.Sprintf("the page is %d px wide, want at most %d; too wide are:\n%s", found.Width, v.width, strings.Join(found.Wide, "\n")))
	}
	return all
}

// seesBarriers puts barriers on a page, without which a test that finds none says nothing.
func (b *tab) seesBarriers(t *testing.T) {
	phone := views[len(views)-1]
	b.show(t, phone)
	b.do(t, chromedp.Evaluate[chromedp.Void](`
		document.documentElement.removeAttribute("lang");
		const wide = document.createElement("p");
		wide.textContent = "x".repeat(400);
		wide.className = "contact";
		document.querySelector("main").append(wide);
		const field = document.createElement("input");
		document.querySelector("main").append(field);
		fetch("https://evil.promess.test/").catch(() => console.error("refused"));`))
	found := strings.Join(b.barriers(t, phone), "\n")
	for _, want := range []string{"html-has-lang", "label (", "px wide"} {
		if !strings.Contains(found, want) {
			t.Errorf("it does not see %q, only:\n%s", want, found)
		}
	}
}

// faults are what a browser said or did that it should not.
type faults struct {
	mu  sync.Mutex
	all []string
}

func (f *faults) add(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, fmt.Sprintf(format, args...))
}

// take returns the faults since the last time.
func (f *faults) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := f.all
	f.all = nil
	return all
}

// record begins to note what a tab writes to its console, what its pages break of their own policy, and requests to another origin.
func (b *tab) record(t *testing.T, origin string) *faults {
	t.Helper()
	f := &faults{}
	err := chromedp.Listen(b.ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, origin+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
				f.add("request to another host: %s", e.Request.URL)
			}
		case *runtime.EventConsoleAPICalled:
			f.add("console: %s", e.Type)
		case *runtime.EventExceptionThrown:
			f.add("exception: %s", e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			f.add("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// newGallery serves every sample page, as the program draws it that owns it.
func newGallery(t *testing.T) *httptest.Server {
	t.Helper()
	site := web.Site{Name: "ProMess", SupportPhone: "01 23 45 67 89", SupportMail: "assistance@promess.test"}
	gateway, err := web.NewPages(site)
	if err != nil {
		t.Fatal(err)
	}
	site.Agent = true
	agent, err := web.NewPages(site)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET "+web.AssetsPath, gateway.Assets())
	mux.HandleFunc("GET /login/card/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"state":"waiting"}`)
	})
	for _, path := range []string{"/logos/mail.svg", "/login/psc/button"} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "image/svg+xml")
			fmt.Fprint(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><path fill="#0b6671" d="M0 1h8v6H0z"/></svg>`)
		})
	}
	samples := webtest.Samples()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		name, pages := r.URL.Query().Get("page"), gateway
		page, ok := samples[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.HasPrefix(name, "agent") {
			pages = agent
			r.Header.Set("Accept-Language", r.URL.Query().Get("lang"))
		}
		pages.Render(still{w}, r, http.StatusOK, page)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// still is an answer that stays in the tab while it is looked at: a page that leads on by itself does not, nor one whose frames are of hosts that
// are not there.
type still struct{ http.ResponseWriter }

func (s still) WriteHeader(status int) {
	s.Header().Del("Refresh")
	s.Header().Del("Content-Length") // Write leaves something out
	s.ResponseWriter.WriteHeader(status)
}

var leadsOn = regexp.MustCompile(` data-(send|frames)\b|(<iframe) src="[^"]*" sandbox="[^"]*"`)

func (s still) Write(page []byte) (int, error) {
	_, err := s.ResponseWriter.Write(leadsOn.ReplaceAll(page, []byte("$2")))
	return len(page), err
}

// axeCore returns axe-core's script, which npm installs in the version of the lock file, whose hash it checks.
func axeCore(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("axe", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), mustFind(t, "npm", "npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("npm ci: %v\n%s", err, out)
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}
