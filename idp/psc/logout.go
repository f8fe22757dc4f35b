package psc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// leaveMethod is the method of logins that are none: a browser on its way to the end of the session at PSC.
const leaveMethod = "psc_logout"

const (
	leaveLife  = 2 * time.Minute
	logoutLife = 10 * time.Minute // how old a logout token may be, and how long it is known when it does not say
)

// Leave implements idp.Leaver. The session here is over: what is left is to send the browser to PSC with the ID token, so that it ends
// there too (OpenID Connect RP-Initiated Logout 1.0). The token is a secret, so the browser gets it at the last moment, from leave.
func (m *Method) Leave(ctx context.Context, v store.Session) (string, error) {
	d := m.document()
	if d == nil || d.logout == "" || m.breaker.open() {
		return "", nil // nobody is sent where nothing answers
	}
	there, err := m.Store.PSCSession(ctx, v.ID)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	t, err := m.openTokens(there)
	if err != nil {
		return "", fmt.Errorf("open tokens: %w", err)
	}
	to, err := url.Parse(d.logout)
	if err != nil {
		return "", err // unreachable: it was checked
	}
	q := to.Query()
	q.Set("id_token_hint", t.ID)
	q.Set("post_logout_redirect_uri", m.Server.Origin+LogoutPath)
	// It may come back or not. The page there says what is so, and does nothing.
	q.Set("state", token.New())
	to.RawQuery = q.Encode()
	handle := token.New()
	hash, _ := token.Of(token.Handle, handle)
	l := store.Login{Handle: hash, Method: leaveMethod, Expires: m.Now().Add(leaveLife)}
	l.Progress = []byte(m.Keys.Seal(sealLeave, l.ID(), []byte(to.String())))
	return handle, m.Store.CreateLogin(ctx, hash, l, m.Now())
}

// leave sends a browser to the end of its session at PSC, once for each handle. Without one that is good it goes where it would have come
// back to.
func (m *Method) leave(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	to := LogoutPath
	if hash, ok := token.Of(token.Handle, r.PathValue("handle")); ok {
		l, err := m.Store.LoginByHandle(r.Context(), hash, leaveMethod, m.Now())
		if err == nil {
			err = m.Store.FinishLogin(r.Context(), l, false, m.Now())
		}
		var address []byte
		if err == nil {
			address, err = m.Keys.Open(sealLeave, l.ID(), string(l.Progress))
		}
		switch {
		case err == nil:
			to = string(address)
		case !errors.Is(err, store.ErrNotFound):
			m.Log.Error("the session at Pro Santé Connect stays", "error", err)
		}
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// backchannel ends the sessions that a logout token names (OpenID Connect Back-Channel Logout 1.0, section 2.5). PSC says that it calls;
// nothing depends on it.
func (m *Method) backchannel(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if !m.limits.Allow(idp.Source(r), m.Now()) {
		w.Header().Set("Retry-After", "5")
		answerLogout(w, http.StatusTooManyRequests, "too_many_requests")
		return
	}
	ctx, done := context.WithTimeout(r.Context(), m.Timeout)
	defer done()
	if err := r.ParseForm(); err != nil || len(r.PostForm["logout_token"]) != 1 {
		answerLogout(w, http.StatusBadRequest, "invalid_request")
		return
	}
	d, err := m.provider(ctx)
	if err != nil {
		answerLogout(w, http.StatusServiceUnavailable, "temporarily_unavailable")
		return
	}
	t, err := m.logoutToken(ctx, d, r.PostForm.Get("logout_token"))
	if errors.Is(err, errBadLogout) {
		m.Log.Warn("logout token refused", "error", err)
		answerLogout(w, http.StatusBadRequest, "invalid_request")
		return
	}
	if err == nil {
		err = m.endNamed(ctx, t)
	}
	if err != nil {
		m.Log.Error("sessions not ended that Pro Santé Connect has ended", "error", err)
		answerLogout(w, http.StatusServiceUnavailable, "temporarily_unavailable")
		return
	}
	w.WriteHeader(http.StatusOK)
}

// endNamed ends the sessions that a logout token names, and notes then that it was taken: what has failed may come again.
func (m *Method) endNamed(ctx context.Context, t *oidc.LogoutToken) error {
	ids, err := m.Store.PSCSessionsOf(ctx, m.Issuer, t.SessionID, t.Subject)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := m.end(ctx, id); err != nil {
			return err
		}
	}
	// It is known for longer than it is taken, whatever it says of itself.
	err = m.Store.UsePSCLogout(ctx, m.Issuer, t.TokenID, m.Now().Add(2*logoutLife))
	if errors.Is(err, store.ErrNotFound) {
		return nil // it came twice at the same time, and has done the same
	}
	return err
}

func (m *Method) end(ctx context.Context, id string) error {
	v, err := m.Store.OpenSession(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil // by now
	}
	if err != nil {
		return err
	}
	return m.Server.End(ctx, v, endLogout)
}

var errBadLogout = errors.New("not a logout token for us")

// logoutToken checks a logout token, which is taken once (F14).
func (m *Method) logoutToken(ctx context.Context, d *document, raw string) (*oidc.LogoutToken, error) {
	t, err := d.verifier.VerifyLogout(ctx, raw) // iss, aud, RS256 signature, the event, no nonce, jti and exp are there
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadLogout, err)
	}
	now := m.Now()
	old := t.IssuedAt.IsZero() || now.Sub(t.IssuedAt) > logoutLife || t.IssuedAt.After(now.Add(leeway))
	if old || !now.Before(t.Expiry.Add(leeway)) || len(t.Audience) != 1 || len(t.TokenID) > maxClaim || len(t.SessionID) > maxClaim || len(t.Subject) > maxClaim {
		return nil, fmt.Errorf("%w: too old, too new, or too long", errBadLogout)
	}
	used, err := m.Store.PSCLogoutUsed(ctx, m.Issuer, t.TokenID)
	if err == nil && used {
		err = fmt.Errorf("%w: it was taken before", errBadLogout)
	}
	return t, err
}

// answerLogout answers as section 2.8 says.
func answerLogout(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write([]byte(`{"error":` + strconv.Quote(word) + "}\n"))
}
