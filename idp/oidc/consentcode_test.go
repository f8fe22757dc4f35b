package oidc_test

import (
	"net/http"
	"slices"
	"testing"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

// A code that was given before the person withdrew is worth nothing after it.
func TestWithdrawnConsentIsWithdrawnAtOnce(t *testing.T) {
	b := newBackend(t, sqliteFile(t), nil)
	c := confidential("asks")
	c.Consent = true
	b.roster.add(c)
	v := b.session(t, "s1")
	code := b.code(t, "asks", v, "openid", "profile")
	if r := b.exchange(t, "asks", code); r.status != http.StatusBadRequest || r.word("error") != "invalid_grant" {
		t.Errorf("a code without consent: %d %s", r.status, r.text)
	}
	if got := b.reasons(t, audit.ClientRefused); !slices.Equal(got, []string{"consent_withdrawn"}) {
		t.Errorf("audit %v", got)
	}
	if err := b.store.Agree(t.Context(), v.Account.Subject, store.Consent{Client: "asks", Scopes: []string{"openid"}, Agreed: b.now()}); err != nil {
		t.Fatal(err)
	}
	if r := b.exchange(t, "asks", code); r.word("error") != "invalid_grant" {
		t.Errorf("a code for more than was agreed to: %d %s", r.status, r.text)
	}
	b.exchange(t, "asks", b.code(t, "asks", v, "openid")).wantTokens(t, "what was agreed to")
}
