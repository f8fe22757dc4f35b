package qr

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// begin creates a login that belongs to the request's browser.
func (m *Method) begin(w http.ResponseWriter, r *http.Request) {
	if !m.Offered(r) {
		m.refuse(w, r, "qr_network", "qr_network")
		return
	}
	if !m.starts.Allow(idp.Source(r), m.Now()) {
		w.Header().Set("Retry-After", "5")
		m.Server.Fail(w, r, http.StatusTooManyRequests, "unavailable")
		return
	}
	state, now, numbers := m.Server.BrowserState(r), m.Now(), twoDigits(3)
	a := attempt{
		Step: stepShown, Began: now, Source: idp.Source(r), Browser: web.BrowserName(r.UserAgent()), Service: state.Service,
		Numbers: numbers, Number: numbers[random(int64(len(numbers)))],
	}
	progress, err := a.write()
	if err != nil {
		m.Server.Fault(w, r, "write login", err)
		return
	}
	state.Browser = token.New()
	browser, _ := token.Of(token.Browser, state.Browser)
	handle, _ := token.Of(token.Handle, token.New()) // of a token that nobody has: the phone gets the code, the browser its cookie
	l := store.Login{Browser: browser, Method: Name, Expires: now.Add(loginLife), Progress: progress}
	if err := m.Store.CreateLogin(r.Context(), handle, l, now); err != nil {
		m.Server.Fault(w, r, "begin login", err)
		return
	}
	if err := m.Server.SaveBrowserState(w, r, state); err != nil {
		m.Server.Fault(w, r, "save browser state", err)
		return
	}
	http.Redirect(w, r, loginPath, http.StatusSeeOther)
}

// ofBrowser is the login that the request's browser has begun, or store.ErrNotFound.
func (m *Method) ofBrowser(r *http.Request) (store.Login, error) {
	browser, ok := token.Of(token.Browser, m.Server.BrowserState(r).Browser)
	if !ok {
		return store.Login{}, store.ErrNotFound
	}
	return m.Store.LoginOfBrowser(r.Context(), browser, Name, m.Now())
}

// show draws the login of the browser as far as it is. "Back" and "reload" change nothing of it (D5).
func (m *Method) show(w http.ResponseWriter, r *http.Request) {
	page := web.QRPage{
		Step: stepEnded, Finish: loginPath + "/finish", Begin: loginPath, Events: loginPath + "/events", Status: loginPath + "/status", RetryURL: "/login",
	}
	l, err := m.ofBrowser(r)
	if errors.Is(err, store.ErrNotFound) {
		m.Server.Pages.Render(w, r, http.StatusOK, page)
		return
	}
	var a attempt
	if err == nil {
		a, err = read(l)
	}
	if err != nil {
		m.Server.Fault(w, r, "find login", err)
		return
	}
	page.Step, page.Reason, page.Service = a.Step, a.Reason, m.title(a.Service)
	switch a.Step {
	case stepShown:
		now := m.Now()
		page.Code = m.address(loginCode(m.Keys, l.Handle, now))
		page.Events += fmt.Sprintf("?%s=%d", imageField, slot(now))
	case stepClaimed:
		page.Number = a.Number
	}
	m.Server.Pages.Render(w, r, http.StatusOK, page)
}

// title is that of a service, as the person knows it.
func (m *Method) title(service string) string {
	for _, s := range m.Server.Services {
		if s.Name == service {
			return s.Title
		}
	}
	return ""
}

// address is what a QR code holds. What follows the # is in no request, and so in no log of a proxy.
func (m *Method) address(code string) string { return m.Server.Origin + appPath + "#" + code }

// finish opens the session of a login that a phone has approved, once, for the browser that began it. The form says nothing: what was
// recorded counts (D8, D9).
func (m *Method) finish(w http.ResponseWriter, r *http.Request) {
	l, err := m.ofBrowser(r)
	if err == nil && !l.Settled {
		err = store.ErrNotFound
	}
	if err == nil {
		err = m.Store.FinishLogin(r.Context(), l, true, m.Now())
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		m.refuse(w, r, "login_unknown", "login_unknown")
		return
	case err != nil:
		m.Server.Fault(w, r, "finish login", err)
		return
	}
	var a approval
	if err := json.Unmarshal(l.Outcome, &a); err != nil || a.Method != Name || a.Subject == "" {
		m.Server.Fault(w, r, "read outcome", errors.Join(errors.New("not a proof of this method"), err))
		return
	}
	factors, err := m.Store.Factors(r.Context(), a.Subject)
	switch {
	case err != nil:
		m.Server.Fault(w, r, "find phone", err)
	case !slices.ContainsFunc(factors, func(f store.Factor) bool { return f.ID == a.Phone && f.Kind == store.Phone }):
		m.Server.Refuse(w, r, Name, idp.Refusal{
			Status: http.StatusForbidden, Code: "passkey_refused", Reason: "passkey_unknown", Subject: a.Subject, Factor: string(store.Phone), Support: idp.NewSupportCode(),
		})
	default:
		m.Server.Succeed(w, r, a.Proof)
	}
}

// approval is the outcome of a login: what it proves, and the phone, which may be removed before the browser comes for its session.
type approval struct {
	idp.Proof
	Phone string `json:"phone"` // id of the factor
}

func (m *Method) refuse(w http.ResponseWriter, r *http.Request, code, reason string) {
	m.Server.Refuse(w, r, Name, idp.Refusal{Status: http.StatusForbidden, Code: code, Reason: reason, Support: idp.NewSupportCode()})
}
