package idp

import (
	"context"
	"net/http"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// Method is one way to prove who one is.
type Method interface {
	// Name is the method's word: its path /login/<name>, its texts, the method of its sessions.
	Name() string
	// Routes adds its handlers to the auth host. All are below /login/<name>, or below the paths of its Enrolments.
	Routes(mux *http.ServeMux)
}

// Enroller is a Method whose means of proof people add to their account.
type Enroller interface {
	Method
	// Enrolments are the kinds that it adds, with the page where each begins: /account/<kind>.
	Enrolments() []web.Enrolment
}

// ChoosyMethod is a Method that the login page shows to some browsers only.
type ChoosyMethod interface {
	Method
	// Offered says whether it is shown to the browser of a request.
	Offered(r *http.Request) bool
}

// BrowserMethod is a Method that browsers can also use by themselves, without the program that it needs otherwise.
type BrowserMethod interface {
	Method
	// BrowserPath is where, on the auth host, a form begins such a login; empty when it is not offered.
	BrowserPath() string
}

// Dependent is a Method that works only while somebody else does.
type Dependent interface {
	Method
	// Unavailable says, by a word of the catalogue, why nobody can sign in with it at the moment; empty: it works, for all that is known.
	Unavailable() string
}

// Leaver is a Method whose sessions have one elsewhere too, which ends when the person signs out here.
type Leaver interface {
	Method
	// Leave returns a token of kind Handle that Routes serves below LeavePath, once, to send the browser to where the session elsewhere
	// ends; empty: there is none. The session is over here already, and an error does not change that.
	Leave(ctx context.Context, v store.Session) (string, error)
}

// LeavePath is where, on the auth host, a browser ends what a session has elsewhere; the name of the method and the handle follow.
const LeavePath = "/logout/"

// ImageMethod is a Method whose button has an image of the operator's.
type ImageMethod interface {
	Method
	// Image is the path of the image on the auth host; empty: there is none.
	Image() string
}

// Levels of assurance, as the acr of a session.
const (
	ACRHardware  = "urn:authgw:acr:hardware"   // two factors, one of them a key that cannot leave its hardware: card, phone
	ACRTwoFactor = "urn:authgw:acr:two-factor" // two factors of different kinds
)

// Proof is what a method proved. It is written into the login that it settles, so it holds no secret.
type Proof struct {
	Method string    `json:"method"`
	ACR    string    `json:"acr"`
	AMR    []string  `json:"amr"` // RFC 8176
	Time   time.Time `json:"time"`
	Until  time.Time `json:"until,omitzero"` // the session ends with it, whatever else; zero: no such bound

	// Subject is the account that the proof is of, where the method knows it: one that holds what was proved. Otherwise it is empty, and
	// the account is that of the national identifier. Account is the same, for a method that has just read it.
	Subject string         `json:"subject,omitempty"`
	Account *store.Account `json:"-"`

	IDType     string `json:"id_type"`
	NationalID string `json:"national_id"`
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	Title      string `json:"title"`
	Profession string `json:"profession"`
	CardType   string `json:"card_type"`

	StructureID   string `json:"structure_id,omitempty"` // where the card says that the person works; may be empty
	StructureName string `json:"structure_name,omitempty"`

	Partial   bool   `json:"partial,omitempty"`   // of what is empty above, nothing is known: what the account says stays
	Situation string `json:"situation,omitempty"` // JSON, of the method: in which of several situations the person works

	// Opened is called with the session before anybody has its token. When it fails, there is no session.
	Opened func(ctx context.Context, v store.Session) error `json:"-"`

	Fingerprint string     `json:"fingerprint"`
	Issuer      string     `json:"issuer"`
	Watch       token.Hash `json:"-"` // of the agent that watches the card; zero: nobody does
}

// Refusal is what a method tells a person who may not come in.
type Refusal struct {
	Status      int    `json:"status"` // of the page
	Code        string `json:"code"`   // of the page: a word of the catalogue of package web
	Reason      string `json:"reason"` // for the audit
	Detail      string `json:"detail"` // for the audit; no personal data
	Support     string `json:"support"`
	Fingerprint string `json:"fingerprint"`
	Issuer      string `json:"issuer"`
	Subject     string `json:"subject,omitempty"` // the account, where the method knows it
	Factor      string `json:"factor,omitempty"`  // kind of the means of proof that was wrong, where there are several
}
