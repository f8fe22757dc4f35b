package idp

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/web"
)

// sessionCookie holds the token of a session on one host. It is Lax: a link in a mail to the portal arrives signed in.
const sessionCookie = "__Host-authgw"

// touchEvery is how often at most "last seen" is written.
const touchEvery = 30 * time.Second

// ErrNoSession says that a request belongs to no open session. Any other error means that it could not be found out.
var ErrNoSession = errors.New("no session")

// Sessions opens, finds and ends sessions.
//
// A session that was found is kept in memory, so that the requests of an open session cost the database nothing. That is believed only
// while Run hears of what other gateways change: for Grace after it last has, and no longer.
type Sessions struct {
	store          *store.Store
	idle, absolute duration
	grace          time.Duration
	now            func() time.Time
	cache          *cache
	waiting        waiters
	listeners      listeners
	heard          atomic.Int64 // when Run last knew everything, Unix milliseconds; zero: never
	ended          func(store.EndedSession)

	mu   sync.Mutex
	live map[string]map[*hold]struct{} // by session id: requests that end with the session
	over map[string]time.Time          // when sessions ended, for those who found one open just before
}

// overKept is how long the end of a session is remembered: for longer than a request takes from Find to Hold.
const overKept = time.Minute

// hold is a request that lives no longer than its session.
type hold struct{ cancel context.CancelCauseFunc }

// errSessionOver is the cause of a held context's end.
var errSessionOver = errors.New("the session is over")

// SessionsConfig is what Sessions are made of.
type SessionsConfig struct {
	Store          *store.Store
	Idle, Absolute time.Duration
	Grace          time.Duration // for which open sessions go on when the database does not answer; see Sessions
	Now            func() time.Time
	Ended          func(store.EndedSession) // is told of sessions that Run has ended because their time was over; nil: nobody is
}

// NewSessions returns sessions that live as long as the process, whatever happens to the Server around them.
func NewSessions(c SessionsConfig) *Sessions {
	s := &Sessions{
		store: c.Store, grace: c.Grace, now: c.Now, ended: c.Ended, cache: newCache(),
		live: map[string]map[*hold]struct{}{}, over: map[string]time.Time{},
	}
	s.SetLimits(c.Idle, c.Absolute)
	return s
}

// open opens a session of an account on host, for the browser of a request, and returns it with its token. What the browser is known by, where
// it is, the person is known by from then on.
func (s *Sessions) open(r *http.Request, a store.Account, p Proof, host string, browser ...store.KnownBrowser) (store.Session, string, error) {
	now := s.now()
	expires := now.Add(s.absolute.get())
	if !p.Until.IsZero() && p.Until.Before(expires) {
		expires = p.Until
	}
	v := store.Session{
		ID: newID(), Account: a, Method: p.Method, ACR: p.ACR, AMR: p.AMR, AuthTime: p.Time,
		Fingerprint: p.Fingerprint, CardType: p.CardType, Situation: p.Situation, Source: Source(r), Browser: web.BrowserName(r.UserAgent()), CreatedAt: now, SeenAt: now, ExpiresAt: expires,
	}
	secret := token.New()
	hash, _ := token.Of(token.Session, secret)
	if err := s.store.CreateSession(r.Context(), v, host, hash, p.Watch, browser...); err != nil {
		return store.Session{}, "", err
	}
	return v, secret, nil
}

// Find returns the open session of a request on host, or ErrNoSession.
func (s *Sessions) Find(r *http.Request, host string) (store.Session, error) {
	at, ok := placeOf(r, host)
	if !ok {
		return store.Session{}, ErrNoSession
	}
	if v, ok := s.remembered(at); ok {
		return v, nil
	}
	return s.read(r.Context(), at)
}

// placeOf returns where the session of a request is to be found, if the request names one.
func placeOf(r *http.Request, host string) (place, bool) {
	cookies := r.CookiesNamed(sessionCookie)
	if len(cookies) != 1 {
		return place{}, false // none; or two, and then nobody knows whose
	}
	hash, ok := token.Of(token.Session, cookies[0].Value)
	return place{hash, host}, ok
}

// remembered returns a session from memory. What memory does not know, and what it holds for over, is to be read: another gateway may
// have seen the person since.
func (s *Sessions) remembered(at place) (store.Session, bool) {
	e := s.cache.get(at)
	if e == nil || !s.Hears() { // it may have been ended elsewhere
		return store.Session{}, false
	}
	v, ok := s.believe(e, true)
	if !ok {
		s.cache.drop(at)
	}
	return v, ok
}

