package idp

import "promess/authgw/internal/store"

// What is decided without a request around it.
var (
	IsLocalPath = isLocalPath
	IsPage      = isPage
	IsPerson    = isPerson
)

// MaxReturn is the longest path that is returned to.
const MaxReturn = maxReturn

// Assertion signs what a service is told of a session.
func (s *Server) Assertion(v store.Session, service string) (string, error) {
	return s.signer.assertion(v, service)
}
