package idp

import (
	"context"
	"errors"
	"net/http"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

const factorsPath = "/account/factors"

// NewFactorID returns the id of a new factor.
func NewFactorID() string { return newID() }

// factorsOf lists the means of proof that a person has enrolled.
func (s *Server) factorsOf(ctx context.Context, subject string) ([]web.FactorInfo, error) {
	factors, err := s.Store.Factors(ctx, subject)
	if err != nil {
		return nil, err
	}
	var all []web.FactorInfo
	for _, f := range factors {
		all = append(all, web.FactorInfo{
			Kind: string(f.Kind), Label: f.Label, Added: f.Created, Used: f.Used, Remove: factorsPath + "/" + f.ID + "/remove",
		})
	}
	return all, nil
}

// FactorAdded adds a means of proof that v's person has just shown to work, with its codes if it has some; it says no when they have as
// many as they may. Without its line in the audit there is no change. The caller has asked Recent.
func (s *Server) FactorAdded(r *http.Request, v store.Session, f store.Factor, codes []string, most int) (bool, error) {
	err := s.Audit.Record(audit.Event{
		Kind: audit.FactorAdded, Outcome: "success", Factor: string(f.Kind), Detail: f.ID,
		Subject: v.Account.Subject, Session: v.ID, Method: v.Method, ACR: v.ACR, Source: Source(r),
	})
	if err != nil {
		return false, err
	}
	return s.Store.AddFactor(r.Context(), f, codes, most)
}

// removeFactor removes one of the person's own means of proof (G1), after a recent login of at least its level (D6).
func (s *Server) removeFactor(w http.ResponseWriter, r *http.Request) {
	v, ok := s.Freshly(w, r)
	if !ok {
		return
	}
	factors, err := s.Store.Factors(r.Context(), v.Account.Subject)
	if err != nil {
		s.Fault(w, r, "list factors", err)
		return
	}
	for _, f := range factors {
		if f.ID != r.PathValue("id") {
			continue
		}
		if !s.Recent(v, f.ACR) {
			s.Again(w, r, "/account")
			return
		}
		if err := s.factorRemoved(r, v, f); err != nil {
			s.Fault(w, r, "remove factor", err)
			return
		}
	}
	http.Redirect(w, r, "/account?done=factor_removed", http.StatusSeeOther) // gone already, too: it is what was wanted
}

func (s *Server) factorRemoved(r *http.Request, v store.Session, f store.Factor) error {
	err := s.Audit.Record(audit.Event{
		Kind: audit.FactorRemoved, Outcome: "success", Factor: string(f.Kind), Detail: f.ID,
		Subject: v.Account.Subject, Session: v.ID, Method: v.Method, ACR: v.ACR, Source: Source(r),
	})
	if err != nil {
		return err
	}
	if err := s.Store.RemoveFactor(r.Context(), v.Account.Subject, f.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return nil
}