// believe returns the session of an entry, by the limits of time. use says whether that counts as a request.
func (s *Sessions) believe(e *entry, use bool) (store.Session, bool) {
	now := s.now()
	v := e.session.unpack()
	v.SeenAt = time.UnixMilli(e.seen.Load())
	if s.expired(v, now) {
		return store.Session{}, false
	}
	if use {
		e.seen.Store(now.UnixMilli())
		v.SeenAt = now
	}
	return v, true
}

// ByID returns an open session by its id, by the limits of time, or ErrNoSession. use says whether the person is active with what is asked.
func (s *Sessions) ByID(ctx context.Context, id string, use bool) (store.Session, error) {
	if e := s.cache.byID(id); e != nil && s.Hears() {
		if v, ok := s.believe(e, use); ok {
			return v, nil
		}
	}
	v, err := s.store.OpenSession(ctx, id)
	if err == nil && v.Account.Disabled {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Session{}, noSession(err)
	}
	return s.check(ctx, v, use)
}

// read returns a session from the database.
func (s *Sessions) read(ctx context.Context, at place) (store.Session, error) {
	generation := s.cache.now()
	v, err := s.store.SessionByToken(ctx, at.host, at.token)
	if err != nil {
		return store.Session{}, noSession(err)
	}
	if v, err = s.check(ctx, v, true); err != nil {
		return store.Session{}, err
	}
	if s.heard.Load() != 0 {
		s.cache.put(at, v, generation)
	}
	return v, nil
}

// ByWatch returns the open session whose card the holder of a watch token watches. Watching is not being active.
func (s *Sessions) ByWatch(ctx context.Context, watch string) (store.Session, error) {
	hash, ok := token.Of(token.Watch, watch)
	if !ok {
		return store.Session{}, ErrNoSession
	}
	v, err := s.store.SessionByWatch(ctx, hash)
	if err != nil {
		return store.Session{}, noSession(err)
	}
	return s.check(ctx, v, false)
}

func noSession(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return ErrNoSession
	}
	return err
}

// check applies the limits of time, and notes that the session was seen.
func (s *Sessions) check(ctx context.Context, v store.Session, seen bool) (store.Session, error) {
	now := s.now()
	if s.expired(v, now) {
		return store.Session{}, ErrNoSession
	}
	if seen && now.Sub(v.SeenAt) >= s.touch() {
		if err := s.store.TouchSession(ctx, v.ID, now); err != nil {
			return store.Session{}, err
		}
		v.SeenAt = now
	}
	return v, nil
}

func (s *Sessions) expired(v store.Session, now time.Time) bool {
	return !now.Before(v.ExpiresAt) || !now.Before(v.SeenAt.Add(s.idle.get()))
}

// touch is how far "last seen" in the database may be behind.
func (s *Sessions) touch() time.Duration { return min(touchEvery, s.idle.get()/4) }

// end ends a session and everything that holds on to it. It says whether the session was open until now.
func (s *Sessions) end(ctx context.Context, id, reason string) (bool, error) {
	err := s.store.EndSession(ctx, id, reason, s.now())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return false, fmt.Errorf("end session: %w", err)
	}
	s.release(id)
	return err == nil, nil
}

// release lets go of a session that is over, whoever ended it.
func (s *Sessions) release(id string) {
	s.cache.forget(id)
	now := s.now()
	s.mu.Lock()
	holds := s.live[id]
	delete(s.live, id)
	maps.DeleteFunc(s.over, func(_ string, ended time.Time) bool { return now.Sub(ended) > overKept })
	s.over[id] = now
	s.mu.Unlock()
	for h := range holds {
		h.cancel(errSessionOver)
	}
	s.listeners.tell(store.SessionEnded, id)
}

// Hold returns a context that ends with ctx, with the session, or at the session's absolute end. The caller calls release when
// it no longer needs it.
func (s *Sessions) Hold(ctx context.Context, v store.Session) (held context.Context, release func()) {
	held, cancel := context.WithCancelCause(ctx)
	held, stop := context.WithTimeoutCause(held, v.ExpiresAt.Sub(s.now()), errSessionOver)
	h := &hold{cancel: cancel}
	s.mu.Lock()
	if _, over := s.over[v.ID]; over { // ended since the caller found it: nobody would end h
		cancel(errSessionOver)
	}
	if s.live[v.ID] == nil {
		s.live[v.ID] = map[*hold]struct{}{}
	}
	s.live[v.ID][h] = struct{}{}
	s.mu.Unlock()
	return held, func() {
		s.mu.Lock()
		if holds := s.live[v.ID]; holds != nil {
			delete(holds, h)
			if len(holds) == 0 {
				delete(s.live, v.ID)
			}
		}
		s.mu.Unlock()
		stop()
		cancel(nil)
	}
}

func setSessionCookie(w http.ResponseWriter, secret string) {
	// No Max-Age: the browser forgets it when it closes; how long it is good for is the server's to say (E9).
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: secret, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func clearSessionCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}
