package certs

// Reason is why a certificate does not open a session: a stable word for programs, texts and the audit trail.
type Reason string

// The reasons. Package certs gives all but the last two, which belong to whoever keeps the accounts.
const (
	ReasonNone                Reason = "none"                  // no certificate was presented
	ReasonExpired             Reason = "expired"               // the certificate, or an authority above it, is past its end
	ReasonNotYetValid         Reason = "not_yet_valid"         // the certificate, or an authority above it, has not begun
	ReasonUnknownIssuer       Reason = "unknown_issuer"        // no configured authority that may issue cards made it
	ReasonTestCard            Reason = "test_card"             // a test card, or a test authority, where these are not allowed
	ReasonWrongUsage          Reason = "wrong_usage"           // not made for authentication: the card's signature certificate, say
	ReasonSoftwareCertificate Reason = "software_certificate"  // its key is in a file, not in a card
	ReasonRevoked             Reason = "revoked"               // the certificate, or an authority above it, was revoked
	ReasonRevocationUnknown   Reason = "revocation_unknown"    // no usable revocation list says that it was not
	ReasonUnsupportedCardType Reason = "unsupported_card_type" // not a card of a person, as far as can be told
	ReasonMalformed           Reason = "malformed"             // it cannot be read without guessing
	ReasonNoAccount           Reason = "no_account"            // the holder has no account here
	ReasonAccountDisabled     Reason = "account_disabled"      // the holder's account was disabled
)

// Reasons returns every reason, for those who need a text for each.
func Reasons() []Reason {
	return []Reason{
		ReasonNone, ReasonExpired, ReasonNotYetValid, ReasonUnknownIssuer, ReasonTestCard, ReasonWrongUsage,
		ReasonSoftwareCertificate, ReasonRevoked, ReasonRevocationUnknown, ReasonUnsupportedCardType, ReasonMalformed,
		ReasonNoAccount, ReasonAccountDisabled,
	}
}

// Refusal is the error of Verify.
type Refusal struct {
	Reason Reason
	Detail string // what exactly, for logs and operators; it holds nothing about the holder
	Err    error  // the cause, where there is one; its text may quote the certificate: not for logs
}

// Error gives the reason and the detail, and never the cause: see Err.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return "certificate refused: " + string(r.Reason)
	}
	return "certificate refused: " + string(r.Reason) + ": " + r.Detail
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(reason Reason, detail string) *Refusal {
	return &Refusal{Reason: reason, Detail: detail}
}
