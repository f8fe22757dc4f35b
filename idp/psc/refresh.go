package psc

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/errgroup"

	"promess/authgw/internal/store"
)

const (
	lookEvery  = 2 * time.Second
	workers    = 4  // renewals at once, of one gateway
	batch      = 32 // that one gateway takes from the database at once
	later      = time.Minute
	leaseSpare = 30 * time.Second // of a lease, beyond the longest that its batch can take
)

// Run reads PSC's discovery document and renews the tokens of sessions until ctx ends, and then until what it has begun is done. It does not
// wait long: each request is bounded.
//
// A session is renewed when its tokens are due and its person has been active since they were new, as the database knows it; it is taken by
// a lease, so that one gateway does it. So a person who has left keeps no session alive at PSC, and nobody's request waits for it.
func (m *Method) Run(ctx context.Context) {
	var group errgroup.Group
	group.Go(func() error { m.keepDiscovery(ctx); return nil })
	group.Go(func() error { m.keepSessions(ctx); return nil })
	group.Wait()
}

func (m *Method) keepSessions(ctx context.Context) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(spread(lookEvery)):
		}
		for ctx.Err() == nil {
			n, err := m.RenewDue(ctx)
			if err != nil && !failing && ctx.Err() == nil {
				m.Log.Error("Pro Santé Connect: sessions are not renewed, the database does not answer", "error", err)
			}
			if failing = err != nil; failing || n < batch {
				break
			}
		}
	}
}

// RenewDue renews a batch of sessions that are due, and returns how many it took. While PSC does not answer it takes none.
func (m *Method) RenewDue(ctx context.Context) (int, error) {
	if m.breaker.open() || m.document() == nil {
		return 0, nil
	}
	now := m.Now()
	until := now.Add(batch/workers*2*m.Timeout + leaseSpare)
	taken, err := m.Store.LeasePSC(ctx, batch, now, until)
	if err != nil {
		return 0, err
	}
	var group errgroup.Group
	group.SetLimit(workers)
	for _, v := range taken {
		group.Go(func() error {
			m.renew(ctx, v)
			return nil
		})
	}
	group.Wait()
	return len(taken), nil
}

// renew renews one session, and ends it when PSC says that it is over, or is somebody else's.
func (m *Method) renew(ctx context.Context, v store.PSCSession) {
	if ctx.Err() != nil {
		m.postpone(v, 0)
		return
	}
	// What PSC has answered is written down even when the gateway stops: the old token is worth nothing any more.
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), 2*m.Timeout)
	defer done()
	session, err := m.Store.OpenSession(ctx, v.ID)
	if errors.Is(err, store.ErrNotFound) {
		return // over, since it was taken
	}
	if err == nil {
		err = m.ask(ctx, &v, session)
	}
	var over *ended
	var half *unchecked
	switch {
	case errors.As(err, &over):
		m.Log.Info("Pro Santé Connect: session over", "session", v.ID, "reason", over.reason, "detail", over.detail)
		if err := m.Server.End(ctx, session, over.reason); err != nil {
			m.Log.Error("session not ended", "session", v.ID, "error", err)
			m.postpone(v, later)
		}
	case errors.As(err, &half):
		m.Log.Warn("Pro Santé Connect: session renewed, and not checked: it is renewed again", "session", v.ID, "error", plain(half.err))
		m.write(ctx, v)
	case err != nil:
		m.Log.Warn("Pro Santé Connect: session not renewed, it is tried again", "session", v.ID, "error", plain(err))
		m.postpone(v, later)
	default:
		m.write(ctx, v)
	}
}

func (m *Method) write(ctx context.Context, v store.PSCSession) {
	if err := m.Store.RenewPSC(ctx, v); err != nil {
		m.Log.Error("renewed tokens not kept: the session ends at its next renewal", "session", v.ID, "error", err)
	}
}

// unchecked says that there are new tokens, and that it could not be found out whose they are. The old ones are worth nothing any more, so the
// new refresh token is kept for asking again; the session is as old as it was.
type unchecked struct{ err error }

func (u *unchecked) Error() string { return u.err.Error() }

