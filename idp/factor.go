package idp

import (
	"context"
	"errors"
	"net/http"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/mail"
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
		one := web.FactorInfo{
			Kind: string(f.Kind), Label: f.Label, Added: f.Created, Used: f.Used, Remove: factorsPath + "/" + f.ID + "/remove",
		}
		if f.Kind == store.Recovery {
			codes, err := s.Store.RecoveryCodes(ctx, f.ID)
			if err != nil {
				return nil, err
			}
			one.Codes, one.Left = true, len(codes)
		}
		all = append(all, one)
	}
	return all, nil
}

// FactorAdded adds a means of proof that v's person has just shown to work; it says no when they have as many as they may. Without its line
// in the audit there is no change; the person is told by mail. The caller has asked Recent.
func (s *Server) FactorAdded(r *http.Request, v store.Session, f store.Factor, most int) (bool, error) {
	return s.factorAdded(r, v, f, func() (bool, error) { return s.Store.AddFactor(r.Context(), f, nil, most) })
}

// CodesAdded is FactorAdded for a set of recovery codes in the place of the one that has the id instead; empty: of none. It says no when that
// is not what the person has.
func (s *Server) CodesAdded(r *http.Request, v store.Session, f store.Factor, codes []string, instead string) (bool, error) {
	return s.factorAdded(r, v, f, func() (bool, error) { return s.Store.ReplaceFactor(r.Context(), f, codes, instead) })
}

func (s *Server) factorAdded(r *http.Request, v store.Session, f store.Factor, add func() (bool, error)) (bool, error) {
	e := audit.Event{
		Kind: audit.FactorAdded, Outcome: "success", Factor: string(f.Kind), Detail: f.ID,
		Subject: v.Account.Subject, Session: v.ID, Method: v.Method, ACR: v.ACR, Source: Source(r),
	}
	if err := s.Audit.Record(e); err != nil {
		return false, err
	}
	added, err := add()
	if added {
		s.Notify(r, v.Account, mail.Notice{Kind: mail.FactorAdded, Factor: NoticeOf(f.Kind), Name: f.Label})
		return true, err
	}
	if err == nil { // or the trail would have a means of proof that there is not
		e.Outcome, e.Reason = "refused", "not_added"
		s.Record(e)
	}
	return false, err
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
			s.Again(w, r, v, f.ACR, "/account")
			return
		}
		if err := s.factorRemoved(r, v, f); err != nil {
			s.Fault(w, r, "remove factor", err)
			return
		}
	}
	http.Redirect(w, r, "/account?done=factor_removed", http.StatusSeeOther) // gone already, too: it is what was wanted
}

// NoticeOf names a kind of means of proof as the messages do; empty for one that they have no words for.
func NoticeOf(kind store.FactorKind) mail.Factor {
	return map[store.FactorKind]mail.Factor{
		store.Password: mail.FactorPassword, store.TOTP: mail.FactorTOTP, store.Recovery: mail.FactorRecoveryCodes, store.Passkey: mail.FactorPasskey, store.Phone: mail.FactorPhone,
	}[kind]
}

func (s *Server) factorRemoved(r *http.Request, v store.Session, f store.Factor) error {
	err := s.Audit.Record(audit.Event{
		Kind: audit.FactorRemoved, Outcome: "success", Factor: string(f.Kind), Detail: f.ID,
		Subject: v.Account.Subject, Session: v.ID, Method: v.Method, ACR: v.ACR, Source: Source(r),
	})
	if err != nil {
		return err
	}
	err = s.Store.RemoveFactor(r.Context(), v.Account.Subject, f.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // by another press of the button
	}
	if err == nil {
		s.Notify(r, v.Account, mail.Notice{Kind: mail.FactorRemoved, Factor: NoticeOf(f.Kind), Name: f.Label})
	}
	return err
}
