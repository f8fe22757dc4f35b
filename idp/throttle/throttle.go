// Package throttle counts failed proofs, of whatever kind and at whatever page, and says how long to wait before the next. It owns the
// rules and the cookie by which a browser is known again; the counts are in the database, so that all gateways share them. It judges no
// proof. A Throttle is safe for concurrent use.
//
// Each attempt is counted before its proof is looked at, and given back afterwards when the proof was right: so of a thousand guesses at
// once no more are looked at than of a thousand in turn. What is turned away is not counted, or a stranger could hold a door shut by
// knocking.
//
// # The rules
//
// An attempt from a browser that the person has signed in with before counts for that browser and that person, and for nothing else. So
// who guesses against a known identifier, or from within the same hospital, never delays the person at their usual workstation; and what
// the browser may guess is no more than anybody.
//
// Every other attempt counts twice:
//   - for the account, under whatever name it was given (D4, D17): five failures are free, then there is a delay of 2 s, which doubles with
//     each failure up to 5 min. It is never hours, since a stranger can bring it about; it still leaves 288 guesses a day, against a password
//     that is on no list. A failure is forgotten after half an hour, and so the longest delay after a night. An identifier that is nobody's
//     has a counter with the same rules (D16).
//   - for the network address, for IPv6 its /64, which is what one subscriber has: a hundred failures are free, then 1 s, doubling up to
//     1 min, and a failure is forgotten after 20 s. It is generous because a hospital with thousands of people is one address: three
//     mistakes a minute, all day, delay nobody there, and when somebody floods the gateway from inside, the others wait for a minute at
//     most, and no longer than three minutes after it ends. It holds up who tries one password at each of many accounts.
//
// The proofs of a login count one by one, and each right one gives back itself alone: otherwise whoever has the password could guess at
// the second factor for ever by giving the password in between. Only a login that is complete clears the counter of its account or
// browser. It never clears that of the network address: else whoever has an account could use it between guesses at others.
//
// Wrong second factors are counted once more, by account, wherever they come from, and delay nobody by that: ten, of which one is forgotten
// each hour and none by a right login, are somebody who has the password. The person is to be told, once an hour at most.
package throttle

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"promess/authgw/internal/limit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// Store keeps the counts and the browsers: *store.Store does, and its methods say what these are for.
type Store interface {
	BeginAttempt(ctx context.Context, counters []store.Counter, now time.Time) (turns []int64, open time.Time, err error)
	BeginLoginAttempt(ctx context.Context, counters []store.Counter, l store.Login, progress []byte, now time.Time) (turns []int64, open time.Time, err error)
	GiveAttemptBack(ctx context.Context, counters []store.Counter, turns []int64, now time.Time) error
	ClearCounter(ctx context.Context, key string) error
	CountFailure(ctx context.Context, c store.Counter, now time.Time) (full bool, err error)
	KnowsBrowser(ctx context.Context, browser token.Hash, subject string, now time.Time) (person, anybody bool, err error)
}

var _ Store = (*store.Store)(nil)

// The limits of the rules above.
func personLimits() store.AttemptLimits {
	return store.AttemptLimits{Free: 5, First: 2 * time.Second, Most: 5 * time.Minute, Fade: 30 * time.Minute}
}

func sourceLimits() store.AttemptLimits {
	return store.AttemptLimits{Free: 100, First: time.Second, Most: time.Minute, Fade: 20 * time.Second}
}

func guessLimits() store.AttemptLimits {
	return store.AttemptLimits{Free: 10, First: time.Hour, Most: time.Hour, Fade: time.Hour}
}

// Throttle is what every page that takes a proof asks first.
type Throttle struct {
	store Store
	key   []byte
	now   func() time.Time
}

// New returns a Throttle. key is secret, at least 32 bytes and the same on all gateways of a database: under it, identifiers that are
// nobody's are kept, which may well be a password in the wrong field.
func New(s Store, key []byte, now func() time.Time) (*Throttle, error) {
	if len(key) < 32 {
		return nil, errors.New("throttle: a key of at least 32 bytes expected")
	}
	return &Throttle{store: s, key: key, now: now}, nil
}

// Who is about to prove something.
type Who struct {
	Subject    string        // of the account; empty: the identifier is nobody's
	Identifier string        // as it was typed, where there is no account; otherwise it does not count
	Source     string        // network address of the request
	Request    *http.Request // whose cookie may be that of a known browser; nil: it has none
}

// Attempt is a proof that is being checked. It counts as failed until one of its methods is called, the first of which counts.
type Attempt struct {
	Known    bool // the person has signed in with this browser
	throttle *Throttle
	counted  store.Attempt
	over     atomic.Bool
}

// Begin counts an attempt. With a wait above zero there is none, and the proof is not to be looked at; wait goes to the person, and into
// Retry-After. With an error neither: what cannot be counted is refused.
func (t *Throttle) Begin(ctx context.Context, who Who) (a *Attempt, wait time.Duration, err error) {
	return t.begin(ctx, who, t.store.BeginAttempt)
}

