package mail_test

import (
	"testing"

	"promess/authgw/internal/mail"
)

// D2: a code must not go to a mailbox that the login opens which asks for it.
func TestD2Circular(t *testing.T) {
	protected := []string{"mssante.fr", "promess.example"}
	mailboxes := []string{"jeanne@Cabinet-Martin.example", "accueil@hopital.example", "nothing", ""}
	for address, want := range map[string]bool{
		"jeanne@mssante.fr":                  true,
		"jeanne@MSSante.fr":                  true,
		"jeanne@cabinet.mssante.fr":          true,
		"jeanne@promess.example":             true,
		"other@cabinet-martin.example":       true,
		"other@SUB.cabinet-martin.example":   true,
		"jeanne@hopital.example":             true,
		"jeanne":                             true, // no address
		"":                                   true,
		"jeanne@example.fr@mssante.fr":       true,
		"jeanne@192.0.2.1":                   true,
		"jeanne@example.fr":                  false,
		"jeanne@notmssante.fr":               false,
		"jeanne@mssante.fr.example.org":      false,
		"mssante.fr@example.fr":              false,
		"jeanne@notcabinet-martin.example":   false,
		"jeanne@other.example":               false, // the domains have a label in common, and nothing else
		"jeanne.martin+mssante.fr@gmail.com": false,
	} {
		if got := mail.Circular(address, protected, mailboxes); got != want {
			t.Errorf("Circular(%q) = %t, want %t", address, got, want)
		}
	}
	if mail.Circular("jeanne@example.fr", nil, nil) {
		t.Error("without domains and mailboxes an address is circular")
	}
}
