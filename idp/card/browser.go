package card

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// begin creates a login that belongs to the request's browser, and returns its handle.
func (m *Method) begin(w http.ResponseWriter, r *http.Request) (string, error) {
	handle, browser := token.New(), token.New()
	handleHash, _ := token.Of(token.Handle, handle)
	browserHash, _ := token.Of(token.Browser, browser)
	now := m.Now()
	login := store.Login{Browser: browserHash, Method: Name, Expires: now.Add(loginLife)}
	if err := m.Store.CreateLogin(r.Context(), handleHash, login, now); err != nil {
		return "", err
	}
	state := m.Server.BrowserState(r)
	state.Browser = browser
	return handle, m.Server.SaveBrowserState(w, r, state)
}

// mayBegin refuses a network address that begins too many logins.
func (m *Method) mayBegin(w http.ResponseWriter, r *http.Request) bool {
	if m.limits.Allow(idp.Source(r), m.Now()) {
		return true
	}
	w.Header().Set("Retry-After", "5")
	m.Server.Fail(w, r, http.StatusTooManyRequests, "unavailable")
	return false
}

// start begins a login and sends the browser to the agent.
func (m *Method) start(w http.ResponseWriter, r *http.Request) {
	if !m.mayBegin(w, r) {
		return
	}
	handle, err := m.begin(w, r)
	if err != nil {
		m.fault(w, r, "begin login", err)
		return
	}
	// An address of numbers, never localhost: no name to resolve, and no HSTS rule that somebody set for localhost.
	http.Redirect(w, r, fmt.Sprintf("http://127.0.0.1:%d%s%s/%s", m.AgentPort, cardwire.StartPath, m.Gateway, handle), http.StatusSeeOther)
}

// startBrowser begins a login and sends the browser to the host that asks it for the card itself.
func (m *Method) startBrowser(w http.ResponseWriter, r *http.Request) {
	if !m.mayBegin(w, r) {
		return
	}
	handle, err := m.begin(w, r)
	if err != nil {
		m.fault(w, r, "begin login", err)
		return
	}
	http.Redirect(w, r, m.BrowserOrigin+browserPath+handle, http.StatusSeeOther)
}

// wait is the page that stays open beside the agent's.
func (m *Method) wait(w http.ResponseWriter, r *http.Request) {
	m.Server.Pages.Render(w, r, http.StatusOK, web.WaitPage{
		StatusURL: "/login/card/status", AgentURL: "authgw-agent:start", RetryURL: "/login",
	})
}

// status tells the waiting page how far its login is. It never says more than the page may know anyway: "done" is the browser's own
// session, not the login's, so that who polls with another browser's login learns nothing.
func (m *Method) status(w http.ResponseWriter, r *http.Request) {
	state := "over"
	_, err := m.Server.Sessions.Find(r, m.Server.Host)
	switch {
	case err == nil:
		state = "done"
	case !errors.Is(err, idp.ErrNoSession):
		answerError(w, http.StatusServiceUnavailable, "unavailable")
		return
	default:
		if browser, ok := token.Of(token.Browser, m.Server.BrowserState(r).Browser); ok {
			login, err := m.Store.LoginOfBrowser(r.Context(), browser, Name, m.Now())
			switch {
			case err == nil && login.Fetched:
				state = "fetched"
			case err == nil:
				state = "waiting"
			case !errors.Is(err, store.ErrNotFound):
				answerError(w, http.StatusServiceUnavailable, "unavailable")
				return
			}
		}
	}
	answer(w, struct {
		State string `json:"state"`
	}{state})
}

// callback is where the browser brings the code. The code is used up first, whoever brings it: one that another browser has seen
// (a relayed link) is worth nothing, there and afterwards.
func (m *Method) callback(w http.ResponseWriter, r *http.Request) {
	unknown := func(reason string) {
		m.Server.Refuse(w, r, Name, idp.Refusal{Status: http.StatusForbidden, Code: "login_unknown", Reason: reason, Support: idp.NewSupportCode()})
	}
	code, ok := token.Of(token.Code, r.PathValue("code"))
	if !ok {
		unknown("code_unknown")
		return
	}
	login, err := m.Store.UseLogin(r.Context(), code, Name, m.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		unknown("code_unknown")
		return
	case err != nil:
		m.fault(w, r, "use login", err)
		return
	}
	browser, ok := token.Of(token.Browser, m.Server.BrowserState(r).Browser)
	if !ok || browser != login.Browser {
		unknown("other_browser")
		return
	}
	var o outcome
	if err := json.Unmarshal(login.Outcome, &o); err != nil || (o.Proof == nil) == (o.Refusal == nil) {
		m.fault(w, r, "read outcome", errors.Join(errors.New("not exactly one of proof and refusal"), err))
		return
	}
	if o.Refusal != nil {
		m.Server.Refuse(w, r, Name, *o.Refusal)
		return
	}
	o.Proof.Watch = login.Watch
	m.Server.Succeed(w, r, *o.Proof)
}

func (m *Method) fault(w http.ResponseWriter, r *http.Request, what string, err error) {
	code := idp.NewSupportCode()
	m.Log.Error("card login failed", "operation", what, "error", err, "support", code)
	m.Server.Pages.Render(w, r, http.StatusServiceUnavailable, web.ErrorPage{Code: "unavailable", Support: code, RetryURL: "/login"})
}
