package otp

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"promess/authgw/idp"
	"promess/authgw/idp/throttle"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// The ways to give the second factor, as they stand in addresses.
const (
	byTOTP     = "totp"
	byMail     = "mail"
	byRecovery = "recovery"
)

// way is one of them.
type way struct {
	kind store.FactorKind // for the audit; empty: a code by mail, which is no factor that somebody enrolled
	// read returns a code as it was made, from how a person types it; false for what cannot be one.
	read func(typed string) (string, bool)
	// prove uses a code up that is right, or says how it is. store.ErrNotFound: it is wrong, late or used.
	prove func(m *Method, r *http.Request, c running, code string) ([]proof, error)
}

// proof is what a right code proves: one of several, where more than one of the person's factors may have made it.
type proof struct {
	acr  string           // that it gives at most
	step store.FactorStep // that is used up with the login; zero: the code is used up already
}

// wayOf returns a way by its name.
func wayOf(name string) (way, bool) {
	v, ok := map[string]way{
		byTOTP:     {store.TOTP, readDigits(totpDigits), (*Method).proveTOTP},
		byMail:     {"", readDigits(mailDigits), (*Method).proveMail},
		byRecovery: {store.Recovery, readRecovery, (*Method).proveRecovery},
	}[name]
	return v, ok
}

// ways are those that a person has, the quickest first.
func (m *Method) ways(ctx context.Context, a store.Account, factors []store.Factor) ([]string, error) {
	has := func(kind store.FactorKind) bool {
		return slices.ContainsFunc(factors, func(f store.Factor) bool { return f.Kind == kind })
	}
	var all []string
	if m.TOTP && has(store.TOTP) {
		all = append(all, byTOTP)
	}
	if m.MailCode {
		address, err := m.Server.CodeAddress(ctx, a)
		if err != nil {
			return nil, err
		}
		if address != "" {
			all = append(all, byMail)
		}
	}
	if m.Recovery && has(store.Recovery) {
		all = append(all, byRecovery)
	}
	return all, nil
}

// askCode shows the ways, or the field of the one that was chosen. Who has only one has chosen.
func (m *Method) askCode(w http.ResponseWriter, r *http.Request) {
	c, ok := m.current(w, r)
	if !ok {
		return
	}
	chosen := r.URL.Query().Get("way")
	if !slices.Contains(c.ways, chosen) {
		chosen = ""
	}
	if len(c.ways) == 1 {
		chosen = c.ways[0]
	}
	m.showCode(w, r, c, http.StatusOK, web.OTPCodePage{Way: chosen})
}

// showCode shows a way.
func (m *Method) showCode(w http.ResponseWriter, r *http.Request, c running, status int, p web.OTPCodePage) {
	for _, name := range c.ways {
		if name != p.Way {
			p.Ways = append(p.Ways, web.OTPWay{Name: name, Path: base + "/code?way=" + name})
		}
	}
	p.Restart = base
	if p.Way != "" {
		p.Action = base + "/code/" + p.Way
	}
	switch p.Way {
	case byTOTP:
		p.Digits = totpDigits
	case byMail:
		p.Digits, p.Send, p.Address = mailDigits, base+"/mail", mail.Mask(c.account.Address)
		code, err := m.Server.Store.CodeOf(r.Context(), store.ForLogin, c.account.Subject, c.login.ID())
		switch {
		case err == nil:
			p.Sent = code.Tries > 0 && m.Server.Now().Before(code.Expires)
			if !p.Sent && (p.Problem == "wrong" || p.Problem == "shape") {
				p.Problem = "expired"
			}
		case !errors.Is(err, store.ErrNotFound):
			m.Server.Fault(w, r, "find code", err)
			return
		}
	}
	m.Server.Pages.Render(w, r, status, p)
}