// BeginStep is Begin for a proof of a login in progress, which it writes the progress of when the attempt is counted: both, or neither.
// store.ErrNotFound: the login is elsewhere by now, or over.
func (t *Throttle) BeginStep(ctx context.Context, who Who, l store.Login, progress []byte) (a *Attempt, wait time.Duration, err error) {
	return t.begin(ctx, who, func(ctx context.Context, counters []store.Counter, now time.Time) ([]int64, time.Time, error) {
		return t.store.BeginLoginAttempt(ctx, counters, l, progress, now)
	})
}

// counting counts an attempt, as Store.BeginAttempt does.
type counting func(ctx context.Context, counters []store.Counter, now time.Time) (turns []int64, open time.Time, err error)

func (t *Throttle) begin(ctx context.Context, who Who, count counting) (a *Attempt, wait time.Duration, err error) {
	known, err := t.Knows(ctx, who)
	if err != nil {
		return nil, 0, err
	}
	counters := t.counters(who, known)
	now := t.now()
	turns, open, err := count(ctx, counters, now)
	if err != nil {
		return nil, 0, err
	}
	if turns == nil {
		// At least a second: another was faster, and it may be open again.
		return nil, max(open.Sub(now), time.Second), nil
	}
	return &Attempt{Known: known, throttle: t, counted: store.Attempt{Counters: counters, Turns: turns}}, 0, nil
}

// Succeeded takes the failure back: the proof was right, and the login goes on to the next.
func (a *Attempt) Succeeded(ctx context.Context) error { return a.giveBack(ctx) }

// Unjudged takes the failure back: nobody looked at the proof, since something was busy or broken.
func (a *Attempt) Unjudged(ctx context.Context) error { return a.giveBack(ctx) }

// Completed takes the failure back and forgets those before it: the proof was right, and the last that the login needs.
func (a *Attempt) Completed(ctx context.Context) error {
	if err := a.giveBack(ctx); err != nil {
		return err
	}
	ctx, cancel := untilDone(ctx)
	defer cancel()
	return a.throttle.store.ClearCounter(ctx, a.counted.Counters[len(a.counted.Counters)-1].Key)
}

// Settled is Succeeded or Completed by a write that takes the failure back with what the right proof leads to. When the write fails, the
// attempt is as it was.
func (a *Attempt) Settled(ctx context.Context, write func(context.Context, store.Attempt) error) error {
	if a.over.Swap(true) {
		return errOver
	}
	ctx, cancel := untilDone(ctx)
	defer cancel()
	err := write(ctx, a.counted)
	if err != nil {
		a.over.Store(false)
	}
	return err
}

// SecondFailed counts a wrong second factor behind the right password of an account, and says whether the person is to be told now.
func (t *Throttle) SecondFailed(ctx context.Context, subject string) (tell bool, err error) {
	ctx, cancel := untilDone(ctx)
	defer cancel()
	return t.store.CountFailure(ctx, store.Counter{Key: "second:" + subject, Subject: subject, Limits: guessLimits()}, t.now())
}

var errOver = errors.New("throttle: the attempt is over already")

func (a *Attempt) giveBack(ctx context.Context) error {
	if a.over.Swap(true) {
		return errOver
	}
	ctx, cancel := untilDone(ctx)
	defer cancel()
	return a.throttle.store.GiveAttemptBack(ctx, a.counted.Counters, a.counted.Turns, a.throttle.now())
}

// untilDone is for what was decided, and is to be written though the browser has gone.
func untilDone(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
}

// Knows says whether somebody who is about to prove something has signed in with the browser of the request before. It asks for nobody too,
// who would otherwise be told by the time.
func (t *Throttle) Knows(ctx context.Context, who Who) (bool, error) {
	browser, ok := browserOf(who.Request)
	if !ok {
		return false, nil
	}
	known, _, err := t.store.KnowsBrowser(ctx, browser, who.Subject, t.now())
	return known, err
}

// counters returns where an attempt counts. The last is the account's, or that of a browser which is known.
func (t *Throttle) counters(who Who, known bool) []store.Counter {
	if known {
		browser, _ := browserOf(who.Request)
		return []store.Counter{{
			Key: "browser:" + hex.EncodeToString(browser[:]) + ":" + who.Subject, Subject: who.Subject, Limits: personLimits(),
		}}
	}
	person := store.Counter{Key: "account:" + who.Subject, Subject: who.Subject, Limits: personLimits()}
	if who.Subject == "" {
		person.Key = "nobody:" + t.mac(store.NormalIdentifier(who.Identifier))
	}
	return []store.Counter{{Key: "source:" + limit.Network(who.Source), Limits: sourceLimits()}, person}
}

func (t *Throttle) mac(text string) string {
	h := hmac.New(sha256.New, t.key)
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}
