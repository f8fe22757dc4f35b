package idp

import (
	"context"
	"net/http"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// Registration is how persons give the ordinary address that codes and notices go to, and prove that it is theirs.
type Registration struct {
	Mail         *mail.Sender   // sends while the person waits
	Outbox       *outbox.Outbox // sends later
	Keys         *seal.Keys
	Protected    []string // domains that the gateway opens mailboxes of
	AtFirstLogin bool     // a person who has not done so is asked after each login, and may put it off
}

const (
	registerPath = "/account/register"
	addressPath  = "/account/address"
)

// addressFlow leads a person from an address to its proof:
//
//	GET base ──▶ POST base ──▶ GET base/code ──▶ POST base/code ──▶ what follows
//
// Nothing but the right code in the last step records an address (D8, D12).
type addressFlow struct {
	server *Server
	base   string
	change bool // of an address, from /account; else at the first login
}

func (s *Server) registerRoutes(mux *http.ServeMux) {
	if s.Registration == nil {
		return
	}
	for _, f := range []*addressFlow{{s, registerPath, false}, {s, addressPath, true}} {
		mux.HandleFunc("GET "+f.base, f.ask)
		mux.HandleFunc("POST "+f.base, f.submit)
		mux.HandleFunc("GET "+f.base+"/code", f.askCode)
		mux.HandleFunc("POST "+f.base+"/code", f.submitCode)
		mux.HandleFunc("POST "+f.base+"/resend", f.resend)
		mux.HandleFunc("POST "+f.base+"/back", f.back)
		mux.HandleFunc("POST "+f.base+"/later", f.later)
	}
	mux.HandleFunc("GET "+registerPath+"/done", s.registered)
	mux.HandleFunc("GET "+registerPath+"/continue", s.finishRegistration)
}

// interrupt sends a person who has just signed in to what comes before the place they wanted, and says whether there is such a thing.
func (s *Server) interrupt(w http.ResponseWriter, r *http.Request, v store.Session, state BrowserState) bool {
	if s.Registration == nil || !s.Registration.AtFirstLogin || !v.Account.Registered.IsZero() {
		return false
	}
	// The login is used up; where it leads to is not.
	if err := s.SaveBrowserState(w, r, BrowserState{Service: state.Service, State: state.State, Then: state.Then, Request: state.Request}); err != nil {
		s.Fault(w, r, "save browser state", err)
		return true
	}
	http.Redirect(w, r, registerPath, http.StatusSeeOther)
	return true
}

// person returns the session of a request with the account as it is now, or answers the request and returns false: without a session, or
// when there is nothing for the person to do here.
func (f *addressFlow) person(w http.ResponseWriter, r *http.Request) (store.Session, bool) {
	v, ok := f.server.Freshly(w, r)
	switch {
	case !ok || f.change:
	case !v.Account.Registered.IsZero():
		http.Redirect(w, r, "/", http.StatusSeeOther)
		ok = false
	case v.Account.Address != "":
		http.Redirect(w, r, registerPath+"/done", http.StatusSeeOther)
		ok = false
	}
	return v, ok
}

// Freshly is SignedIn with the account read anew: what was recorded a moment ago counts.
func (s *Server) Freshly(w http.ResponseWriter, r *http.Request) (store.Session, bool) {
	v, ok := s.SignedIn(w, r)
	if !ok {
		return v, false
	}
	var err error
	if v.Account, err = s.Store.AccountBySubject(r.Context(), v.Account.Subject); err != nil {
		s.Fault(w, r, "find account", err)
		return v, false
	}
	return v, true
}

// may says whether a person may give an address now: codes of later logins go there (D6). At a login that is the session's, however long ago
// somebody else has proved who they are; later, it is as for a change.
func (f *addressFlow) may(v store.Session) bool {
	if f.change {
		return f.server.Recent(v, ACRTwoFactor)
	}
	return f.server.Now().Sub(v.CreatedAt) <= recentLogin
}

func (f *addressFlow) ask(w http.ResponseWriter, r *http.Request) {
	v, ok := f.person(w, r)
	if !ok {
		return
	}
	if !f.may(v) {
		if f.change {
			f.server.Again(w, r, v, ACRTwoFactor, addressPath)
			return
		}
		http.Redirect(w, r, addressPath, http.StatusSeeOther)
		return
	}
	f.show(w, r, v, http.StatusOK, "", "")
}

func (f *addressFlow) show(w http.ResponseWriter, r *http.Request, v store.Session, status int, address, problem string) {
	f.server.Pages.Render(w, r, status, web.RegisterPage{
		Person: Person(v), Change: f.change, Action: f.base, Later: f.base + "/later", Address: address, Problem: problem,
	})
}

// submit takes an address, and sends a code there. An empty form leads to the page with the field: the account page has such a button.
func (f *addressFlow) submit(w http.ResponseWriter, r *http.Request) {
	s := f.server
	v, ok := f.person(w, r)
	if !ok {
		return
	}
	typed, ok := s.Field(w, r, "address")
	if !ok {
		return
	}
	if typed == "" || !f.may(v) {
		http.Redirect(w, r, f.base, http.StatusSeeOther)
		return
	}
	address, problem, err := s.judgeAddress(r.Context(), v.Account.Subject, typed)
	if err != nil {
		s.Fault(w, r, "judge address", err)
		return
	}
	if problem == "" {
		problem, err = s.sendCode(r, v, address)
	}
	switch {
	case err != nil:
		s.Fault(w, r, "send address code", err)
	case problem != "":
		f.show(w, r, v, statusOf(problem), typed, problem)
	default:
		http.Redirect(w, r, f.base+"/code", http.StatusSeeOther)
	}
}

// back leads from the code to the address.
func (f *addressFlow) back(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, f.base, http.StatusSeeOther)
}

