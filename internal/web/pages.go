package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

//go:embed templates/*.html
var templateFiles embed.FS

// Site is what all pages of one program, on one host, have in common.
type Site struct {
	Name         string // of the product, in the header and the titles: "ProMess"
	SupportPhone string // may be empty
	SupportMail  string // may be empty

	// Agent draws the pages of cardagent: plain http on loopback, no script, no menu.
	Agent bool

	// Origin is the auth host's (https://host[:port]) where the pages are shown on another host, so that "my account"
	// leads there. Empty: the pages are shown on the auth host.
	Origin string

	// SignOut is where the menu's form leads: a path of the page's own host, since no other host may sign a person out. Empty: /logout.
	SignOut string

	// AssetsPath is where Assets is mounted, with a slash at both ends; empty: the constant AssetsPath. On a service host,
	// where every other path is the service's, it is under /.authgw/.
	AssetsPath string

	// FormAction are origins that a form of these pages may lead to, besides the page's own. Chromium applies the
	// directive form-action to the redirects that follow a form too, so the login page needs the agent's origin
	// (http://127.0.0.1:24780) and the agent's PIN page needs those of its gateways.
	FormAction []string

	// Log gets the failures of templates, which are errors of the program. Nil: they are not logged.
	Log *slog.Logger
}

// Pages draws pages. It is safe for concurrent use.
type Pages struct {
	site   Site
	csp    string
	assets *assets
	sets   map[string]map[string]func() (*template.Template, error) // language, then page
}

// view is the dot of the layout.
type view struct {
	Site    *Site
	Person  *Person
	Other   string // the language that the footer offers; empty: none
	Request string // what the link to it asks for besides; empty: nothing
	Page    Page
}

// peopled is a page that may show who is signed in.
type peopled interface{ person() *Person }

// asking is a page that shows a kept request, as often as it is asked for by its handle.
type asking interface{ request() string }

func (p ConsentPage) request() string       { return p.Request }
func (p ClientRefusedPage) request() string { return p.Request }
func (p DeviceConfirmPage) request() string { return p.Request }

// refreshing is a page that leads on without a script. The value is that of the header Refresh (HTML, section 4.2.5.3).
type refreshing interface{ refresh() string }

// exceptional is a page with headers that differ.
type exceptional interface{ headers(http.Header) }

// headers lets the app of the phone be installed and use the camera: this page, and no other.
func (PhonePage) headers(h http.Header) {
	h.Set("Content-Security-Policy", h.Get("Content-Security-Policy")+"; manifest-src 'self'; worker-src 'self'")
	h.Set("Permissions-Policy", permissions("camera=(self)"))
}

func (p ConsentPage) headers(h http.Header)       { mayLeadTo(h, p.Target) }
func (p ClientRefusedPage) headers(h http.Header) { mayLeadTo(h, p.Target) }
func (p FormPostPage) headers(h http.Header)      { mayLeadTo(h, p.Action) }

// mayLeadTo lets the forms of a page end up at a URL, by redirects or at once.
func mayLeadTo(h http.Header, target string) {
	origin := formTarget(target)
	if origin == "" {
		return
	}
	const own = "form-action 'self'"
	h.Set("Content-Security-Policy", strings.Replace(h.Get("Content-Security-Policy"), own, own+" "+origin, 1))
}

func (p AgentStatusPage) refresh() string { return "1" }

func (p ReturnPage) refresh() string {
	if clientURL(p.Next) == "" {
		return ""
	}
	return "0; url=" + p.Next
}

// framesFor is how long, in seconds, a page stays for its frames. The browser counts from when all are loaded, or have failed; the page's script
// does not wait for those that do neither.
const framesFor = "5"

func (p SigningOutPage) refresh() string {
	if link(p.Next) == "" {
		return ""
	}
	if len(p.Frames) > 0 {
		return framesFor + "; url=" + p.Next
	}
	return "0; url=" + p.Next
}

// headers lets the page load its frames, from their origins alone.
func (p SigningOutPage) headers(h http.Header) {
	var origins []string
	for _, f := range p.Frames {
		if o := frameOrigin(f); o != "" && !slices.Contains(origins, o) {
			origins = append(origins, o)
		}
	}
	if len(origins) > 0 {
		h.Set("Content-Security-Policy", h.Get("Content-Security-Policy")+"; frame-src "+strings.Join(origins, " "))
	}
}

func (p LoginPage) person() *Person         { return p.Person }
func (p ConsentPage) person() *Person       { return &p.Person }
func (p ClientRefusedPage) person() *Person { return &p.Person }
func (p LogoutPage) person() *Person        { return &p.Person }
func (p DevicePage) person() *Person        { return p.Person }
func (p DeviceConfirmPage) person() *Person { return &p.Person }
func (p DeviceDonePage) person() *Person    { return &p.Person }
func (p PortalPage) person() *Person        { return &p.Person }
func (p RegisterPage) person() *Person      { return &p.Person }
func (p RegisterCodePage) person() *Person  { return &p.Person }
func (p RegisteredPage) person() *Person    { return &p.Person }
func (p AccountPage) person() *Person       { return &p.Person }
func (p PasswordPage) person() *Person      { return &p.Person }
func (p TOTPPage) person() *Person          { return &p.Person }
func (p RecoveryPage) person() *Person      { return &p.Person }
func (p PasskeyAddPage) person() *Person    { return &p.Person }
func (p PhoneAddPage) person() *Person      { return &p.Person }
func (p ErrorPage) person() *Person         { return p.Person }

