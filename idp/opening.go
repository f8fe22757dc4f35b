package idp

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
)

// accountOf returns the account that a proof opens: the one that it names, or that of its national identifier, and nothing else of it
// counts (F9). ErrNotFound of package store: there is none, and logins make none here.
func (s *Server) accountOf(r *http.Request, p Proof) (store.Account, error) {
	if p.Account != nil {
		return *p.Account, nil
	}
	if p.Subject != "" {
		return s.Store.AccountBySubject(r.Context(), p.Subject)
	}
	ctx, subject := r.Context(), newID()
	open := s.Store.RefreshAccount
	if s.CreateAccounts {
		open = s.Store.OpenAccount
	}
	if p.Partial {
		known, err := s.Store.AccountByNationalID(ctx, p.IDType, p.NationalID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return known, err
		}
		p.complete(known)
	}
	account, err := open(ctx, store.Account{
		Subject: subject, IDType: p.IDType, NationalID: p.NationalID,
		GivenName: p.GivenName, FamilyName: p.FamilyName, Title: p.Title, Profession: p.Profession,
	}, s.Now())
	if err != nil {
		return account, err
	}
	if account.Subject == subject {
		s.Record(audit.Event{Kind: audit.AccountCreated, Subject: subject, Method: p.Method, Source: Source(r), Fingerprint: p.Fingerprint})
	}
	if account.Disabled || p.StructureID == "" {
		return account, nil
	}
	return s.noteStructure(ctx, account, store.Structure{ID: p.StructureID, Name: p.StructureName})
}

// complete fills in what a partial proof does not say with what is known.
func (p *Proof) complete(a store.Account) {
	p.GivenName, p.FamilyName = cmp.Or(p.GivenName, a.GivenName), cmp.Or(p.FamilyName, a.FamilyName)
	p.Title, p.Profession = cmp.Or(p.Title, a.Title), cmp.Or(p.Profession, a.Profession)
}

// noteStructure notes where a person works, as the card says, and returns the account with it. Nearly always it is known: reading costs
// less than a write that changes nothing.
func (s *Server) noteStructure(ctx context.Context, account store.Account, at store.Structure) (store.Account, error) {
	known, err := s.Store.StructuresOf(ctx, account.Subject)
	if err != nil || slices.Contains(known, at) {
		return account, err
	}
	if err := s.Store.AddStructure(ctx, account.Subject, at.ID, at.Name, s.Now()); err != nil {
		return account, err
	}
	return s.Store.AccountBySubject(ctx, account.Subject)
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
