package otp

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/password"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// invited is whom the link of a request was sent to.
type invited struct {
	account    store.Account // as it is now
	invitation store.Invitation
	action     string // of the form
}

// findInvited returns whom a link was sent to. store.ErrNotFound: there is nobody, or not any more. A link counts only as long as the
// account is active (D14) and has the address that it went to, which opens no mailbox of ours (D2).
func (m *Method) findInvited(r *http.Request) (v invited, err error) {
	hash, ok := token.Of(token.Invite, r.PathValue("token"))
	if !ok {
		return v, store.ErrNotFound
	}
	v.action = invitationPath + r.PathValue("token")
	if v.invitation, err = m.Server.Store.InvitationByToken(r.Context(), hash, m.Server.Now()); err != nil {
		return v, err
	}
	if v.account, err = m.Server.Store.AccountBySubject(r.Context(), v.invitation.Subject); err != nil {
		return v, err
	}
	address, err := m.Server.CodeAddress(r.Context(), v.account)
	if err == nil && (v.account.Disabled || address == "" || address != v.invitation.Address) {
		err = store.ErrNotFound
	}
	return v, err
}

// invited returns whom a link was sent to, or answers the request and returns false. Whatever is wrong with the link, the answer is the
// same (D16).
func (m *Method) invited(w http.ResponseWriter, r *http.Request) (invited, bool) {
	v, err := m.findInvited(r)
	if err != nil {
		m.notInvited(w, r, err)
		return v, false
	}
	return v, true
}

func (m *Method) notInvited(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, store.ErrNotFound) {
		m.Server.Fail(w, r, http.StatusNotFound, "invitation_over")
		return
	}
	m.Server.Fault(w, r, "find invitation", err)
}

// askInvited shows the form. It changes nothing: programs that look at mail open links too.
func (m *Method) askInvited(w http.ResponseWriter, r *http.Request) {
	if v, ok := m.invited(w, r); ok {
		m.showInvited(w, r, v, http.StatusOK, web.InvitationPage{})
	}
}

func (m *Method) showInvited(w http.ResponseWriter, r *http.Request, v invited, status int, p web.InvitationPage) {
	p.Action, p.Least = v.action, cmp.Or(m.Policy.MinLength, password.DefaultMinLength)
	m.Server.Pages.Render(w, r, status, p)
}

// acceptInvitation takes the code and the password. The code is looked at first: without it nobody learns what the policy says of a
// password, which knows the person's names. What cannot be a code costs no try, and proves nothing (D8).
func (m *Method) acceptInvitation(w http.ResponseWriter, r *http.Request) {
	s := m.Server
	v, ok := m.invited(w, r)
	if !ok {
		return
	}
	var typed string
	for _, name := range []string{"password", "again", "code"} {
		if typed, ok = s.Field(w, r, name); !ok {
			return
		}
	}
	code, ok := readLetters(activationLength)(typed)
	if !ok {
		m.showInvited(w, r, v, http.StatusUnprocessableEntity, web.InvitationPage{Problem: "shape"})
		return
	}
	attempt, wait, err := m.attempt(r, v.account.Subject, "")
	switch {
	case err != nil:
		s.Fault(w, r, "count attempt", err)
		return
	case wait > 0:
		m.refused(r, v.account.Subject, "throttled", store.Password)
		retryAfter(w, wait)
		m.showInvited(w, r, v, http.StatusTooManyRequests, web.InvitationPage{Problem: "throttled", Wait: wait})
		return
	}
	v.invitation, err = s.Store.TryInvitation(r.Context(), v.invitation.Token, s.Now())
	switch {
	case err != nil: // used or burnt by another request, too
		m.unjudged(r.Context(), attempt)
		m.notInvited(w, r, err)
	case !activationRight(m.Keys, v.invitation, code):
		m.wrongActivation(w, r, v)
	default:
		if err := attempt.Succeeded(r.Context()); err != nil {
			s.Fault(w, r, "count attempt", err)
			return
		}
		m.choose(w, r, v, typed)
	}
}

