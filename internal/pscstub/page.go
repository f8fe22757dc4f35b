package pscstub

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
)

//go:embed pages
var pages embed.FS

// pageData is what the page shows: a choice, a problem, or neither.
type pageData struct {
	Client  string
	Action  string // where the choice is sent
	People  []Person
	Problem string
	Over    bool // the session has ended
}

// render parses the template for each page: a stand-in may be slow, and a variable of the package would be the alternative.
func render(data pageData) ([]byte, error) {
	t, err := template.ParseFS(pages, "pages/page.html")
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, struct {
		pageData
		Style string
	}{data, Path + "/style.css"})
	return out.Bytes(), err
}

// ChoicePage returns the page that shows the choice, for another provider that stands in for PSC: a form that posts "person", the key of
// one of them or nothing, to action.
func ChoicePage(client, action string, people []Person) ([]byte, error) {
	return render(pageData{Client: client, Action: action, People: people})
}

// Style returns the page's style sheet, which a provider serves as /style.css below Path.
func Style() ([]byte, error) { return pages.ReadFile("pages/style.css") }

// PagePolicy is the page's Content-Security-Policy. It has no form-action: the answer to the form is a redirect to whoever asked, which
// browsers would hold against it.
const PagePolicy = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"

func (p *Provider) page(w http.ResponseWriter, status int, data pageData) {
	body, err := render(data)
	if err != nil {
		http.Error(w, "page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", PagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails when the browser has gone
}

func (p *Provider) style(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, pages, "pages/style.css")
}

func (p *Provider) signedOut(w http.ResponseWriter, _ *http.Request) {
	p.page(w, http.StatusOK, pageData{Over: true})
}

func (p *Provider) about(w http.ResponseWriter, _ *http.Request) {
	p.page(w, http.StatusOK, pageData{})
}
