package passkey

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// OfSession stands where the login of a browser has the browser's token: what waits under it is a session's, and only its cookie finds it.
func OfSession(id string) token.Hash { return sha256.Sum256([]byte("enrolment of session " + id)) }

// MayAdd returns the session of a person who may add a key now: they have signed in lately, at the level that the key will give (D6). It
// answers the request otherwise.
func (c *Credentials) MayAdd(w http.ResponseWriter, r *http.Request, page string) (store.Session, bool) {
	v, ok := c.Server.Freshly(w, r)
	if acr := idp.Lower(idp.ACRHardware, v.ACR); ok && !c.Server.Recent(v, acr) {
		c.Server.Again(w, r, v, acr, page)
		return v, false
	}
	return v, ok
}

// askNew shows the page where a person adds a passkey of this computer.
func (m *Method) askNew(w http.ResponseWriter, r *http.Request) {
	if v, ok := m.MayAdd(w, r, addPath); ok {
		m.showNew(w, r, v, http.StatusOK, "")
	}
}

func (m *Method) showNew(w http.ResponseWriter, r *http.Request, v store.Session, status int, problem string) {
	m.Server.Pages.Render(w, r, status, web.PasskeyAddPage{
		Person: idp.Person(v), Options: addPath + "/options", Action: addPath, Label: web.BrowserName(r.UserAgent()), Problem: problem,
	})
}

// options begins an enrolment and tells the page what to ask the browser for.
func (m *Method) options(w http.ResponseWriter, r *http.Request) {
	v, err := m.Server.Sessions.Find(r, m.Server.Host)
	switch {
	case errors.Is(err, idp.ErrNoSession) || err == nil && !m.Server.Recent(v, idp.Lower(idp.ACRHardware, v.ACR)):
		w.WriteHeader(http.StatusForbidden) // the page loads itself anew, and is then told what to do
		return
	case err != nil:
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	asked, err := m.AskNew(r.Context(), v.Account.Subject, idp.Person(v).Name, false)
	if err == nil {
		err = m.keep(r, adding, OfSession(v.ID), asked)
	}
	if err != nil {
		m.Log.Error("passkey not asked for", "error", err)
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(asked.Options)
}

// add keeps the key that the browser's answer holds.
func (m *Method) add(w http.ResponseWriter, r *http.Request) {
	v, ok := m.MayAdd(w, r, addPath)
	if !ok {
		return
	}
	asked, err := m.take(r, adding, OfSession(v.ID))
	if errors.Is(err, store.ErrNotFound) {
		m.showNew(w, r, v, http.StatusForbidden, "late")
		return
	}
	if err == nil {
		_, err = m.Add(r, v, store.Passkey, r.PostFormValue("label"), asked, []byte(r.PostFormValue("answer")))
	}
	switch {
	case errors.Is(err, ErrRefused):
		m.showNew(w, r, v, http.StatusForbidden, "failed")
	case errors.Is(err, ErrFull):
		m.showNew(w, r, v, http.StatusConflict, "full")
	case err != nil:
		m.Server.Fault(w, r, "add passkey", err)
	default:
		RememberHere(w)
		http.Redirect(w, r, "/account?done=factor_added", http.StatusSeeOther)
	}
}
