package psc

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// loginLife is how long a person has, from the button here to the return with a code, and to the choice of a situation.
const loginLife = 15 * time.Minute

// start begins a login and sends the browser to PSC.
func (m *Method) start(w http.ResponseWriter, r *http.Request) {
	if !m.limits.Allow(idp.Source(r), m.Now()) {
		w.Header().Set("Retry-After", "5")
		m.Server.Fail(w, r, http.StatusTooManyRequests, "unavailable")
		return
	}
	ctx, done := context.WithTimeout(r.Context(), m.Timeout)
	defer done()
	d, err := m.provider(ctx)
	if err == nil && m.breaker.open() {
		err = errDown
	}
	if err != nil {
		m.otherWays(w, r, err)
		return
	}
	state, kept := token.New(), m.Server.BrowserState(r)
	if _, ok := token.Of(token.Browser, kept.Browser); !ok { // else another tab has begun a login, which goes on
		kept.Browser = token.New()
	}
	p := progress{Step: asked, Verifier: oauth2.GenerateVerifier(), Nonce: token.New()}
	handle, _ := token.Of(token.Handle, state)
	browserHash, _ := token.Of(token.Browser, kept.Browser)
	login := store.Login{Handle: handle, Browser: browserHash, Method: Name, Expires: m.Now().Add(loginLife)}
	login.Progress = m.sealProgress(login, p)
	if err := m.Store.CreateLogin(r.Context(), handle, login, m.Now()); err != nil {
		m.Server.Fault(w, r, "begin login", err)
		return
	}
	if err := m.Server.SaveBrowserState(w, r, kept); err != nil {
		m.Server.Fault(w, r, "save browser state", err)
		return
	}
	options := []oauth2.AuthCodeOption{
		// The least that PSC knows, which it says to ask for. What comes back may be more: see checkLevel.
		oauth2.SetAuthURLParam("acr_values", "eidas1"),
		oidc.Nonce(p.Nonce), oauth2.S256ChallengeOption(p.Verifier),
	}
	if m.Server.Wanted(r).Fresh {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	http.Redirect(w, r, m.oauth(d).AuthCodeURL(state, options...), http.StatusSeeOther)
}

// otherWays shows the other ways in while PSC is not to be had.
func (m *Method) otherWays(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the browser has gone
	}
	code := idp.NewSupportCode()
	m.Log.Warn("Pro Santé Connect is not to be had", "error", plain(err), "support", code)
	m.Server.RecordRefusal(r, Name, idp.Refusal{Reason: "psc_unavailable", Support: code})
	m.Server.OtherWays(w, r, "psc_unavailable", code)
}

// refuse refuses a login for a reason of the audit, with a page of the catalogue.
func (m *Method) refuse(w http.ResponseWriter, r *http.Request, code, reason, detail string) {
	m.Server.Refuse(w, r, Name, idp.Refusal{Status: http.StatusForbidden, Code: code, Reason: reason, Detail: detail, Support: idp.NewSupportCode()})
}

// callback is where PSC sends the browser back to.
func (m *Method) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	login, p, ok := m.take(w, r, one(q, "state"))
	if !ok {
		return
	}
	if iss, has := q["iss"]; has && (len(iss) != 1 || iss[0] != m.Issuer) { // RFC 9207, section 2.4
		m.refuse(w, r, "psc_refused", "psc_callback", "another issuer answers")
		return
	}
	if word := one(q, "error"); word != "" {
		m.answerError(w, r, word)
		return
	}
	code := one(q, "code")
	if code == "" {
		m.refuse(w, r, "psc_refused", "psc_callback", "neither a code nor an error")
		return
	}
	ctx, done := context.WithTimeout(r.Context(), m.Timeout)
	defer done()
	f, err := m.redeem(ctx, code, p)
	if err != nil {
		m.answer(w, r, err)
		return
	}
	if !m.mayOpen(w, r, f) {
		return
	}
	if len(f.Situations) > 1 {
		next := m.sealProgress(login, progress{Step: choosing, Found: f})
		if err := m.Store.AdvanceLogin(r.Context(), login, next, false, m.Now()); err != nil {
			m.Server.Fault(w, r, "advance login", err)
			return
		}
		http.Redirect(w, r, situationPath+one(q, "state"), http.StatusSeeOther)
		return
	}
	if len(f.Situations) == 1 {
		f.choose(f.Situations[0])
	}
	m.finish(w, r, login, f)
}

// one returns the only value of a parameter; of one that is there twice, nothing.
func one(q url.Values, name string) string {
	if values := q[name]; len(values) == 1 {
		return values[0]
	}
	return ""
}

