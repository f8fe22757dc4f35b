package idp_test

import (
	"net/http"
	"testing"
)

// D15: there is no first run. With an empty database the auth host has no page that makes an administrator, and what it has is the login.
// Administrators are who may run the program's commands.
func TestD15NoSetUpAppears(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t)
	for _, path := range []string{"/setup", "/install", "/init", "/initial-setup", "/admin", "/register", "/account/setup", "/if/flow/initial-setup/", "/ui/console"} {
		if p := b.get(auth + path); p.status != http.StatusNotFound {
			t.Errorf("GET %s = %d %s, want 404", path, p.status, p.location)
		}
		if p := b.post(auth + path); p.status != http.StatusNotFound {
			t.Errorf("POST %s = %d %s, want 404", path, p.status, p.location)
		}
	}
	if p := b.get(auth + "/"); p.location != auth+"/login" {
		t.Errorf("GET / = %d %s, want the login", p.status, p.location)
	}
}
