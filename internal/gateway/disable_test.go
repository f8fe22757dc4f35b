package gateway_test

import (
	"log/slog"
	"net/http"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/testpki"
)

// D14: an administrator disables a person with another process, while the gateway runs: they are out within two seconds, which is what
// the issue allows, and stay out with their card until they are enabled.
func TestD14DisabledByAnotherProcess(t *testing.T) {
	f := newFiles(t)
	r := f.run(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	if status, body, _ := p.logIn(); status != http.StatusSeeOther {
		t.Fatalf("login = %d %.200s", status, body)
	}
	p.wantSignedIn(true) // and the gateway has the session in memory
	admin := must(t, func() (*store.Store, error) {
		return store.Open(t.Context(), store.Config{Name: f.config.Database, Log: slog.New(slog.DiscardHandler)})
	})
	defer admin.Close()
	account := must(t, func() (store.Account, error) { return admin.FindAccount(t.Context(), "899700218896") })
	ended := must(t, func() ([]string, error) { return admin.DisableAccount(t.Context(), account.Subject, time.Now()) })
	if len(ended) != 1 {
		t.Errorf("sessions ended = %q, want one", ended)
	}
	began := time.Now()
	for {
		status, _, _ := p.visit(http.MethodGet, auth+"/")
		if status != http.StatusOK {
			break
		}
		if time.Since(began) > 10*time.Second { // on a machine that does other things too
			t.Fatal("the person is signed in still")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("out after %v", time.Since(began))
	if status, _, _ := p.logIn(); status != http.StatusForbidden {
		t.Errorf("login of a disabled person = %d, want 403", status)
	}
	p.wantSignedIn(false)
	if err := admin.EnableAccount(t.Context(), account.Subject, time.Now()); err != nil {
		t.Fatal(err)
	}
	p.wantSignedIn(false) // sessions stay ended
	if status, _, _ := p.logIn(); status != http.StatusSeeOther {
		t.Errorf("login of an enabled person = %d, want a redirect to the portal", status)
	}
}
