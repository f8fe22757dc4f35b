package proxy

import (
	"context"
	"errors"
	"net/http"
)

// ErrNoSession says that a request belongs to nobody.
var ErrNoSession = errors.New("no session")

// ErrNotAllowed says that a request belongs to somebody who may not open the service.
var ErrNotAllowed = errors.New("not allowed")

// Gate is the door of a service.
type Gate interface {
	// Identify returns who is behind a request: ErrNoSession when nobody is, ErrNotAllowed for who may not open the service. Any
	// other error means that it could not be found out, and the request is refused with 503.
	Identify(r *http.Request) (Identity, error)
	// Refuse answers a request that is not forwarded. A cause that is none of the person's is logged by the proxy.
	Refuse(w http.ResponseWriter, r *http.Request, why Refusal)
}

// Refusal is why a request is not forwarded.
type Refusal int

// The refusals.
const (
	NoSession   Refusal = iota // nobody is signed in: sign in first
	Unavailable                // who it is could not be found out (503)
	NoAccess                   // the person may not open this service (403)
	Forbidden                  // a protocol or an origin that is not let through (403)
	NotAllowed                 // a method that is not let through (405)
	Stalled                    // the body of the request did not come (408)
	BackendDown                // the service does not answer (502)
	BackendSlow                // the service did not answer in time (504)
)

// Identity is what a service is told. An empty field is not sent.
type Identity struct {
	User       string // stable, opaque
	NationalID string
	Name       string // UTF-8
	Email      string // of the mailbox
	ACR        string // level of assurance
	Assertion  string // signed, see package idp

	// Hold bounds a request by the session: the context that it returns ends with ctx or with the session, whichever is first. The
	// proxy calls release when the request is over. Nil: nothing bounds it.
	Hold func(ctx context.Context) (held context.Context, release func())
}
