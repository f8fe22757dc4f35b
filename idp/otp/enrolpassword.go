package otp

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"promess/authgw/idp"
	"promess/authgw/internal/password"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// choosePassword shows the form for a new password.
func (m *Method) choosePassword(w http.ResponseWriter, r *http.Request) {
	if v, ok := m.fresh(w, r, passwordPath); ok {
		m.showPassword(w, r, v, http.StatusOK, "")
	}
}

func (m *Method) showPassword(w http.ResponseWriter, r *http.Request, v store.Session, status int, problem string) {
	has, err := m.factorsOf(r, v, store.Password)
	if err != nil {
		m.Server.Fault(w, r, "find password", err)
		return
	}
	m.Server.Pages.Render(w, r, status, web.PasswordPage{
		Person: idp.Person(v), Action: passwordPath, Cancel: "/account", Change: len(has) > 0, Problem: problem,
		Identifier: cmp.Or(v.Account.LoginName, v.Account.NationalID), Least: cmp.Or(m.Policy.MinLength, password.DefaultMinLength),
	})
}

// setPassword puts a password in the place of the one before, which need not be given: the login is recent, and of two factors.
func (m *Method) setPassword(w http.ResponseWriter, r *http.Request) {
	s := m.Server
	v, ok := m.fresh(w, r, passwordPath)
	if !ok {
		return
	}
	for _, name := range []string{"password", "again"} {
		if _, ok := s.Field(w, r, name); !ok {
			return
		}
	}
	typed := r.PostForm.Get("password")
	problem, err := m.judgePassword(r.Context(), v.Account, typed)
	switch {
	case err != nil:
		s.Fault(w, r, "judge password", err)
	case problem != "":
		m.showPassword(w, r, v, http.StatusUnprocessableEntity, problem)
	case typed != r.PostForm.Get("again"):
		m.showPassword(w, r, v, http.StatusUnprocessableEntity, "different")
	default:
		m.keepPassword(w, r, v, typed)
	}
}

func (m *Method) keepPassword(w http.ResponseWriter, r *http.Request, v store.Session, typed string) {
	s := m.Server
	hash, err := m.Familiar.Hash(r.Context(), typed)
	if errors.Is(err, password.ErrBusy) {
		retryAfter(w, password.RetryAfter)
		m.showPassword(w, r, v, http.StatusServiceUnavailable, "busy")
		return
	}
	if err == nil {
		f := store.Factor{ID: idp.NewFactorID(), Subject: v.Account.Subject, Kind: store.Password, ACR: enrolled(v), Secret: hash, Created: s.Now()}
		_, err = s.FactorAdded(r, v, f, 1)
	}
	if err == nil { // whoever knew the one before is out
		err = s.EndOthers(r.Context(), v, "password_changed")
	}
	if err != nil {
		s.Fault(w, r, "set password", err)
		return
	}
	http.Redirect(w, r, "/account?done=password_set", http.StatusSeeOther)
}

// judgePassword returns the word for why a person may not choose a password; empty: they may.
func (m *Method) judgePassword(ctx context.Context, a store.Account, typed string) (string, error) {
	boxes, err := m.Server.Store.Mailboxes(ctx, a.Subject)
	if err != nil {
		return "", err
	}
	personal := []string{a.GivenName, a.FamilyName, a.NationalID, a.LoginName, a.Address, m.Issuer}
	if len(a.NationalID) > 1 {
		personal = append(personal, a.NationalID[1:]) // as people know it, without the digit of its type
	}
	for _, b := range boxes {
		personal = append(personal, b.Address)
	}
	personal = append(personal, strings.Fields(a.GivenName+" "+a.FamilyName)...)
	reason, err := m.Policy.Check(typed, personal)
	return string(reason), err
}
