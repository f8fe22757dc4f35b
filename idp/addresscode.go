package idp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"
	"unicode"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// A code has few values, so it is good for little: one session, one address, ten minutes, five tries (D3).
const (
	codeDigits  = 8
	codeTries   = 5
	codeLife    = 10 * time.Minute
	codePurpose = "address code"

	dropTimeout = 5 * time.Second
)

// codeLimits keep a person, and whoever uses their session, from having many messages sent to somebody.
func codeLimits() store.CodeLimits {
	return store.CodeLimits{Interval: 30 * time.Second, Round: time.Hour, Most: 10}
}

// Field returns the one value of a form's field; empty when the field is not there. It answers a form that cannot be read.
func (s *Server) Field(w http.ResponseWriter, r *http.Request, name string) (string, bool) {
	if err := r.ParseForm(); err != nil || len(r.PostForm[name]) > 1 {
		s.Fail(w, r, http.StatusBadRequest, "bad_request")
		return "", false
	}
	return strings.TrimSpace(r.PostForm.Get(name)), true
}

// judgeAddress returns an address as it is recorded, or the word for what is wrong with it.
func (s *Server) judgeAddress(ctx context.Context, subject, typed string) (address, problem string, err error) {
	address, ok := mail.ParseAddress(typed)
	if !ok {
		return "", "malformed", nil
	}
	own, err := s.mailboxesOf(ctx, subject)
	if err != nil {
		return "", "", err
	}
	if mail.Circular(address, s.Registration.Protected, own) {
		return "", "protected", nil
	}
	return address, "", nil
}

// sendCode sends a new code to an address, in the place of the one before. It returns the word for what kept it from doing so.
func (s *Server) sendCode(r *http.Request, v store.Session, address string) (problem string, err error) {
	code, err := NewDigits(codeDigits)
	if err != nil {
		return "", err
	}
	now := s.Now()
	c := store.Code{
		Purpose: store.ForAddress, Subject: v.Account.Subject, Holder: v.ID, Address: address, Tries: codeTries, Sent: now, Expires: now.Add(codeLife),
		MAC: s.Registration.Keys.MAC(codePurpose, v.Account.Subject, v.ID, address, code),
	}
	wait, err := s.Store.AddCode(r.Context(), c, codeLimits())
	switch {
	case err != nil:
		return "", err
	case wait > 0:
		return "too_soon", nil
	}
	// To the address of the record, which is what the code proves, and to nowhere else (D1).
	err = s.Registration.Mail.SendAddressCode(r.Context(), c.Address, mail.AddressCode{
		Language: s.Pages.Language(r), Code: code[:codeDigits/2] + " " + code[codeDigits/2:], Minutes: int(codeLife.Minutes()),
		Asked: now, Source: Source(r), Browser: web.BrowserName(r.UserAgent()),
	})
	if err == nil {
		return "", nil
	}
	s.Log.Warn("address code not sent", "subject", v.Account.Subject, "error", err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), dropTimeout)
	defer cancel()
	return "unsent", s.Store.DropCode(ctx, c)
}

// NewDigits returns a code of n random digits, of at most 18.
func NewDigits(n int) (string, error) {
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	number, err := rand.Int(rand.Reader, most)
	if err != nil {
		return "", fmt.Errorf("make code: %w", err) // unreachable: the source of random bytes does not fail
	}
	return fmt.Sprintf("%0*d", n, number), nil
}

// digitsOf returns a code as it was made, from how a person types it; false for what cannot be one.
func digitsOf(typed string) (string, bool) {
	code := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, typed)
	return code, len(code) == codeDigits && strings.Trim(code, "0123456789") == ""
}

func (f *addressFlow) askCode(w http.ResponseWriter, r *http.Request) {
	if v, ok := f.person(w, r); ok {
		f.showCode(w, r, v, http.StatusOK, "", 0)
	}
}

