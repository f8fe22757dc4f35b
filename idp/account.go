package idp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

const (
	// recentLogins of the last recentDays days are shown to a person.
	recentLogins = 10
	recentDays   = 30

	endSessionPath  = "/account/sessions/end"
	endSessionsPath = "/account/sessions/end-all"
)

func (s *Server) accountRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /account", s.account)
	mux.HandleFunc("POST "+endSessionPath+"/{id}", s.endOne)
	mux.HandleFunc("POST "+endSessionsPath, s.endAll)
	mux.HandleFunc("POST "+factorsPath+"/{id}/remove", s.removeFactor)
}

// SignedIn returns the session of a request, or answers the request and returns false: who opens a page goes to the login and comes back
// to it, a program gets 401.
func (s *Server) SignedIn(w http.ResponseWriter, r *http.Request) (store.Session, bool) {
	v, err := s.Sessions.Find(r, s.Host)
	switch {
	case errors.Is(err, ErrNoSession):
		s.signIn(w, r)
	case err != nil:
		s.Fault(w, r, "find session", err)
	}
	return v, err == nil
}

// signIn answers a request that has no session.
func (s *Server) signIn(w http.ResponseWriter, r *http.Request) {
	if !isPerson(r) {
		unauthorized(w, s.Host, s.Origin+"/login")
		return
	}
	state := s.BrowserState(r)
	state.Service, state.State, state.Then, state.Request = "", "", "", ""
	if path := r.URL.RequestURI(); isPage(r) && len(path) <= maxReturn && isLocalPath(path) { // what a form said is not kept
		state.Then = path
	}
	if err := s.SaveBrowserState(w, r, state); err != nil {
		s.Fault(w, r, "save browser state", err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// account shows a person what is known of them, where they are signed in, and when they did.
func (s *Server) account(w http.ResponseWriter, r *http.Request) {
	v, ok := s.SignedIn(w, r)
	if !ok {
		return
	}
	page := web.AccountPage{Person: Person(v), Address: v.Account.Address, EndAll: endSessionsPath, Enrol: s.enrolments}
	switch word := r.URL.Query().Get("done"); word {
	case "session_ended", "address_changed", "factor_added", "factor_removed", "password_set", "consent_withdrawn":
		page.Notice = word
	}
	if s.Registration != nil {
		page.AddressAction = addressPath
	}
	var err error
	if page.Facts, err = s.facts(r.Context(), v); err == nil {
		page.Sessions, err = s.sessionsOf(r.Context(), v)
	}
	if err == nil {
		page.Factors, err = s.factorsOf(r.Context(), v.Account.Subject)
	}
	if err == nil {
		page.Logins, err = s.loginsOf(r.Context(), v.Account.Subject)
	}
	if a, ok := s.asker.(Agreements); ok && err == nil {
		page.Consents, err = a.Agreed(r.Context(), v.Account.Subject)
	}
	if err != nil {
		s.Fault(w, r, "show account", err)
		return
	}
	for _, i := range page.Sessions {
		if i.Current {
			page.Current = i
		}
	}
	s.Pages.Render(w, r, http.StatusOK, page)
}

// facts are what is recorded of a person.
func (s *Server) facts(ctx context.Context, v store.Session) ([]web.Fact, error) {
	structures, err := s.Store.StructuresOf(ctx, v.Account.Subject)
	if err != nil {
		return nil, err
	}
	a := v.Account
	all := []web.Fact{{Label: "name", Value: displayName(a)}, {Label: "national_id", Value: strings.TrimSpace(a.IDType + " " + a.NationalID)},
		{Label: "profession", Value: a.Profession}}
	for _, c := range structures {
		all = append(all, web.Fact{Label: "structure", Value: strings.TrimSpace(c.Name + " (" + c.ID + ")")})
	}
	mailboxes, err := s.Store.Mailboxes(ctx, a.Subject)
	if err != nil {
		return nil, err
	}
	for _, m := range mailboxes {
		all = append(all, web.Fact{Label: "mailbox", Value: m.Address})
	}
	var known []web.Fact
	for _, f := range all {
		if f.Value != "" {
			known = append(known, f)
		}
	}
	return known, nil
}

func (s *Server) sessionsOf(ctx context.Context, v store.Session) ([]web.SessionInfo, error) {
	open, err := s.Sessions.Of(ctx, v.Account.Subject)
	if err != nil {
		return nil, err
	}
	var all []web.SessionInfo
	for _, o := range open {
		i := web.SessionInfo{
			Current: o.ID == v.ID, Method: o.Method, ACR: o.ACR, Source: o.Source, Browser: o.Browser, Since: o.CreatedAt, Seen: o.SeenAt,
			End: endSessionPath + "/" + o.ID,
		}
		if i.Current {
			i.Seen = v.SeenAt
		}
		all = append(all, i)
	}
	return all, nil
}

// loginsOf returns the last logins of an account, from the audit trail.
func (s *Server) loginsOf(ctx context.Context, subject string) ([]web.LoginInfo, error) {
	var all []web.LoginInfo
	f := store.AuditFilter{Subject: subject, From: s.Now().AddDate(0, 0, -recentDays)}
	err := s.Store.AuditRecords(ctx, f, func(record store.AuditRecord) error {
		if k := audit.Kind(record.Kind); k != audit.LoginSucceeded && k != audit.LoginRefused {
			return nil
		}
		var e audit.Event
		if err := json.Unmarshal([]byte(record.Body), &e); err != nil {
			return err
		}
		if len(all) == recentLogins {
			all = append(all[:0], all[1:]...)
		}
		all = append(all, web.LoginInfo{Time: e.Time, Method: e.Method, Success: e.Outcome == "success", Reason: e.Reason, Source: e.Source,
			Browser: e.Browser, Service: s.services[e.Service].Title})
		return nil
	})
	slices.Reverse(all) // the last first
	return all, err
}

// endOne ends a session that the person names: one of their own (G1), since an id is no secret.
func (s *Server) endOne(w http.ResponseWriter, r *http.Request) {
	v, ok := s.SignedIn(w, r)
	if !ok {
		return
	}
	id := r.PathValue("id")
	if id == v.ID {
		s.signOut(w, r)
		return
	}
	open, err := s.Sessions.Of(r.Context(), v.Account.Subject)
	if err != nil {
		s.Fault(w, r, "list sessions", err)
		return
	}
	for _, o := range open {
		if o.ID != id {
			continue
		}
		if err := s.End(r.Context(), o, "ended_by_person"); err != nil {
			s.Fault(w, r, "end session", err)
			return
		}
	}
	http.Redirect(w, r, "/account?done=session_ended", http.StatusSeeOther) // over already, too: it is what was wanted
}

// endAll ends every session of the person, this one too.
func (s *Server) endAll(w http.ResponseWriter, r *http.Request) {
	v, ok := s.SignedIn(w, r)
	if !ok {
		return
	}
	if err := s.EndOthers(r.Context(), v, "ended_by_person"); err != nil {
		s.Fault(w, r, "end sessions", err)
		return
	}
	s.signOut(w, r)
}

// EndOthers ends the sessions of an account but one.
func (s *Server) EndOthers(ctx context.Context, v store.Session, reason string) error {
	ended, err := s.Sessions.endOthers(ctx, v, reason)
	for _, id := range ended {
		s.Record(audit.Event{Kind: audit.SessionEnded, Reason: reason, Subject: v.Account.Subject, Session: id})
	}
	return err
}

// Of returns the open sessions of an account, the newest first. They are those of the database: "last seen" may be half a minute old.
func (s *Sessions) Of(ctx context.Context, subject string) ([]store.Session, error) {
	return s.store.SessionsOf(ctx, subject, s.idle.get(), s.now())
}

func (s *Sessions) endOthers(ctx context.Context, v store.Session, reason string) ([]string, error) {
	ended, err := s.store.EndSessionsOf(ctx, v.Account.Subject, v.ID, reason, s.now())
	for _, id := range ended {
		s.release(id)
	}
	return ended, err
}
