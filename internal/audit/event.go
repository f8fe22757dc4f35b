package audit

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Kind is what happened.
type Kind string

// The kinds of events.
const (
	LoginSucceeded       Kind = "login_succeeded"
	LoginRefused         Kind = "login_refused"
	LoginApproved        Kind = "login_approved" // on a phone; LoginSucceeded follows when the workstation takes it
	SessionOpened        Kind = "session_opened"
	SessionEnded         Kind = "session_ended"
	ServiceEntered       Kind = "service_entered"
	AuthorizationGranted Kind = "authorization_granted" // a client was given a code
	AuthorizationRefused Kind = "authorization_refused" // a client, or a request in its name, was given none
	ConsentGiven         Kind = "consent_given"         // by the person, to a client
	ConsentWithdrawn     Kind = "consent_withdrawn"
	FactorAdded          Kind = "factor_added"
	FactorRemoved        Kind = "factor_removed"
	AddressChanged       Kind = "address_changed"
	AccountCreated       Kind = "account_created"
	AccountChanged       Kind = "account_changed"
	AccountDisabled      Kind = "account_disabled"
	AccountEnabled       Kind = "account_enabled"
	ClientChanged        Kind = "client_changed"
	ClientRefused        Kind = "client_refused" // at an endpoint that it calls itself, without a person
	GrantEnded           Kind = "grant_ended"    // what a client was given ended before the session did
	LogoutTold           Kind = "logout_told"    // a client that a session is over; or it was given up, for a day it could not be told
	ConfigLoaded         Kind = "config_loaded"
	CRLLoaded            Kind = "crl_loaded"
	RevocationSkipped    Kind = "revocation_skipped"
	AdminAction          Kind = "admin_action"   // Actor did Action on the command line
	Exported             Kind = "audit_exported" // by Actor; Detail says what
)

// Event is one record. Its Browser is a name such as "Firefox 153, Linux", by which persons recognise their own logins, and not the
// User-Agent that it comes from: that is a text of anybody's choosing, tells one machine from others, and would be kept for years.
type Event struct {
	Time        time.Time `json:"time"`
	Kind        Kind      `json:"kind"`
	Outcome     string    `json:"outcome,omitempty"` // success, refused
	Reason      string    `json:"reason,omitempty"`  // of a refusal or an end, a word
	Subject     string    `json:"subject,omitempty"` // whose account
	Session     string    `json:"session,omitempty"` // its id, which opens nothing
	Actor       string    `json:"actor,omitempty"`   // who acts on the command line, see Operator
	Action      string    `json:"action,omitempty"`  // what they did, as the command is called: "user disable"
	Method      string    `json:"method,omitempty"`
	Factor      string    `json:"factor,omitempty"` // kind of a factor that came or went
	ACR         string    `json:"acr,omitempty"`
	Source      string    `json:"source,omitempty"`      // network address
	Browser     string    `json:"browser,omitempty"`     // of a login, as web.BrowserName calls it
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256 of the certificate
	Issuer      string    `json:"issuer,omitempty"`      // of the certificate
	Service     string    `json:"service,omitempty"`
	Client      string    `json:"client,omitempty"`  // id of a client of the OpenID provider
	Support     string    `json:"support,omitempty"` // the code that the person reads on the page
	Detail      string    `json:"detail,omitempty"`
}

// maxWord bounds each text of an event: somebody else may have chosen it, and records are kept for years.
const maxWord = 1024

// clean returns the event as it can be kept and compared by every database: valid UTF-8, without NUL, of bounded length.
func (e Event) clean() Event {
	e.Kind = Kind(word(string(e.Kind)))
	for _, s := range []*string{
		&e.Outcome, &e.Reason, &e.Subject, &e.Session, &e.Actor, &e.Action, &e.Method, &e.Factor, &e.ACR, &e.Source, &e.Browser,
		&e.Fingerprint, &e.Issuer, &e.Service, &e.Client, &e.Support, &e.Detail,
	} {
		*s = word(*s)
	}
	return e
}

func word(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	if len(s) <= maxWord {
		return s
	}
	cut := maxWord
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