// NewPages checks site and prepares its pages.
func NewPages(site Site) (*Pages, error) {
	if site.AssetsPath == "" {
		site.AssetsPath = AssetsPath
	}
	if site.SignOut == "" {
		site.SignOut = "/logout"
	}
	if site.Log == nil {
		site.Log = slog.New(slog.DiscardHandler)
	}
	if err := site.check(); err != nil {
		return nil, fmt.Errorf("site: %w", err)
	}
	a, err := loadAssets(site.AssetsPath)
	if err != nil {
		return nil, fmt.Errorf("read assets: %w", err)
	}
	p := &Pages{site: site, csp: contentSecurityPolicy(site), assets: a, sets: map[string]map[string]func() (*template.Template, error){}}
	for _, lang := range languages {
		if p.sets[lang], err = parseTemplates(lang, a); err != nil {
			return nil, fmt.Errorf("read the pages in %q: %w", lang, err)
		}
	}
	return p, nil
}

// check refuses what would break the headers or the links of every page.
func (s *Site) check() error {
	if s.Name == "" {
		return errors.New("no name")
	}
	if s.Origin != "" && !isOrigin(s.Origin) {
		return fmt.Errorf("%q is not an origin", s.Origin)
	}
	for _, o := range s.FormAction {
		if !isOrigin(o) {
			return fmt.Errorf("form action %q is not an origin", o)
		}
	}
	if localPath(s.SignOut) == "" {
		return fmt.Errorf("sign-out %q is not a path", s.SignOut)
	}
	if p := s.AssetsPath; localPath(p) == "" || p[len(p)-1] != '/' {
		return fmt.Errorf("assets path %q does not begin and end with a slash", p)
	}
	return nil
}

// parseTemplates reads what pages in one language have in common, and gives each page's own set. Each page is a set of its own, because each
// defines "title" and "main"; it is parsed when it is first drawn, since most hosts never draw most pages. The files are in the program, and
// its tests draw them all.
func parseTemplates(lang string, a *assets) (map[string]func() (*template.Template, error), error) {
	texts, err := loadCatalogue(lang)
	if err != nil {
		return nil, err
	}
	layout, err := template.New("layout.html").Funcs(functions(texts, a, zone())).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	sets := map[string]func() (*template.Template, error){}
	for _, name := range pageNames() {
		sets[name] = sync.OnceValues(func() (*template.Template, error) {
			t, err := layout.Clone()
			if err != nil {
				return nil, err
			}
			return t.ParseFS(templateFiles, "templates/"+name+".html")
		})
	}
	return sets, nil
}

func pageNames() []string {
	return []string{
		"login", "situation", "consent", "client_refused", "return", "form_post", "logout", "device", "device_confirm", "device_done", "wait", "portal", "register", "register_code", "registered", "account", "otp", "otp_code", "password", "invitation", "totp", "recovery", "signing_out", "signed_out", "error",
		"login", "wait", "portal", "register", "register_code", "registered", "account", "signing_out", "signed_out", "error",
		"passkey", "passkey_add", "phone_add", "qr", "phone",
		"agent_status", "agent_pin", "agent_choice", "agent_error", "agent_home",
	}
}

// Render sends page with status, in the language of r. Nothing is sent before the whole page is drawn; when that fails, the
// person gets a 500 in plain text.
func (p *Pages) Render(w http.ResponseWriter, r *http.Request, status int, page Page) {
	lang := p.chooseLanguage(w, r)
	body, err := p.draw(lang, r, page)
	setHeaders(w.Header(), p.csp)
	if err != nil {
		p.site.Log.ErrorContext(r.Context(), "page not drawn", "error", err)
		http.Error(w, "Erreur interne. Réessayez plus tard.\nInternal error. Try again later.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", lang)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if e, ok := page.(exceptional); ok {
		e.headers(h)
	}
	if f, ok := page.(refreshing); ok && f.refresh() != "" {
		h.Set("Refresh", f.refresh())
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(body) // an error here is the browser's leaving
	}
}

func (p *Pages) draw(lang string, r *http.Request, page Page) ([]byte, error) {
	if page == nil {
		return nil, errors.New("no page")
	}
	v := view{Site: &p.site, Page: page}
	v.Other, v.Request = p.otherLanguage(lang, r, page)
	if q, ok := page.(peopled); ok && !p.site.Agent {
		v.Person = q.person()
	}
	var b bytes.Buffer
	set, err := p.sets[lang][page.template()]()
	if err != nil {
		return nil, err
	}
	if err := set.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
