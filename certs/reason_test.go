package certs_test

import (
	"errors"
	"slices"
	"testing"

	"promess/authgw/certs"
)

func TestReasonsAreAllListedOnce(t *testing.T) {
	// The words of the design, which programs, texts and the audit trail know.
	want := []certs.Reason{
		"account_disabled", "expired", "malformed", "no_account", "none", "not_yet_valid", "revocation_unknown", "revoked",
		"software_certificate", "test_card", "unknown_issuer", "unsupported_card_type", "wrong_usage",
	}
	got := certs.Reasons()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Reasons = %q, want %q", got, want)
	}
}

func TestRefusalTellsItsReasonAndKeepsItsCause(t *testing.T) {
	cause := errors.New("quotes the certificate of MARTIN")
	for want, refusal := range map[string]*certs.Refusal{
		"certificate refused: malformed":             {Reason: certs.ReasonMalformed, Err: cause},
		"certificate refused: malformed: not in DER": {Reason: certs.ReasonMalformed, Detail: "not in DER", Err: cause},
	} {
		if got := refusal.Error(); got != want {
			t.Errorf("Error = %q, want %q", got, want)
		}
		if !errors.Is(refusal, cause) {
			t.Error("the cause cannot be found")
		}
	}
}