// showCode shows where the code went that the session asked for, or leads back to the address when it has asked for none.
func (f *addressFlow) showCode(w http.ResponseWriter, r *http.Request, v store.Session, status int, problem string, tries int) {
	c, err := f.server.Store.CodeOf(r.Context(), store.ForAddress, v.Account.Subject, v.ID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		http.Redirect(w, r, f.base, http.StatusSeeOther)
		return
	case err != nil:
		f.server.Fault(w, r, "find address code", err)
		return
	case problem == "" && (c.Tries <= 0 || !f.server.Now().Before(c.Expires)):
		problem = "expired"
	}
	f.server.Pages.Render(w, r, status, web.RegisterCodePage{
		Person: Person(v), Changing: f.change, Action: f.base + "/code", Resend: f.base + "/resend", Change: f.base + "/back",
		Address: mail.Mask(c.Address), Digits: codeDigits, Problem: problem, Tries: tries,
	})
}

// resend sends another code to the address of the record.
func (f *addressFlow) resend(w http.ResponseWriter, r *http.Request) {
	s := f.server
	v, ok := f.person(w, r)
	if !ok {
		return
	}
	c, err := s.Store.CodeOf(r.Context(), store.ForAddress, v.Account.Subject, v.ID)
	if errors.Is(err, store.ErrNotFound) {
		http.Redirect(w, r, f.base, http.StatusSeeOther)
		return
	}
	var problem string
	if err == nil {
		problem, err = s.sendCode(r, v, c.Address)
	}
	switch {
	case err != nil:
		s.Fault(w, r, "send address code", err)
	case problem == "unsent": // the one before is worthless too
		f.show(w, r, v, statusOf(problem), c.Address, problem)
	case problem == "":
		f.showCode(w, r, v, http.StatusOK, "resent", 0)
	default:
		f.showCode(w, r, v, statusOf(problem), problem, 0)
	}
}

// submitCode records the address when the code is right. What cannot be a code costs no try, and proves nothing (D8).
func (f *addressFlow) submitCode(w http.ResponseWriter, r *http.Request) {
	s := f.server
	v, ok := f.person(w, r)
	if !ok {
		return
	}
	typed, ok := s.Field(w, r, "code")
	if !ok {
		return
	}
	code, ok := digitsOf(typed)
	if !ok {
		f.showCode(w, r, v, statusOf("wrong"), "wrong", 0)
		return
	}
	c, err := s.Store.TryCode(r.Context(), store.ForAddress, v.Account.Subject, v.ID, s.Now())
	right := err == nil && s.Registration.Keys.CheckMAC(codePurpose, c.MAC, v.Account.Subject, v.ID, c.Address, code)
	if right {
		err = s.addressChanged(r.Context(), r, v, c)
	}
	switch {
	case errors.Is(err, store.ErrNotFound): // none, late, or used by a second press of the button
		f.showCode(w, r, v, statusOf("expired"), "expired", 0)
	case err != nil:
		s.Fault(w, r, "prove address", err)
	case right && f.change:
		http.Redirect(w, r, "/account?done=address_changed", http.StatusSeeOther)
	case right:
		http.Redirect(w, r, registerPath+"/done", http.StatusSeeOther)
	case c.Tries > 0:
		f.showCode(w, r, v, statusOf("wrong"), "wrong", c.Tries)
	default:
		s.Record(audit.Event{
			Kind: audit.AddressChanged, Outcome: "refused", Reason: "too_many_tries", Subject: v.Account.Subject, Session: v.ID, Source: Source(r),
		})
		f.showCode(w, r, v, statusOf("expired"), "expired", 0)
	}
}

// statusOf is the status of a page with a problem.
func statusOf(problem string) int {
	switch problem {
	case "too_soon":
		return http.StatusTooManyRequests
	case "unsent":
		return http.StatusServiceUnavailable
	}
	return http.StatusUnprocessableEntity
}
