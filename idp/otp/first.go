package otp

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"promess/authgw/idp"
	"promess/authgw/idp/throttle"
	"promess/authgw/internal/password"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// ask shows the form for the identifier and the password.
func (m *Method) ask(w http.ResponseWriter, r *http.Request) {
	problem := ""
	switch word := r.URL.Query().Get("problem"); word {
	case "over", "tries":
		problem = word
	}
	m.showForm(w, r, http.StatusOK, web.OTPPage{Identifier: m.Server.Wanted(r).Hint, Problem: problem, Chosen: r.URL.Query().Get("done") == "chosen"})
}

func (m *Method) showForm(w http.ResponseWriter, r *http.Request, status int, p web.OTPPage) {
	p.Action, p.Back = base+"/password", "/login"
	m.Server.Pages.Render(w, r, status, p)
}

// claim is who somebody says to be, with what would prove it.
type claim struct {
	account    store.Account // zero: nobody's identifier
	identifier string        // as typed
	password   store.Factor  // zero: there is none to compare with
	others     []store.Factor
}

// refusal is the word for the audit when the password of a claim is wrong. The person learns nothing of it.
func (c claim) refusal() string {
	switch {
	case c.account.Subject == "":
		return "unknown_identifier"
	case c.account.Disabled:
		return "account_disabled"
	case c.password.ID == "":
		return "no_password"
	}
	return "wrong_password"
}

// claimOf looks up an identifier. It asks the same of the database whether or not there is such an account (D16).
func (m *Method) claimOf(ctx context.Context, identifier string) (claim, error) {
	c := claim{identifier: identifier}
	a, err := m.Server.Store.AccountByIdentifier(ctx, identifier)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return claim{}, err
	}
	if err == nil {
		c.account = a
	}
	factors, err := m.Server.Store.Factors(ctx, c.account.Subject)
	if err != nil {
		return claim{}, err
	}
	for _, f := range factors {
		if f.Kind != store.Password {
			c.others = append(c.others, f)
		} else if !c.account.Disabled { // compared with nobody's: no password opens a disabled account (D14)
			c.password = f
		}
	}
	return c, nil
}

// submitPassword takes the first factor. Whatever is wrong has the same answer after the same work (D16).
func (m *Method) submitPassword(w http.ResponseWriter, r *http.Request) {
	s := m.Server
	identifier, ok := s.Field(w, r, "identifier")
	if !ok {
		return
	}
	if _, ok = s.Field(w, r, "password"); !ok {
		return
	}
	typed := r.PostForm.Get("password") // as it is: spaces belong to it
	if identifier == "" || typed == "" {
		m.showForm(w, r, http.StatusUnprocessableEntity, web.OTPPage{Identifier: identifier, Problem: "incomplete"})
		return
	}
	if m.Hasher.Busy() && !throttle.Marked(r) { // whoever it is: nothing is looked up that would only be given back
		m.notChecked(w, r, identifier, password.ErrBusy)
		return
	}
	c, err := m.claimOf(r.Context(), identifier)
	if err == nil && m.Hasher.Busy() {
		err = m.crowdedOut(r, c)
	}
	if err != nil {
		m.notChecked(w, r, identifier, err)
		return
	}
	attempt, wait, err := m.attempt(r, c.account.Subject, identifier)
	switch {
	case err != nil:
		s.Fault(w, r, "count attempt", err)
		return
	case wait > 0:
		m.refused(r, c.account.Subject, "throttled", store.Password)
		retryAfter(w, wait)
		m.showForm(w, r, http.StatusTooManyRequests, web.OTPPage{Identifier: identifier, Problem: "throttled", Wait: wait})
		return
	}
	right, err := m.hasher(attempt).Verify(r.Context(), c.password.Secret, typed)
	switch {
	case err != nil:
		m.unjudged(r.Context(), attempt)
		m.notChecked(w, r, identifier, err)
	case !right:
		m.refused(r, c.account.Subject, c.refusal(), store.Password)
		m.showForm(w, r, http.StatusUnprocessableEntity, web.OTPPage{Identifier: identifier, Problem: "wrong"})
	default:
		m.passwordRight(w, r, c, typed, attempt)
	}
}

// attempt counts an attempt at whatever can be guessed, under the account and not under the name that it was given (D4).
func (m *Method) attempt(r *http.Request, subject, identifier string) (*throttle.Attempt, time.Duration, error) {
	return m.Throttle.Begin(r.Context(), who(r, subject, identifier))
}

