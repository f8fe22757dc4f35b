package oidc_test

import (
	"strings"
	"testing"

	"promess/authgw/internal/client"
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
