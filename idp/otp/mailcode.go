package otp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// A code by mail: for one login and one browser, ten minutes, five tries, once (D3).
const (
	mailDigits  = 8
	mailTries   = 5
	mailPurpose = "login code"
	mailLife    = loginLife

	dropTimeout = 5 * time.Second
)

// mailLimits keep whoever has a password from having many messages sent.
func mailLimits() store.CodeLimits {
	return store.CodeLimits{Interval: 30 * time.Second, Round: time.Hour, Most: 10}
}

// sendMail leaves a code for the address of the record, whatever the request says (D1). It waits for no mail server.
func (m *Method) sendMail(w http.ResponseWriter, r *http.Request) {
	s := m.Server
	c, ok := m.current(w, r)
	switch {
	case !ok:
		return
	case !slices.Contains(c.ways, byMail):
		s.Fail(w, r, http.StatusNotFound, "not_found")
		return
	case s.Now().Add(mailLife).Unix() > c.at.Until: // it would be worth less than it says
		http.Redirect(w, r, base+"?problem=over", http.StatusSeeOther)
		return
	}
	wait, sent, err := m.leaveCode(r, c)
	switch {
	case errors.Is(err, store.ErrNotFound): // over since we looked
		http.Redirect(w, r, base+"?problem=over", http.StatusSeeOther)
	case err != nil:
		s.Fault(w, r, "send login code", err)
	case wait > 0:
		retryAfter(w, wait)
		m.showCode(w, r, c, http.StatusTooManyRequests, web.OTPCodePage{Way: byMail, Problem: "too_soon", Wait: wait})
	case !sent:
		m.showCode(w, r, c, http.StatusServiceUnavailable, web.OTPCodePage{Way: byMail, Problem: "unsent"})
	default:
		http.Redirect(w, r, base+"/code?way="+byMail, http.StatusSeeOther)
	}
}

// leaveCode puts a new code in the place of the one before, unless there is to be none yet: then it says for how long.
func (m *Method) leaveCode(r *http.Request, c running) (wait time.Duration, sent bool, err error) {
	s := m.Server
	address, err := s.CodeAddress(r.Context(), c.account)
	if err != nil {
		return 0, false, err
	}
	code, err := idp.NewDigits(mailDigits)
	if err != nil {
		return 0, false, err
	}
	now := s.Now()
	kept := store.Code{
		Purpose: store.ForLogin, Subject: c.account.Subject, Holder: c.login.ID(), Address: address, Tries: mailTries, Sent: now, Expires: now.Add(mailLife),
		MAC: m.Keys.MAC(mailPurpose, c.account.Subject, c.login.ID(), address, code),
	}
	if wait, err = s.Store.AddLoginCode(r.Context(), kept, mailLimits(), c.login); err != nil || wait > 0 {
		return wait, false, err
	}
	err = s.Registration.Outbox.Put(r.Context(), c.account, mail.Notice{
		Kind: mail.LoginCode, Language: s.Pages.Language(r), At: now, Code: code, Valid: mailLife, Source: idp.Source(r),
		Browser: web.BrowserName(r.UserAgent()), Service: s.WantedService(r),
	})
	if err == nil {
		return 0, true, nil
	}
	s.Log.Warn("login code not sent", "subject", c.account.Subject, "error", err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), dropTimeout)
	defer cancel()
	return 0, false, s.Store.DropCode(ctx, kept)
}

// proveMail compares a code with the one that was sent for this login. A code that went elsewhere than to the record's address of today is
// worth nothing.
func (m *Method) proveMail(r *http.Request, c running, code string) ([]proof, error) {
	s := m.Server
	kept, err := s.Store.TryCode(r.Context(), store.ForLogin, c.account.Subject, c.login.ID(), s.Now())
	if err != nil {
		return nil, err
	}
	if kept.Address != c.account.Address || !m.Keys.CheckMAC(mailPurpose, kept.MAC, c.account.Subject, c.login.ID(), kept.Address, code) {
		return nil, store.ErrNotFound
	}
	if err := s.Store.UseCode(r.Context(), kept, s.Now()); err != nil {
		return nil, err // store.ErrNotFound: used meanwhile
	}
	return []proof{{acr: idp.ACRTwoFactor}}, nil
}