// later puts the address off until the next login, or keeps the one that there is.
func (f *addressFlow) later(w http.ResponseWriter, r *http.Request) {
	if f.change {
		http.Redirect(w, r, "/account", http.StatusSeeOther)
		return
	}
	if v, ok := f.server.SignedIn(w, r); ok {
		f.server.resume(w, r, v)
	}
}

// resume goes on to where the person wanted when they signed in.
func (s *Server) resume(w http.ResponseWriter, r *http.Request, v store.Session) {
	state := s.BrowserState(r)
	s.ClearBrowserState(w)
	s.goOn(w, r, v, state)
}

// registered shows what is recorded, once there is an address.
func (s *Server) registered(w http.ResponseWriter, r *http.Request) {
	v, ok := s.Freshly(w, r)
	if !ok {
		return
	}
	if v.Account.Address == "" {
		http.Redirect(w, r, registerPath, http.StatusSeeOther)
		return
	}
	facts, err := s.facts(r.Context(), v)
	if err != nil {
		s.Fault(w, r, "show account", err)
		return
	}
	facts = append(facts, web.Fact{Label: "address", Value: v.Account.Address})
	s.Pages.Render(w, r, http.StatusOK, web.RegisteredPage{Person: Person(v), Facts: facts, Continue: registerPath + "/continue"})
}

// finishRegistration notes that the person has seen it, and goes on. Whoever leads a browser here makes nothing true that is not: the
// address was proved.
func (s *Server) finishRegistration(w http.ResponseWriter, r *http.Request) {
	v, ok := s.Freshly(w, r)
	if !ok {
		return
	}
	if v.Account.Address == "" {
		http.Redirect(w, r, registerPath, http.StatusSeeOther)
		return
	}
	if err := s.Store.SetRegistered(r.Context(), v.Account.Subject, s.Now()); err != nil {
		s.Fault(w, r, "finish registration", err)
		return
	}
	s.Sessions.cache.forgetAccount(v.Account.Subject) // Run would hear of it in a second; the next page comes sooner
	s.resume(w, r, v)
}

// addressChanged records that a proved address takes the place of what there was. Without its line in the audit there is no change. v has
// the account as it was: the old address hears of it, since the new one may be that of whoever took the session over.
func (s *Server) addressChanged(ctx context.Context, r *http.Request, v store.Session, c store.Code) error {
	err := s.Audit.Record(audit.Event{
		Kind: audit.AddressChanged, Outcome: "success", Subject: v.Account.Subject, Session: v.ID, Method: v.Method, ACR: v.ACR, Source: Source(r),
	})
	if err != nil {
		return err
	}
	if err := s.Store.UseAddressCode(ctx, c, s.Now()); err != nil {
		return err
	}
	s.Sessions.cache.forgetAccount(c.Subject) // as in finishRegistration
	if v.Account.Address != c.Address {
		s.Notify(r, v.Account, mail.Notice{Kind: mail.AddressChanged, NewAddress: c.Address})
	}
	return nil
}