func who(r *http.Request, subject, identifier string) throttle.Who {
	return throttle.Who{Subject: subject, Identifier: identifier, Source: idp.Source(r), Request: r}
}

func (m *Method) unjudged(ctx context.Context, a *throttle.Attempt) {
	if err := a.Unjudged(ctx); err != nil {
		m.Server.Log.Warn("attempt not given back", "error", err)
	}
}

// crowdedOut is password.ErrBusy for whoever would have to wait where too many do, which is everybody but the person with the browser that
// knows them. Nothing is counted yet that would only be given back.
func (m *Method) crowdedOut(r *http.Request, c claim) error {
	known, err := m.Throttle.Knows(r.Context(), who(r, c.account.Subject, c.identifier))
	if err == nil && !known {
		return password.ErrBusy
	}
	return err
}

// hasher is where the password of an attempt is looked at.
func (m *Method) hasher(a *throttle.Attempt) *password.Hasher {
	if a.Known {
		return m.Familiar
	}
	return m.Hasher
}

// notChecked answers when nobody looked at a password.
func (m *Method) notChecked(w http.ResponseWriter, r *http.Request, identifier string, err error) {
	if !errors.Is(err, password.ErrBusy) {
		m.Server.Fault(w, r, "check password", err)
		return
	}
	m.refused(r, "", "busy", store.Password)
	retryAfter(w, password.RetryAfter)
	m.showForm(w, r, http.StatusServiceUnavailable, web.OTPPage{Identifier: identifier, Problem: "busy", Wait: password.RetryAfter})
}

func retryAfter(w http.ResponseWriter, d time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
}

// refused records a refusal: no identifier, no code (the subject is known, or it is nobody's).
func (m *Method) refused(r *http.Request, subject, reason string, kind store.FactorKind) {
	m.Server.RecordRefusal(r, Name, idp.Refusal{Reason: reason, Subject: subject, Factor: string(kind)})
}

// passwordRight begins the login, unless the person has nothing to go on with.
func (m *Method) passwordRight(w http.ResponseWriter, r *http.Request, c claim, typed string, attempt *throttle.Attempt) {
	s := m.Server
	ways, err := m.ways(r.Context(), c.account, c.others)
	if err != nil {
		m.unjudged(r.Context(), attempt)
		s.Fault(w, r, "find second factors", err)
		return
	}
	var n begun
	if len(ways) > 0 {
		n, err = m.begun(progress{Subject: c.account.Subject, Password: c.password.ID, ACR: c.password.ACR, Tries: loginTry})
	}
	if err == nil {
		hash := m.hashFrom(r.Context(), m.hasher(attempt), c.password, typed)
		err = attempt.Settled(r.Context(), func(ctx context.Context, a store.Attempt) error {
			return s.Store.AcceptPassword(ctx, a, c.password, hash, n.handle, n.login, s.Now())
		})
	}
	switch {
	case errors.Is(err, store.ErrNotFound): // changed since: this one is no longer right, and was no guess
		m.unjudged(r.Context(), attempt)
		m.refused(r, c.account.Subject, "wrong_password", store.Password)
		m.showForm(w, r, http.StatusUnprocessableEntity, web.OTPPage{Identifier: c.identifier, Problem: "wrong"})
	case err != nil:
		m.unjudged(r.Context(), attempt)
		s.Fault(w, r, "begin login", err)
	case len(ways) == 0:
		s.Refuse(w, r, Name, idp.Refusal{
			Status: http.StatusForbidden, Code: "no_second_factor", Reason: "no_second_factor", Subject: c.account.Subject, Support: idp.NewSupportCode(),
		})
	default:
		if err := m.give(w, r, n); err != nil {
			s.Fault(w, r, "begin login", err)
			return
		}
		http.Redirect(w, r, base+"/code", http.StatusSeeOther)
	}
}

// hashFrom returns the hash of a password from now on: another one when the parameters have risen.
func (m *Method) hashFrom(ctx context.Context, h *password.Hasher, f store.Factor, typed string) string {
	if !h.NeedsRehash(f.Secret) {
		return f.Secret
	}
	next, err := h.Hash(ctx, typed)
	if err != nil {
		m.Server.Log.Warn("password not hashed anew", "subject", f.Subject, "error", err) // the next login will
		return f.Secret
	}
	return next
}

// clean returns a text that a person typed to name something: printable, of bounded length.
func clean(text string, most int) string {
	text = strings.Join(strings.FieldsFunc(text, isUnprintable), " ")
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most])
	}
	return strings.TrimSpace(text)
}
