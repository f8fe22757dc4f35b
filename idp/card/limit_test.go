package card_test

import (
	"net/http"
	"testing"
	"time"
)

// G10: a flood of logins from one address is refused before it costs a row, and passes.
func TestLoginsThatOneAddressBegins(t *testing.T) {
	w := newWorld(t)
	b := w.browser(t, nil)
	refused := 0
	for range 250 {
		switch p := b.send(http.MethodPost, auth+"/login/card"); p.status {
		case http.StatusSeeOther:
		case http.StatusTooManyRequests:
			refused++
		default:
			t.Fatalf("POST /login/card = %d, want 303 or 429", p.status)
		}
	}
	if refused != 50 {
		t.Errorf("%d of 250 logins at once were refused, want 50", refused)
	}
	w.advance(time.Second)
	if p := b.send(http.MethodPost, auth+"/login/card"); p.status != http.StatusSeeOther {
		t.Errorf("a second later: %d, want 303", p.status)
	}
}
