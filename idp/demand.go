package idp

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// Asker brings requests that persons are to sign in for: package oidc, whose clients send them here.
type Asker interface {
	// Routes adds its handlers to the auth host.
	Routes(mux *http.ServeMux)
	// Demand says what a request, of the request's own browser, asks of a login. v is the session that the browser has; nil: none.
	// ErrNoRequest: it is over, or another browser's.
	Demand(r *http.Request, request string, v *store.Session) (Demand, error)
	// Resume returns the path where a request goes on once somebody is signed in.
	Resume(request string) string
	// Listed returns the places that the portal of a session lists, beside the services.
	Listed(ctx context.Context, v store.Session) ([]web.PortalService, error)
}

// Agreements is an Asker that keeps what persons have agreed to tell whom.
type Agreements interface {
	// Agreed returns what the account of a subject has agreed to, for its page.
	Agreed(ctx context.Context, subject string) ([]web.ConsentInfo, error)
}

// ErrNoRequest says that there is no such request, for this browser.
var ErrNoRequest = errors.New("no request")

// Demand is what a request asks of a login.
type Demand struct {
	Again  bool     // the session that there is does not do: the person signs in once more
	Title  string   // of the service that asks
	Notice string   // why, where there is a session: a word of the catalogue, "step_…"
	Level  string   // at least; empty: any
	Only   []string // methods by which it can be met; nil: any
	Fresh  bool     // a proof of before does not do, wherever it was made
	Hint   string   // the identifier that the person may want to type; empty: not known
}

// LimitedMethod is a Method that never gives the highest level.
type LimitedMethod interface {
	Method
	// MostACR is the highest level that its sessions are known to have before there are any.
	MostACR() string
}

// Mount adds what persons sign in for. It is called before Handler, once.
func (s *Server) Mount(a Asker) { s.asker = a }

// demand returns what the request of a browser's state asks of a login; the zero value when there is none. A request that is over is taken out
// of the state: the person signs in for the portal.
func (s *Server) demand(r *http.Request, state *BrowserState, v *store.Session) (Demand, error) {
	if state.Request == "" || s.asker == nil {
		return Demand{}, nil
	}
	d, err := s.asker.Demand(r, state.Request, v)
	if errors.Is(err, ErrNoRequest) {
		state.Request = ""
		return Demand{}, nil
	}
	return d, err
}

// Wanted returns what the login of a request's browser is for, as far as it can be found out: for a method that shows or passes it on.
// That it cannot be asks for the most.
func (s *Server) Wanted(r *http.Request) Demand {
	state := s.BrowserState(r)
	d, err := s.demand(r, &state, nil)
	if err != nil {
		s.Log.Error("request not found", "error", err)
		d.Fresh = true
	}
	if state.Then != "" { // a change, which a proof of an hour ago does not allow (D6)
		d.Fresh = true
	}
	if d.Title == "" {
		d.Title = s.services[state.Service].Title
	}
	return d
}

// allows says whether a method can meet a demand.
func (d Demand) allows(m Method) bool {
	if d.Only != nil && !slices.Contains(d.Only, m.Name()) {
		return false
	}
	l, ok := m.(LimitedMethod)
	return !ok || level(l.MostACR()) >= level(d.Level)
}

// Level orders levels of assurance: a higher one is a greater number. What is not known is the lowest (D13).
func Level(acr string) int { return level(acr) }
