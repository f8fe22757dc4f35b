package idp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// A sign-out ends the session in the database, which is the end of it everywhere. Then the browser goes round the service hosts that
// had a token of it, each of which makes it forget, and arrives at the page that says so:
//
//	POST /logout: page ──▶ mail /.authgw/leave?then=agenda ──▶ agenda /.authgw/leave ──▶ GET /logout
//
// Where the session has one elsewhere (a Leaver), the browser goes there last, and comes back to the same page. Before that, clients of the
// OpenID provider that want it are told in the browser (a Departer). When a client began the sign-out, the last page leads back to it.
//
// The tour decides nothing. It makes browsers forget the pages that they keep for their "back" button, in memory too: Chromium does
// so for a host when that host says Clear-Site-Data, and not reliably when its cookies change. It keeps the page that is being left
// only once another one is shown, so the tour begins with a page and not with a redirect.

// logout ends the session.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.signOut(w, r)
}

// signOut ends the session that a request has on the auth host, and sends the browser on its tour.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	s.signOutOf(w, r, s.Host, s.Pages, s.Fault)
}

// signOutOf is signOut on any host, with its pages and its answer to a failure.
func (s *Server) signOutOf(w http.ResponseWriter, r *http.Request, host string, pages *web.Pages, fault func(http.ResponseWriter, *http.Request, string, error)) {
	s.ClearBrowserState(w)
	s.endSession(w, r, host, pages, fault)
}

// endSession ends the session that a request has on a host, and sends the browser on its tour.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request, host string, pages *web.Pages, fault func(http.ResponseWriter, *http.Request, string, error)) {
	w.Header().Set("Cache-Control", "no-store")
	v, err := s.Sessions.Find(r, host)
	var visits []string
	if err == nil {
		if err = s.End(r.Context(), v, "logout"); err == nil {
			visits, err = s.tour(r.Context(), v)
			visits = append(visits, s.depart(r.Context(), v)...)
			visits = append(visits, s.leave(r.Context(), v)...)
		}
	}
	if err != nil && !errors.Is(err, ErrNoSession) {
		fault(w, r, "end session", err)
		return
	}
	forgetSession(w)
	pages.Render(w, r, http.StatusOK, web.SigningOutPage{Next: s.NextVisit(visits)})
}

// forget makes a browser forget what it has from this host. Of what a service stores itself (drafts, settings) nothing is touched.
func (s *Server) forget(w http.ResponseWriter) {
	s.ClearBrowserState(w)
	forgetSession(w)
}

func forgetSession(w http.ResponseWriter) {
	clearSessionCookie(w)
	w.Header().Set("Clear-Site-Data", `"cache"`)
}

// tour names the services to visit.
func (s *Server) tour(ctx context.Context, v store.Session) ([]string, error) {
	hosts, err := s.Store.SessionHosts(ctx, v.ID)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, c := range s.Services {
		for _, h := range hosts {
			if h == c.Host {
				names = append(names, c.Name)
			}
		}
	}
	return names, nil
}

// elsewhere begins what is no service in a tour: the name of a method, and a handle. Names of services have no such character.
const elsewhere = "~"

// leave prepares the end of what a session has elsewhere, which the tour comes to last. That it cannot is no reason not to sign out here.
func (s *Server) leave(ctx context.Context, v store.Session) []string {
	l, ok := s.leavers[v.Method]
	if !ok {
		return nil
	}
	handle, err := l.Leave(ctx, v)
	if err != nil {
		s.Log.Error("the session elsewhere stays", "method", v.Method, "session", v, "error", err)
	}
	if err != nil || handle == "" {
		return nil
	}
	return []string{elsewhere + v.Method + elsewhere + handle}
}

// leavePath returns the path that a name in a tour stands for, when it is no service.
func (s *Server) leavePath(name string) (string, bool) {
	parts := strings.Split(name, elsewhere)
	if len(parts) != 3 || parts[0] != "" || s.leavers[parts[1]] == nil && parts[1] != departing {
		return "", false
	}
	_, ok := token.Of(token.Handle, parts[2])
	return LeavePath + parts[1] + "/" + parts[2], ok
}

// NextVisit is where the browser goes next in a tour. Names that are not of a service are passed over: the address may be anybody's.
func (s *Server) NextVisit(names []string) string {
	for i, name := range names {
		at, ok := s.visit(name)
		if !ok {
			continue
		}
		if rest := names[i+1:]; len(rest) > 0 {
			at += "?" + url.Values{"then": {strings.Join(rest, ",")}}.Encode()
		}
		return at
	}
	return s.Origin + "/logout"
}

// visit returns the address that a name in a tour stands for.
func (s *Server) visit(name string) (string, bool) {
	if c, ok := s.services[name]; ok {
		return c.Origin + ownPath + "leave", true
	}
	path, ok := s.leavePath(name)
	return s.Origin + path, ok
}

// RestOfTour names what is left of the tour that a request is part of. The address may be anybody's.
func RestOfTour(r *http.Request) []string {
	then := r.URL.Query().Get("then")
	if then == "" || len(then) >= maxReturn {
		return nil
	}
	return strings.Split(then, ",")
}

// logoutPage is where every sign-out ends. A person who is still signed in and comes from one of our own pages, or typed the address,
// is signed out; a foreign page that leads here only shows the portal, where the person may sign out (logout CSRF).
func (s *Server) logoutPage(w http.ResponseWriter, r *http.Request) {
	_, err := s.Sessions.Find(r, s.Host)
	switch {
	case errors.Is(err, ErrNoSession):
		s.signedOut(w, r)
	case err != nil:
		s.Fault(w, r, "find session", err)
	case ownNavigation(r):
		s.logout(w, r)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// signedOut answers a browser whose session is over, or which has none: it leads back to the client that began the sign-out, if one did.
func (s *Server) signedOut(w http.ResponseWriter, r *http.Request) {
	left := s.BrowserState(r).Left
	s.forget(w)
	if d, ok := s.asker.(Departer); ok && left != "" && d.Farewell(w, r, left) {
		return
	}
	s.Pages.Render(w, r, http.StatusOK, web.SignedOutPage{})
}

// ownNavigation says whether a person came from a page of the same host, or from no page. A browser too old to say counts as foreign,
// and so does a picture or a frame of the same host: a mail that is shown there may hold one.
func ownNavigation(r *http.Request) bool {
	site := r.Header.Get("Sec-Fetch-Site")
	return (site == "same-origin" || site == "none") &&
		r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// logout is the sign-out link that a service shows.
func (g *Gate) logout(w http.ResponseWriter, r *http.Request) {
	if !ownNavigation(r) {
		http.Redirect(w, r, g.server.Origin+"/logout", http.StatusSeeOther) // which asks
		return
	}
	g.server.signOutOf(w, r, g.service.Host, g.server.ServicePages, g.fault)
}

// leave removes the cookie of a session that is over. That of an open session stays: anybody can send a browser here.
func (g *Gate) leave(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	_, err := g.server.Sessions.Find(r, g.service.Host)
	if errors.Is(err, ErrNoSession) {
		g.server.forget(w)
	}
	http.Redirect(w, r, g.server.NextVisit(RestOfTour(r)), http.StatusSeeOther)
}
