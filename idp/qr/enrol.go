package qr

import (
	"errors"
	"net/http"
	"strings"
	"unicode"

	"promess/authgw/idp"
	"promess/authgw/idp/passkey"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// explain says what will happen.
func (m *Method) explain(w http.ResponseWriter, r *http.Request) {
	if v, ok := m.Credentials.MayAdd(w, r, addPath); ok {
		m.Server.Pages.Render(w, r, http.StatusOK, web.PhoneAddPage{Person: idp.Person(v), Step: "begin", Begin: addPath})
	}
}

// beginAdding creates an enrolment that belongs to the session.
func (m *Method) beginAdding(w http.ResponseWriter, r *http.Request) {
	v, ok := m.Credentials.MayAdd(w, r, addPath)
	if !ok {
		return
	}
	now := m.Now()
	a := attempt{
		Step: stepShown, Began: now, Source: idp.Source(r), Browser: web.BrowserName(r.UserAgent()), Number: twoDigits(1)[0],
		Session: v.ID, Subject: v.Account.Subject,
	}
	progress, err := a.write()
	if err == nil {
		handle, _ := token.Of(token.Handle, token.New())
		l := store.Login{Browser: passkey.OfSession(v.ID), Method: adding, Expires: now.Add(addLife), Progress: progress}
		err = m.Store.CreateLogin(r.Context(), handle, l, now)
	}
	if err != nil {
		m.Server.Fault(w, r, "begin enrolment", err)
		return
	}
	http.Redirect(w, r, addPath+"/code", http.StatusSeeOther)
}

// ofSession is the enrolment that the request's session has begun, or store.ErrNotFound.
func (m *Method) ofSession(r *http.Request) (store.Login, error) {
	v, err := m.Server.Sessions.Find(r, m.Server.Host)
	if errors.Is(err, idp.ErrNoSession) {
		return store.Login{}, store.ErrNotFound
	}
	if err != nil {
		return store.Login{}, err
	}
	return m.Store.LoginOfBrowser(r.Context(), passkey.OfSession(v.ID), adding, m.Now())
}

// ofPhone is the enrolment that the request's phone has claimed, or store.ErrNotFound.
func (m *Method) ofPhone(r *http.Request) (store.Login, error) {
	l, _, err := m.held(r, adding)
	return l, err
}

// showAdding draws the enrolment of the session as far as it is.
func (m *Method) showAdding(w http.ResponseWriter, r *http.Request) {
	v, ok := m.Server.SignedIn(w, r)
	if !ok {
		return
	}
	page := web.PhoneAddPage{Person: idp.Person(v), Step: stepEnded}
	l, err := m.ofSession(r)
	var a attempt
	if err == nil {
		a, err = read(l)
		page.Step, page.Reason, page.Label = a.told(), a.Reason, a.Label
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		m.Server.Fault(w, r, "find enrolment", err)
		return
	}
	page.Events, page.Status = addPath+"/code/events", addPath+"/code/status"
	switch page.Step {
	case stepShown:
		page.Code = m.address(addCode(m.Keys, l.Handle))
	case stepClaimed:
		page.Confirm = addPath + "/confirm"
	case stepEnded:
		page.Begin = addPath
	}
	m.Server.Pages.Render(w, r, http.StatusOK, page)
}

// confirm takes the number that the person has read on the phone. A wrong one ends the enrolment. The login is still to be recent (D6).
func (m *Method) confirm(w http.ResponseWriter, r *http.Request) {
	v, ok := m.Credentials.MayAdd(w, r, addPath)
	if !ok {
		return
	}
	number := strings.Map(func(c rune) rune {
		if unicode.IsSpace(c) {
			return -1
		}
		return c
	}, r.PostFormValue("number"))
	l, err := m.ofSession(r)
	var a attempt
	if err == nil {
		a, err = read(l)
	}
	switch {
	case err != nil || a.Step != stepClaimed: // the page says how far it is
	case number != a.Number:
		m.recordNotAdded(r, a, "wrong_number")
		_, err = m.end(r.Context(), l, a, "wrong_number")
	default:
		err = m.confirmed(r, v, l, a)
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		m.Server.Fault(w, r, "confirm phone", err)
		return
	}
	http.Redirect(w, r, addPath+"/code", http.StatusSeeOther)
}

// confirmed lets the phone make its key.
func (m *Method) confirmed(r *http.Request, v store.Session, l store.Login, a attempt) error {
	asked, err := m.Credentials.AskNew(r.Context(), v.Account.Subject, idp.Person(v).Name, true)
	if err != nil {
		return err
	}
	a.Step, a.Asked = stepConfirmed, &asked
	_, err = m.advance(r.Context(), l, a)
	return err
}

// options tells a phone that was confirmed what to make its key with.
func (m *Method) options(w http.ResponseWriter, r *http.Request) {
	if !ask(w, r, &struct{}{}) {
		return
	}
	if _, a, ok := m.at(w, r, adding, stepConfirmed); ok {
		answer(w, struct {
			asksFor
			Label string `json:"label"`
		}{asksFor{a.Asked.Options}, web.BrowserName(r.UserAgent())})
	}
}

// add keeps the key of a phone that was confirmed.
func (m *Method) add(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Answer string `json:"answer"`
		Label  string `json:"label"`
	}
	if !ask(w, r, &q) {
		return
	}
	l, a, ok := m.at(w, r, adding, stepConfirmed)
	if !ok {
		return
	}
	v, err := m.session(r, a)
	if err != nil {
		m.lost(w, "find session", err)
		return
	}
	asked := *a.Asked
	a.Step, a.Asked = stepAdding, nil // used up first: the challenge is good once
	if l, err = m.advance(r.Context(), l, a); err != nil {
		m.lost(w, "advance enrolment", err)
		return
	}
	f, err := m.Credentials.Add(r, v, store.Phone, q.Label, asked, []byte(q.Answer))
	switch {
	case errors.Is(err, passkey.ErrRefused):
		m.failed(w, r, l, a, "failed", "passkey_refused")
		return
	case errors.Is(err, passkey.ErrFull):
		m.failed(w, r, l, a, "full", "full")
		return
	case err != nil:
		m.fault(w, "add phone", err)
		return
	}
	a.Step, a.Label = stepDone, f.Label
	if _, err := m.advance(r.Context(), l, a); err != nil {
		m.Log.Warn("the workstation is not told of its new phone", "error", err) // which is added, as /account shows
	}
	passkey.RememberHere(w)
	answer(w, struct{}{})
}

