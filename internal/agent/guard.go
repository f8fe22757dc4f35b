package agent

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"promess/authgw/internal/cardwire"
)

// peerCheck says whether the process at the other end of a loopback connection belongs to the user of this one.
type peerCheck func(peer, own netip.AddrPort) bool

// guard refuses, before anything else of it is looked at, a request that did not come from a browser of this user that
// was sent to this very address.
func (s *Server) guard(host string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		switch {
		case r.Host != host:
			// A name that resolves to 127.0.0.1 (DNS rebinding), localhost, or another port.
			s.deny(w, r, http.StatusMisdirectedRequest, "bad_request", "host")
		case r.Method != http.MethodGet && strings.HasPrefix(r.URL.Path, cardwire.StartPath):
			h.Set("Allow", http.MethodGet)
			s.deny(w, r, http.StatusMethodNotAllowed, "bad_request", "method")
		case !navigation(r):
			s.deny(w, r, http.StatusForbidden, "bad_request", "fetch metadata")
		case r.Method == http.MethodPost && r.Header.Get("Origin") != "http://"+host:
			s.deny(w, r, http.StatusForbidden, "bad_request", "origin")
		case !s.ownUser(r):
			s.deny(w, r, http.StatusForbidden, "foreign_user", "peer")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// navigation reads the fetch metadata, which a browser sets and a page cannot: only a person's navigation in a tab opens a
// page of the agent, only its pages post to it or load from it. A browser too old to send them is let through here; the
// other checks hold.
func navigation(r *http.Request) bool {
	h := r.Header
	mode, dest, site := h.Get("Sec-Fetch-Mode"), h.Get("Sec-Fetch-Dest"), h.Get("Sec-Fetch-Site")
	if strings.HasPrefix(r.URL.Path, "/static/") || r.Method == http.MethodPost {
		if site != "" && site != "same-origin" {
			return false
		}
	}
	if strings.HasPrefix(r.URL.Path, "/static/") {
		return true
	}
	// A prefetch would start a login that nobody asked for.
	return (mode == "" || mode == "navigate") && (dest == "" || dest == "document") && h.Get("Sec-Purpose") == ""
}

// ownUser fails closed: an address that cannot be read is foreign.
func (s *Server) ownUser(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	own, err1 := netip.ParseAddrPort(local.String())
	peer, err2 := netip.ParseAddrPort(r.RemoteAddr)
	return err1 == nil && err2 == nil && s.own(peer, own)
}

// deny refuses at debug level: web pages and scanners knock here, and that is no event of the workstation.
func (s *Server) deny(w http.ResponseWriter, r *http.Request, status int, code, check string) {
	s.log.LogAttrs(r.Context(), slog.LevelDebug, "request refused", slog.String("check", check))
	s.refuse(w, r, status, code)
}