func (m *Method) wrongActivation(w http.ResponseWriter, r *http.Request, v invited) {
	if v.invitation.Tries > 0 {
		m.refused(r, v.account.Subject, "wrong_activation_code", store.Password)
		m.showInvited(w, r, v, http.StatusUnprocessableEntity, web.InvitationPage{Problem: "wrong", Tries: v.invitation.Tries})
		return
	}
	m.refused(r, v.account.Subject, "invitation_burnt", store.Password)
	m.notInvited(w, r, store.ErrNotFound)
}

// choose sets the password when it may be chosen. Otherwise the person tries again with the same code, which was right.
func (m *Method) choose(w http.ResponseWriter, r *http.Request, v invited, code string) {
	typed := r.PostForm.Get("password") // as it is: spaces belong to it
	problem, err := m.judgePassword(r.Context(), v.account, typed)
	if err == nil && problem == "" && typed != r.PostForm.Get("again") {
		problem = "different"
	}
	hash := ""
	if err == nil && problem == "" {
		if hash, err = m.Familiar.Hash(r.Context(), typed); errors.Is(err, password.ErrBusy) {
			problem, err = "busy", nil
		}
	}
	if err == nil && problem == "" {
		m.accept(w, r, v, hash)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), dropTimeout)
	defer cancel()
	if back := m.Server.Store.GiveInvitationTryBack(ctx, v.invitation); back != nil {
		m.Server.Log.Warn("try of an invitation not given back", "subject", v.account.Subject, "error", back)
	}
	switch {
	case err != nil:
		m.Server.Fault(w, r, "judge password", err)
	case problem == "busy":
		retryAfter(w, password.RetryAfter)
		m.showInvited(w, r, v, http.StatusServiceUnavailable, web.InvitationPage{Problem: problem, Code: code})
	default:
		m.showInvited(w, r, v, http.StatusUnprocessableEntity, web.InvitationPage{Problem: problem, Code: code})
	}
}

// accept uses the invitation up and sets the password, which gives what every password gives, no more and no less (D11). Other means of
// proof stay as they are, and nobody is signed in: the login asks for the second factor.
func (m *Method) accept(w http.ResponseWriter, r *http.Request, v invited, hash string) {
	s := m.Server
	f := store.Factor{ID: idp.NewFactorID(), Subject: v.account.Subject, Kind: store.Password, ACR: idp.ACRTwoFactor, Secret: hash, Created: s.Now()}
	err := m.recordAccepted(r, v, f)
	if err == nil {
		err = s.Store.UseInvitation(r.Context(), v.invitation, f, s.Now())
	}
	if err != nil {
		m.notInvited(w, r, err)
		return
	}
	s.Notify(r, v.account, mail.Notice{Kind: mail.FactorAdded, Factor: mail.FactorPassword})
	if err := s.EndOthers(r.Context(), store.Session{Account: v.account}, "password_changed"); err != nil {
		s.Fault(w, r, "end sessions", err)
		return
	}
	http.Redirect(w, r, base+"?done=chosen", http.StatusSeeOther)
}

// recordAccepted writes down what is about to be done: without that it is not. A password that there was is removed by it.
func (m *Method) recordAccepted(r *http.Request, v invited, f store.Factor) error {
	before, err := m.Server.Store.Factors(r.Context(), v.account.Subject)
	if err != nil {
		return err
	}
	e := audit.Event{
		Outcome: "success", Reason: "invitation", Factor: string(store.Password), Subject: v.account.Subject, Method: Name,
		Source: idp.Source(r), Browser: web.BrowserName(r.UserAgent()),
	}
	for _, old := range before {
		if old.Kind == store.Password {
			e.Kind, e.Detail = audit.FactorRemoved, old.ID
			if err := m.Server.Audit.Record(e); err != nil {
				return err
			}
		}
	}
	e.Kind, e.Detail = audit.FactorAdded, f.ID
	return m.Server.Audit.Record(e)
}