// failed ends an enrolment that came to its key, and tells the phone a word.
func (m *Method) failed(w http.ResponseWriter, r *http.Request, l store.Login, a attempt, reason, word string) {
	m.recordNotAdded(r, a, word)
	if _, err := m.end(r.Context(), l, a, reason); err != nil {
		m.fault(w, "end enrolment", err)
		return
	}
	refuse(w, http.StatusForbidden, word)
}

// session returns the session that asked for an enrolment, which must be open still, of an account that is not disabled (D14). ErrNotFound
// of package store: it is not.
func (m *Method) session(r *http.Request, a attempt) (store.Session, error) {
	open, err := m.Server.Sessions.Of(r.Context(), a.Subject)
	if err != nil {
		return store.Session{}, err
	}
	for _, v := range open {
		if v.ID != a.Session {
			continue
		}
		if v.Account, err = m.Store.AccountBySubject(r.Context(), a.Subject); err != nil {
			return v, err
		}
		if v.Account.Disabled {
			break
		}
		return v, nil
	}
	return store.Session{}, store.ErrNotFound
}

func (m *Method) recordNotAdded(r *http.Request, a attempt, reason string) {
	m.Server.Record(audit.Event{
		Kind: audit.FactorAdded, Outcome: "refused", Reason: reason, Factor: string(store.Phone), Subject: a.Subject, Session: a.Session,
		Source: idp.Source(r),
	})
}
