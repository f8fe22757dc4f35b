package idp

import (
	"context"
	"net/http"

	"promess/authgw/internal/store"
)

// Departer is an Asker whose clients are told in the browser that a session is over, and may have the person back after a sign-out.
type Departer interface {
	Asker
	// Leave is that of a Leaver. The handle is served at DeparturePath, once.
	Leave(ctx context.Context, v store.Session) (string, error)
	// Farewell answers a browser that has come to the end of a sign-out, by the name that SignOut was given. It says no, and answers nothing,
	// when nobody waits for the person.
	Farewell(w http.ResponseWriter, r *http.Request, name string) bool
}

// departing is what a Departer is called in a tour. No method has the name.
const departing = "oidc"

// DeparturePath is where, on the auth host, the clients of a Departer are told that a session is over; the handle follows. The parameter "then"
// is for NextVisit.
const DeparturePath = LeavePath + departing + "/"

// SignOut is the sign-out that a client of a Departer has begun, which has made sure that the person wants it. At its end the browser is given to
// Farewell with a name; an empty one is for nobody.
func (s *Server) SignOut(w http.ResponseWriter, r *http.Request, name string) {
	if err := s.SaveBrowserState(w, r, BrowserState{Left: name}); err != nil {
		s.Fault(w, r, "save browser state", err)
		return
	}
	s.endSession(w, r, s.Host, s.Pages, s.Fault)
}

// depart prepares that clients are told in the browser. That they cannot be is no reason not to sign out here.
func (s *Server) depart(ctx context.Context, v store.Session) []string {
	d, ok := s.asker.(Departer)
	if !ok {
		return nil
	}
	handle, err := d.Leave(ctx, v)
	if err != nil {
		s.Log.Error("clients are not told of a sign-out in the browser", "session", v, "error", err)
	}
	if err != nil || handle == "" {
		return nil
	}
	return []string{elsewhere + departing + elsewhere + handle}
}