// submitCode takes the second factor. What cannot be a code costs no try, and proves nothing (D8).
func (m *Method) submitCode(w http.ResponseWriter, r *http.Request) {
	s := m.Server
	c, ok := m.current(w, r)
	if !ok {
		return
	}
	name := r.PathValue("way")
	by, known := wayOf(name)
	if !known || !slices.Contains(c.ways, name) {
		s.Fail(w, r, http.StatusNotFound, "not_found")
		return
	}
	typed, ok := s.Field(w, r, "code")
	if !ok {
		return
	}
	code, ok := by.read(typed)
	if !ok {
		m.showCode(w, r, c, http.StatusUnprocessableEntity, web.OTPCodePage{Way: name, Problem: "shape"})
		return
	}
	next, err := c.taken()
	if err != nil {
		s.Fault(w, r, "take a try", err)
		return
	}
	attempt, wait, err := m.Throttle.BeginStep(r.Context(), who(r, c.account.Subject, ""), c.login, next.login.Progress)
	switch {
	case errors.Is(err, store.ErrNotFound): // two at once: one is looked at
		http.Redirect(w, r, base+"/code?way="+name, http.StatusSeeOther)
		return
	case err != nil:
		s.Fault(w, r, "count attempt", err)
		return
	case wait > 0:
		m.refused(r, c.account.Subject, "throttled", by.kind)
		retryAfter(w, wait)
		m.showCode(w, r, c, http.StatusTooManyRequests, web.OTPCodePage{Way: name, Problem: "throttled", Wait: wait})
		return
	}
	m.judge(w, r, next, name, code, attempt)
}

// judge compares a code, and answers.
func (m *Method) judge(w http.ResponseWriter, r *http.Request, c running, name, code string, attempt *throttle.Attempt) {
	s := m.Server
	by, _ := wayOf(name)
	proofs, err := by.prove(m, r, c, code)
	switch {
	case errors.Is(err, store.ErrNotFound):
		m.wrongCode(w, r, c, name, by.kind)
		return
	case err != nil:
		m.unjudged(r.Context(), attempt)
		s.Fault(w, r, "check code", err)
		return
	}
	acr, err := m.complete(r, c, proofs, attempt)
	switch {
	case errors.Is(err, store.ErrUsed):
		m.wrongCode(w, r, c, name, by.kind)
	case errors.Is(err, store.ErrNotFound): // finished by another request, or late since we looked
		m.unjudged(r.Context(), attempt)
		http.Redirect(w, r, base+"?problem=over", http.StatusSeeOther)
	case err != nil:
		m.unjudged(r.Context(), attempt)
		s.Fault(w, r, "finish login", err)
	default:
		s.Succeed(w, r, idp.Proof{
			Method: Name, ACR: idp.Lower(idp.Lower(idp.ACRTwoFactor, c.at.ACR), acr), AMR: []string{"pwd", "otp", "mfa"}, Time: s.Now(), Account: &c.account,
		})
	}
}

// complete uses the login up, once, with the first of the proofs whose step was not used, and returns the level that it gives. store.ErrUsed:
// all were.
func (m *Method) complete(r *http.Request, c running, proofs []proof, attempt *throttle.Attempt) (acr string, err error) {
	err = store.ErrUsed
	for _, p := range proofs {
		err = attempt.Settled(r.Context(), func(ctx context.Context, a store.Attempt) error {
			return m.Server.Store.CompleteLogin(ctx, a, p.step, c.login, m.Server.Now())
		})
		if !errors.Is(err, store.ErrUsed) {
			return p.acr, err
		}
	}
	return "", err
}

func (m *Method) wrongCode(w http.ResponseWriter, r *http.Request, c running, name string, kind store.FactorKind) {
	m.refused(r, c.account.Subject, "wrong_code", kind)
	m.warn(r, c)
	if c.at.Tries > 0 {
		m.showCode(w, r, c, http.StatusUnprocessableEntity, web.OTPCodePage{Way: name, Problem: "wrong"})
		return
	}
	if err := m.Server.Store.DropLogin(r.Context(), c.login, m.Server.Now()); err != nil {
		m.Server.Fault(w, r, "end login", err)
		return
	}
	http.Redirect(w, r, base+"?problem=tries", http.StatusSeeOther)
}

// warn tells a person of whose password somebody guesses at the second factor. A failure to do so opens nothing.
func (m *Method) warn(r *http.Request, c running) {
	tell, err := m.Throttle.SecondFailed(r.Context(), c.account.Subject)
	if err != nil {
		m.Server.Log.Warn("wrong code not counted", "subject", c.account.Subject, "error", err)
	}
	if tell {
		m.Server.Notify(r, c.account, mail.Notice{Kind: mail.CodesRefused})
	}
}

// readDigits reads a code of n digits, with spaces where the person likes.
func readDigits(n int) func(string) (string, bool) {
	return func(typed string) (string, bool) {
		code := without(typed, unicode.IsSpace)
		return code, len(code) == n && strings.Trim(code, "0123456789") == ""
	}
}

// without removes the characters that are not wanted.
func without(text string, unwanted func(rune) bool) string {
	return strings.Map(func(r rune) rune {
		if unwanted(r) {
			return -1
		}
		return r
	}, text)
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }
