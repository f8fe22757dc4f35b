package e2e

import (
	"testing"

	"promess/authgw/internal/audit"
)

// TestCard is the card login and what can go wrong with it, at one gateway.
func TestCard(t *testing.T) {
	w := newWorld(t)
	t.Run("the right PIN opens the page that was asked for", func(t *testing.T) { w.rightPIN(t) })
}

func (w *world) rightPIN(t *testing.T) {
	w.insertDoctor(t)
	page, tab := w.startLogin(t, w.mail("/inbox?folder=reçus&page=2#m12"))
	page.screenshot(t, "wait")
	tab.await(t, "ProMess (essai)", w.origin("auth"), "HÉLÈNE D'ARTAGNAN-LE GOFF")
	tab.screenshot(t, "agent-pin")
	tab.enterPIN(t, "1234")
	tab.await(t, "Boîte de réception", "HÉLÈNE D'ARTAGNAN-LE GOFF 899700218896", "/inbox?folder=re%C3%A7us&page=2")
	page.await(t, "Vous êtes connecté")
	if got := w.events(t, audit.LoginSucceeded); len(got) != 1 {
		t.Errorf("%d events login_succeeded, want 1", len(got))
	}
}
