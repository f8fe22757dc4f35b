package idp

import (
	"net/http"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/web"
)

// Refuse shows a person why they may not come in, and records it.
func (s *Server) Refuse(w http.ResponseWriter, r *http.Request, method string, f Refusal) {
	s.RecordRefusal(r, method, f)
	s.Pages.Render(w, r, f.Status, web.ErrorPage{Code: f.Code, Support: f.Support, RetryURL: "/login"})
}

// busy is the reason of a refusal that has to do with nobody: too many sign in at the moment.
const busy = "busy"

// looksAtNothing says whether a refusal of a reason costs neither side anything: no proof was looked at, no login was there.
func looksAtNothing(reason string) bool {
	switch reason {
	case "throttled", "login_unknown", "login_over", "state_unknown", "other_browser", "qr_network", busy:
		return true
	}
	return false
}

// RecordRefusal records that a login was refused, for a method that shows it on a page of its own. Of refusals for which nothing was looked
// at it records a hundred of each network, and then one in five seconds: nothing else bounds them, the trail is never shortened, and who
// fills it hides in it. Where it is the gateway that was busy, all networks are one.
func (s *Server) RecordRefusal(r *http.Request, method string, f Refusal) {
	from := Source(r)
	if f.Reason == busy {
		from = ""
	}
	if looksAtNothing(f.Reason) && !s.idle.Allow(from, s.Now()) {
		s.Log.Debug("refusal not recorded: there are too many", "method", method, "reason", f.Reason, "support", f.Support)
		return
	}
	s.Record(audit.Event{
		Kind: audit.LoginRefused, Outcome: "refused", Reason: f.Reason, Detail: f.Detail, Subject: f.Subject, Method: method, Factor: f.Factor,
		Source: Source(r), Browser: web.BrowserName(r.UserAgent()), Fingerprint: f.Fingerprint, Issuer: f.Issuer, Support: f.Support,
	})
}

// Fail shows an error page that has nothing to do with who the person is.
func (s *Server) Fail(w http.ResponseWriter, r *http.Request, status int, code string) {
	s.Pages.Render(w, r, status, web.ErrorPage{Code: code, RetryURL: "/login", Person: s.menu(r, s.Host)})
}

// menu is who is signed in, for the menu of a page that has no other use for the session; nil: nobody, as far as memory knows. The
// database, which may be why there is an error page, is not asked.
func (s *Server) menu(r *http.Request, host string) *web.Person {
	at, ok := placeOf(r, host)
	if !ok {
		return nil
	}
	v, ok := s.Sessions.remembered(at)
	if !ok {
		return nil
	}
	who := Person(v)
	return &who
}

// Fault answers a request that failed for a reason of ours. The cause goes to the log under the code that the person reads.
func (s *Server) Fault(w http.ResponseWriter, r *http.Request, what string, err error) {
	if r.Context().Err() != nil {
		return // the browser has gone
	}
	s.Pages.Render(w, r, http.StatusServiceUnavailable,
		web.ErrorPage{Code: "unavailable", Support: s.logFault(what, err), RetryURL: "/login", Person: s.menu(r, s.Host)})
}

// logFault logs why a request failed and returns the code that the person reads.
func (s *Server) logFault(what string, err error) string {
	code := NewSupportCode()
	s.Log.Error("request failed", "operation", what, "error", err, "support", code)
	return code
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	_, _ = s.Sessions.Find(r, s.Host) // so that memory knows the person: nothing is decided by it
	s.Fail(w, r, http.StatusNotFound, "not_found")
}

// Note writes an event of something that happens often and can be told from what is recorded before and after it: it is not waited for.
func (s *Server) Note(e audit.Event) {
	if err := s.Audit.Note(e); err != nil {
		s.Log.Error("audit event lost", "kind", string(e.Kind), "error", err)
	}
}

// Record writes an event that nothing depends on.
func (s *Server) Record(e audit.Event) {
	if err := s.Audit.Record(e); err != nil {
		s.Log.Error("audit event lost", "kind", string(e.Kind), "error", err)
	}
}