// take takes a login from where the browser was sent to PSC: once, whoever comes with its state (F7). What another browser has brought is
// worth nothing afterwards.
func (m *Method) take(w http.ResponseWriter, r *http.Request, state string) (store.Login, progress, bool) {
	unknown := func(reason string) (store.Login, progress, bool) {
		m.refuse(w, r, "login_unknown", reason, "")
		return store.Login{}, progress{}, false
	}
	fault := func(what string, err error) (store.Login, progress, bool) {
		m.Server.Fault(w, r, what, err)
		return store.Login{}, progress{}, false
	}
	handle, ok := token.Of(token.Handle, state)
	if !ok {
		return unknown("state_unknown")
	}
	login, err := m.Store.LoginByHandle(r.Context(), handle, Name, m.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknown("state_unknown")
	case err != nil:
		return fault("find login", err)
	}
	p, err := m.openProgress(login)
	if err != nil {
		return fault("open login", err)
	}
	if p.Step != asked {
		return unknown("state_unknown")
	}
	taken := m.sealProgress(login, progress{Step: back})
	err = m.Store.AdvanceLogin(r.Context(), login, taken, false, m.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return unknown("state_unknown")
	case err != nil:
		return fault("advance login", err)
	}
	login.Progress = taken
	if !m.ours(r, login) {
		return unknown("other_browser")
	}
	return login, p, true
}

// ours says whether a request is of the browser that began a login.
func (m *Method) ours(r *http.Request, l store.Login) bool {
	browser, ok := token.Of(token.Browser, m.Server.BrowserState(r).Browser)
	return ok && subtle.ConstantTimeCompare(browser[:], l.Browser[:]) == 1
}

var errorWord = regexp.MustCompile(`^[a-z_]{1,40}$`)

// answerError shows what an error on the way back means (RFC 6749, section 4.1.2.1).
func (m *Method) answerError(w http.ResponseWriter, r *http.Request, word string) {
	if !errorWord.MatchString(word) {
		word = "other"
	}
	switch word {
	case "access_denied":
		m.refuse(w, r, "psc_cancelled", "cancelled", "")
	case "temporarily_unavailable", "server_error":
		m.otherWays(w, r, errors.New(word))
	default:
		m.refuse(w, r, "psc_refused", "psc_error", word)
	}
}

// answer shows why what PSC said opens nothing.
func (m *Method) answer(w http.ResponseWriter, r *http.Request, err error) {
	var no *refused
	if !errors.As(err, &no) {
		m.otherWays(w, r, err)
		return
	}
	if r.Context().Err() != nil {
		return
	}
	if no.cause != nil {
		m.Log.Warn("answer of Pro Santé Connect refused", "reason", no.reason, "detail", no.detail, "error", plain(no.cause))
	}
	m.refuse(w, r, no.page, no.reason, no.detail)
}

// mayOpen refuses a person who is not whom (iss, sub) was before, or whom the browser's open session is of.
func (m *Method) mayOpen(w http.ResponseWriter, r *http.Request, f *found) bool {
	p := f.Proof
	if err := m.known(r.Context(), p, f.Sub); err != nil {
		if errors.Is(err, errOtherAccount) {
			m.refuse(w, r, "psc_identity", "psc_identity_changed", "")
		} else {
			m.Server.Fault(w, r, "find identity", err)
		}
		return false
	}
	open, err := m.Server.Sessions.Find(r, m.Server.Host)
	switch {
	case errors.Is(err, idp.ErrNoSession):
		return true
	case err != nil:
		m.Server.Fault(w, r, "find session", err)
		return false
	case open.Account.IDType == p.IDType && open.Account.NationalID == p.NationalID:
		return true
	}
	// Somebody else's card is in the reader: nobody is to go on with the session of the one before by mistake.
	if err := m.Server.End(r.Context(), open, endOtherPerson); err != nil {
		m.Server.Fault(w, r, "end session", err)
		return false
	}
	m.refuse(w, r, "psc_other_person", endOtherPerson, "")
	return false
}

var errOtherAccount = errors.New("iss and sub are of another account")

// known refuses (iss, sub) that is another account's than the one that the national identifier opens.
func (m *Method) known(ctx context.Context, p idp.Proof, sub string) error {
	subject, err := m.Store.PSCSubject(ctx, m.Issuer, sub)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	a, err := m.Store.AccountBySubject(ctx, subject)
	if err == nil && (a.IDType != p.IDType || a.NationalID != p.NationalID) {
		err = errOtherAccount
	}
	return err
}

// finish uses a login up and opens the session.
func (m *Method) finish(w http.ResponseWriter, r *http.Request, l store.Login, f *found) {
	err := m.Store.FinishLogin(r.Context(), l, false, m.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		m.refuse(w, r, "login_unknown", "login_over", "")
		return
	case err != nil:
		m.Server.Fault(w, r, "finish login", err)
		return
	}
	f.Proof.Opened = func(ctx context.Context, v store.Session) error { return m.keep(ctx, v, f) }
	m.Server.Succeed(w, r, f.Proof)
}
