package idp

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"promess/authgw/proxy"
)

// Forward-auth: a service stands behind another reverse proxy, which asks before it forwards.
//
//	browser        other proxy                               auth host
//	GET /day?x ──▶ the service's host ── GET /auth/verify ──▶ whose session? may it?
//	               to the service     ◀── 200, identity ────
//	           ◀── to startPath       ◀── 303, or 401 ──────  of a page
//	           ◀── 401, 403           ◀── 401, 403 ─────────  of anything else
//
// Of the original request, the address alone comes from the proxy: host and scheme must be the service's own, and the path only says
// where the person comes back to. No rule depends on it. The session is that of the service host, as behind our own proxy: the other proxy
// sends everything under ownPath of that host to the gateway. Who asks is known by the address of the connection (B4).

// startPath is where, on the host of such a service, a request that was refused gets its answer: a page begins the login.
const startPath = ownPath + "start"

// verifyPath is where proxies ask, on the auth host.
const verifyPath = "/auth/verify"

// doors are the gates of the services behind other proxies, by host.
type doors map[string]*Gate

// forwardRoutes adds what other proxies ask for, when there are any.
func (s *Server) forwardRoutes(mux *http.ServeMux) {
	d := doors{}
	for _, v := range s.Services {
		if len(v.Proxies) > 0 {
			d[v.Host] = s.Gate(v)
		}
	}
	if len(d) > 0 {
		mux.HandleFunc("GET "+verifyPath, func(w http.ResponseWriter, r *http.Request) { s.verify(w, r, d) })
	}
}

// verify says whether a request may reach its service.
func (s *Server) verify(w http.ResponseWriter, r *http.Request, d doors) {
	w.Header().Set("Cache-Control", "no-store")
	g, asked, err := d.find(r)
	if err != nil { // never 401 or 403: those are the client's affair
		s.Log.Debug("question of a proxy not answered", "source", Source(r), "error", err)
		http.Error(w, verifyPath+": "+err.Error(), http.StatusBadRequest)
		return
	}
	id, why, ok := g.admit(asked)
	switch {
	case ok:
		id.Answer(w.Header(), asked.Header)
		w.WriteHeader(http.StatusOK)
	case why == proxy.NoSession && isPage(asked):
		g.sendToStart(w, r, asked)
	default:
		g.Refuse(w, asked, why)
	}
}

// sendToStart has a page of nobody's begin the login.
func (g *Gate) sendToStart(w http.ResponseWriter, r, asked *http.Request) {
	to := g.service.Origin + startPath + "?" + url.Values{"to": {g.returnPath(asked.RequestURI)}}.Encode()
	if r.URL.Query().Get("redirect") != "no" {
		http.Redirect(w, r, to, http.StatusSeeOther)
		return
	}
	// nginx and its like pass on 401 and 403, and take anything else for a failure.
	w.Header().Set("X-Authgw-Redirect", to)
	g.challenge(w)
}

// admit says who may open the service with a request, or why nobody may.
func (g *Gate) admit(r *http.Request) (id proxy.Identity, why proxy.Refusal, ok bool) {
	// Our own proxy removes these. Another one may not know every spelling, so such a request is refused (B2); no browser sends one.
	if proxy.Claims(r.Header) {
		return proxy.Identity{}, proxy.Forbidden, false
	}
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		return proxy.Identity{}, proxy.NotAllowed, false
	}
	id, err := g.Identify(r)
	switch {
	case errors.Is(err, proxy.ErrNoSession):
		return proxy.Identity{}, proxy.NoSession, false
	case errors.Is(err, proxy.ErrNotAllowed):
		return proxy.Identity{}, proxy.NoAccess, false
	case err != nil:
		if r.Context().Err() == nil {
			g.server.Log.Error("identity not found out", "service", g.service.Name, "error", err)
		}
		return proxy.Identity{}, proxy.Unavailable, false
	case !proxy.WebSocketAllowed(r, g.service.Origin): // B15
		return proxy.Identity{}, proxy.Forbidden, false
	}
	return id, 0, true
}

// start answers a request that verify has refused, for proxies that do not pass the answer on.
func (g *Gate) start(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.Header.Get("Content-Type") != "" { // a form: Apache makes a GET of any request that it shows an ErrorDocument for
		r = r.WithContext(r.Context())
		r.Method = http.MethodPost
	}
	_, why, ok := g.admit(r)
	to := r.URL.Query().Get("to")
	switch {
	case ok && isPage(r): // signed in meanwhile, in another tab
		http.Redirect(w, r, g.service.Origin+g.returnPath(to), http.StatusSeeOther)
	case ok: // allowed by now; the client may ask again
		g.Refuse(w, r, proxy.Unavailable)
	case why == proxy.NoSession && isPage(r):
		g.startLogin(w, r, to)
	default:
		g.Refuse(w, r, why)
	}
}

// NotHere answers what is not the gateway's on the host of a service that another proxy forwards to.
func (g *Gate) NotHere(w http.ResponseWriter, r *http.Request) {
	g.fail(w, r, http.StatusNotFound, "not_found")
}

var (
	errNoProxy = errors.New("the address that this comes from is not among the proxies of a service with the host of X-Forwarded-Host")
	errScheme  = errors.New("X-Forwarded-Proto is not https")
)

// find returns the gate of the service that a proxy asks about, and the request that it asks about.
func (d doors) find(r *http.Request) (*Gate, *http.Request, error) {
	var said [4]string
	for i, name := range []string{"X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Method", "X-Forwarded-Uri"} {
		values := r.Header.Values(name)
		if len(values) != 1 || values[0] == "" { // a second one would be the client's
			return nil, nil, errors.New(name + " is not there exactly once")
		}
		said[i] = values[0]
	}
	g := d.at(said[0])
	if g == nil || !g.service.asks(r.RemoteAddr) {
		return nil, nil, errNoProxy // the one or the other: strangers learn no names
	}
	if said[1] != "https" {
		return nil, nil, errScheme
	}
	asked := r.WithContext(r.Context())
	asked.Method, asked.Host, asked.RequestURI, asked.Body, asked.ContentLength = said[2], g.service.Host, said[3], http.NoBody, 0
	return g, asked, nil
}

// at returns the gate of a host, which compares without case (C3) and may have the port that browsers see.
func (d doors) at(host string) *Gate {
	host = strings.ToLower(host)
	name, _, _ := strings.Cut(host, ":")
	if g := d[name]; g != nil && (host == name || g.service.Origin == "https://"+host) {
		return g
	}
	return nil
}

// asks says whether a network address is of a proxy of the service. An IPv4 address may come in the clothes of IPv6 (B5).
func (s Service) asks(remote string) bool {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	ip := a.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(s.Proxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}
