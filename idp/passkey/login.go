package passkey

import (
	"encoding/json"
	"errors"
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// begin creates a login that belongs to the request's browser.
func (m *Method) begin(w http.ResponseWriter, r *http.Request) {
	if !m.limits.Allow(idp.Source(r), m.Now()) {
		w.Header().Set("Retry-After", "5")
		m.Server.Fail(w, r, http.StatusTooManyRequests, "unavailable")
		return
	}
	asked, err := m.Ask(nil)
	if err != nil {
		m.Server.Fault(w, r, "ask for a passkey", err)
		return
	}
	browser := token.New()
	hash, _ := token.Of(token.Browser, browser)
	if err := m.keep(r, Name, hash, asked); err != nil {
		m.Server.Fault(w, r, "begin login", err)
		return
	}
	state := m.Server.BrowserState(r)
	state.Browser = browser
	if err := m.Server.SaveBrowserState(w, r, state); err != nil {
		m.Server.Fault(w, r, "save browser state", err)
		return
	}
	http.Redirect(w, r, loginPath, http.StatusSeeOther)
}

// keep writes a ceremony that waits for its answer, from a browser or a session.
func (m *Method) keep(r *http.Request, name string, of token.Hash, asked Ceremony) error {
	data, err := json.Marshal(asked)
	if err != nil {
		return err
	}
	life := LoginLife
	if name == adding {
		life = AddLife
	}
	handle, _ := token.Of(token.Handle, token.New())
	now := m.Now()
	return m.Store.CreateLogin(r.Context(), handle, store.Login{Browser: of, Method: name, Expires: now.Add(life), Progress: data}, now)
}

// waiting returns the ceremony that waits for an answer from a browser or a session, or store.ErrNotFound.
func (m *Method) waiting(r *http.Request, name string, of token.Hash) (store.Login, Ceremony, error) {
	var asked Ceremony
	l, err := m.Store.LoginOfBrowser(r.Context(), of, name, m.Now())
	if err == nil {
		err = json.Unmarshal(l.Progress, &asked)
	}
	return l, asked, err
}

// take is waiting, and uses the ceremony up: whatever the answer, the challenge is good for no other.
func (m *Method) take(r *http.Request, name string, of token.Hash) (Ceremony, error) {
	l, asked, err := m.waiting(r, name, of)
	if err != nil {
		return asked, err
	}
	return asked, m.Store.FinishLogin(r.Context(), l, false, m.Now())
}

// ask shows the page that asks the browser for its passkey.
func (m *Method) ask(w http.ResponseWriter, r *http.Request) {
	browser, ok := token.Of(token.Browser, m.Server.BrowserState(r).Browser)
	if !ok {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	_, asked, err := m.waiting(r, Name, browser)
	switch {
	case errors.Is(err, store.ErrNotFound): // late, or used: "back" begins anew (D5)
		http.Redirect(w, r, "/login", http.StatusSeeOther)
	case err != nil:
		m.Server.Fault(w, r, "find login", err)
	default:
		m.Server.Pages.Render(w, r, http.StatusOK, web.PasskeyPage{Options: string(asked.Options), Action: loginPath + "/finish", RetryURL: "/login"})
	}
}

// finish takes the browser's answer. Without one it refuses, as with a wrong one (D8).
func (m *Method) finish(w http.ResponseWriter, r *http.Request) {
	answer := r.PostFormValue("answer")
	browser, ok := token.Of(token.Browser, m.Server.BrowserState(r).Browser)
	if !ok {
		m.refuse(w, r, "login_unknown", "other_browser", "")
		return
	}
	asked, err := m.take(r, Name, browser)
	switch {
	case errors.Is(err, store.ErrNotFound):
		m.refuse(w, r, "login_unknown", "login_unknown", "")
		return
	case err != nil:
		m.Server.Fault(w, r, "use login", err)
		return
	}
	proved, err := m.Prove(r.Context(), asked, []byte(answer), store.Passkey, store.Phone)
	if reason := Reason(err); reason != "" {
		m.refuse(w, r, "passkey_refused", reason, proved.Factor.Subject)
		return
	}
	if err != nil {
		m.Server.Fault(w, r, "prove passkey", err)
		return
	}
	RememberHere(w)
	m.Server.Succeed(w, r, m.Proof(Name, proved))
}

// Reason is the word of the audit for an error of Prove; empty when it is a fault of ours, or none.
func Reason(err error) string {
	switch {
	case errors.Is(err, ErrRefused):
		return "passkey_refused"
	case errors.Is(err, ErrUnknown):
		return "passkey_unknown"
	case errors.Is(err, ErrCloned):
		return "passkey_cloned"
	}
	return ""
}

// refuse tells the person. Whose key it was is said to the audit alone.
func (m *Method) refuse(w http.ResponseWriter, r *http.Request, code, reason, subject string) {
	m.Server.Refuse(w, r, Name, idp.Refusal{
		Status: http.StatusForbidden, Code: code, Reason: reason, Subject: subject, Support: idp.NewSupportCode(),
	})
}
