package idp

import (
	"context"
	"net/http"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/store"
)

// CodeAddress returns the address that codes of a login of an account go to: that of its record (D1), unless the login itself opens it
// (D2). Empty: there is none.
func (s *Server) CodeAddress(ctx context.Context, a store.Account) (string, error) {
	if s.Registration == nil || a.Address == "" {
		return "", nil
	}
	boxes, err := s.mailboxesOf(ctx, a.Subject)
	if err != nil || mail.Circular(a.Address, s.Registration.Protected, boxes) {
		return "", err
	}
	return a.Address, nil
}

// mailboxesOf returns the addresses of the mailboxes of an account.
func (s *Server) mailboxesOf(ctx context.Context, subject string) ([]string, error) {
	boxes, err := s.Store.Mailboxes(ctx, subject)
	var all []string
	for _, b := range boxes {
		all = append(all, b.Address)
	}
	return all, err
}

// WantedService is the title of the service that a person signs in for; empty: the portal.
func (s *Server) WantedService(r *http.Request) string {
	return s.Wanted(r).Title
}
