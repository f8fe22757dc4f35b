package idp

import (
	"net/http"
	"time"

	"promess/authgw/internal/store"
)

// recentLogin is how old a login may be that changes how the person signs in.
const recentLogin = 10 * time.Minute

// Recent says whether the login of a session is new, and at least of a level: enough to change what gives that level (D6). A level that
// nobody knows is given to nobody.
func (s *Server) Recent(v store.Session, acr string) bool {
	return s.Now().Sub(v.AuthTime) <= recentLogin && level(acr) > 0 && level(v.ACR) >= level(acr)
}

// Again asks the person of a session to sign in once more, in a way that gives a level, and leads them to a page of the auth host afterwards.
func (s *Server) Again(w http.ResponseWriter, r *http.Request, v store.Session, acr, then string) {
	notice := "recent"
	if level(v.ACR) < level(acr) { // to sign in as before would lead here again
		notice = "recent_level"
	}
	if err := s.SaveBrowserState(w, r, BrowserState{Then: then}); err != nil {
		s.Fault(w, r, "save browser state", err)
		return
	}
	s.Pages.Render(w, r, http.StatusOK, s.loginPage(r, notice, Demand{Level: acr}))
}

// Lower returns the lower of two levels. A means of proof gives the level of its kind, or that of the login that enrolled it if that was
// lower: nobody rises by enrolling (D13).
func Lower(a, b string) string {
	if level(b) < level(a) {
		return b
	}
	return a
}
