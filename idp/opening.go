package idp

import (
	"context"
	"net/http"
	"slices"

	"promess/authgw/internal/store"
)

// accountOf returns the account that a proof opens: that of its national identifier, and nothing else of it counts (F9). ErrNotFound
// of package store: there is none, and logins make none here.
func (s *Server) accountOf(ctx context.Context, p Proof) (store.Account, error) {
	open := s.Store.RefreshAccount
	if s.CreateAccounts {
		open = s.Store.OpenAccount
	}
	account, err := open(ctx, store.Account{
		Subject: newID(), IDType: p.IDType, NationalID: p.NationalID,
		GivenName: p.GivenName, FamilyName: p.FamilyName, Title: p.Title, Profession: p.Profession,
	}, s.Now())
	if err != nil || account.Disabled || p.StructureID == "" {
		return account, err
	}
	return account, s.noteStructure(ctx, account.Subject, store.Structure{ID: p.StructureID, Name: p.StructureName})
}

// noteStructure notes where a person works, as the card says. Nearly always it is known: reading costs less than a write that changes
// nothing.
func (s *Server) noteStructure(ctx context.Context, subject string, at store.Structure) error {
	known, err := s.Store.StructuresOf(ctx, subject)
	if err != nil || slices.Contains(known, at) {
		return err
	}
	return s.Store.AddStructure(ctx, subject, at.ID, at.Name)
}

// refuseProof tells a person who has proved who they are that it opens nothing: no_account or account_disabled.
func (s *Server) refuseProof(w http.ResponseWriter, r *http.Request, p Proof, reason string) {
	code := reason
	if p.CardType != "" {
		code = "card_" + reason // whose page begins with the card being good
	}
	s.Refuse(w, r, p.Method, Refusal{
		Status: http.StatusForbidden, Code: code, Reason: reason, Support: NewSupportCode(), Fingerprint: p.Fingerprint, Issuer: p.Issuer,
	})
}
