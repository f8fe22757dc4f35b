package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"promess/authgw/internal/client"
	"promess/authgw/internal/web"
)

// The portal has a link to each client with a home, but to those that never admit the person. One that wants another login is among them: the
// way there asks for it.
func TestPortalListsClientsWithAHome(t *testing.T) {
	home := func(id, title string, allow client.Allow) client.Settings {
		s := agenda()
		s.ID, s.Title, s.Description, s.Home, s.Allow = id, title, "Rendez-vous du service", "https://"+id+".example.fr/", allow
		return s
	}
	f := newFront(t, agenda(), home("planning", "Planning", client.Allow{}), home("hard", "Prescriptions", client.Allow{Level: "hardware"}),
		home("closed", "Bloc", client.Allow{Professions: []string{"21"}}))
	b := f.Browser(t, "127.0.0.2")
	b.Post("/login/weak")
	page := b.Get("/").Body
	for text, want := range map[string]bool{
		`href="https://planning.example.fr/"`: true, "Planning": true, "Rendez-vous du service": true, `href="https://hard.example.fr/"`: true,
		"closed.example.fr": false, "agenda.example.fr": false,
	} {
		if got := strings.Contains(page, text); got != want {
			t.Errorf("%s on the portal: %t, want %t", text, got, want)
		}
	}
}

// Whoever may never use a client reads why, whatever the reason is; and so does whoever has to sign in once more.
func TestEveryReasonHasAText(t *testing.T) {
	pages, err := web.NewPages(web.Site{Name: "ProMess"})
	if err != nil {
		t.Fatal(err)
	}
	// The words are those of the source: a new one without a text is found.
	for _, c := range []struct {
		file  string
		words *regexp.Regexp
		least int
		note  string
		page  func(word string) web.Page
	}{
		{"listed.go", regexp.MustCompile(`return "(\w+)"`), 4, `class="note warn"`, func(word string) web.Page {
			return web.ClientRefusedPage{Service: "Agenda", Reason: word}
		}},
		{"decide.go", regexp.MustCompile(`missing\("(\w+)"\)`), 5, `class="note info"`, func(word string) web.Page {
			return web.LoginPage{Service: "Agenda", Methods: []string{"card"}, Notice: word}
		}},
	} {
		source, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, m := range c.words.FindAllStringSubmatch(string(source), -1) {
			found[m[1]] = true
		}
		if len(found) < c.least {
			t.Errorf("%s: found the words %v, want at least %d", c.file, found, c.least)
		}
		for word := range found {
			for _, language := range []string{"fr", "en"} {
				r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
				r.Header.Set("Accept-Language", language)
				if pages.Render(w, r, http.StatusOK, c.page(word)); !strings.Contains(w.Body.String(), c.note) {
					t.Errorf("%s: %q has no text in %q", c.file, word, language)
				}
			}
		}
	}
}