// postpone gives a session back, to be taken later.
func (m *Method) postpone(v store.PSCSession, by time.Duration) {
	ctx, done := context.WithTimeout(context.Background(), m.Timeout)
	defer done()
	if err := m.Store.PostponePSC(ctx, v.ID, m.Now().Add(spread(by))); err != nil {
		m.Log.Warn("session stays leased for a while", "session", v.ID, "error", err)
	}
}

// ended says that a session is over.
type ended struct{ reason, detail string }

func (e *ended) Error() string { return e.reason + ": " + e.detail }

// ask renews the tokens of v, which are of session.
func (m *Method) ask(ctx context.Context, v *store.PSCSession, session store.Session) error {
	old, err := m.openTokens(*v)
	if err != nil {
		return fmt.Errorf("open tokens: %w", err)
	}
	d, err := m.provider(ctx)
	if err != nil {
		return err
	}
	got, err := m.oauth(d).TokenSource(m.within(ctx), &oauth2.Token{RefreshToken: old.Refresh}).Token()
	if err != nil {
		return m.refreshError(err)
	}
	next := old
	next.Refresh, next.Life = got.RefreshToken, lifeOf(got)
	if v.Tokens, err = m.sealTokens(v.ID, next); err != nil {
		return err
	}
	v.Due = m.Now().Add(spread(later)) // in case that it ends here

	raw, c, err := m.idToken(ctx, d, got)
	var no *refused
	if errors.As(err, &no) {
		return &ended{endOver, no.detail}
	}
	if err == nil {
		err = m.same(ctx, d, got, c, *v, old, session)
	}
	var over *ended
	if err != nil && !errors.As(err, &over) {
		return &unchecked{err}
	}
	if err != nil {
		return err
	}
	if raw != "" {
		next.ID, v.Sub = raw, c.Sub
	}
	if v.Tokens, err = m.sealTokens(v.ID, next); err != nil {
		return err
	}
	v.Refreshed = m.Now()
	v.Due = next.due(v.Refreshed)
	return nil
}

// refreshError says what a failure of a refresh means.
func (m *Method) refreshError(err error) error {
	var no *refused
	if errors.As(m.tokenError(err), &no) && no.detail == "invalid_grant" { // RFC 6749, section 5.2
		return &ended{endOver, no.detail}
	}
	return err
}

// same refuses new tokens that are not of the person of the session (OpenID Connect Core 1.0, section 12.2), but lets sub change: at PSC it
// has, and who somebody is there is SubjectNameID. auth_time may be later than at the login: it is when PSC has last asked who that is, for
// another service perhaps (docs/divergences.md). The session is not prolonged by it.
func (m *Method) same(ctx context.Context, d *document, got *oauth2.Token, c *claims, v store.PSCSession, old tokens, session store.Session) error {
	other := func(detail string) error { return &ended{endOtherPerson, detail} }
	nameID, sub := "", v.Sub
	if c != nil {
		nameID, sub = string(c.NameID), c.Sub
		if c.Nonce != nil && subtle.ConstantTimeCompare([]byte(*c.Nonce), []byte(old.Nonce)) != 1 {
			return &ended{endOver, "nonce"}
		}
		if c.authTime().Before(old.AuthTime) {
			return &ended{endOver, "auth_time"}
		}
	}
	if nameID == "" { // the tokens do not say it, userinfo does
		info, err := m.userinfo(ctx, d, got.AccessToken)
		var no *refused
		if errors.As(err, &no) {
			return &ended{endOver, no.detail}
		}
		if err != nil {
			return err
		}
		if info.Sub != sub {
			return other("sub of userinfo")
		}
		nameID = string(info.NameID)
	}
	if nameID != session.Account.NationalID || m.identifierType(nameID) != session.Account.IDType {
		return other("SubjectNameID")
	}
	if sub != v.Sub {
		err := m.Store.AddPSCSubject(ctx, m.Issuer, sub, session.Account.Subject)
		if errors.Is(err, store.ErrNotFound) {
			return other("sub")
		}
		return err
	}
	return nil
}
