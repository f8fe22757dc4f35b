package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"promess/authgw/internal/token"
)

// Counter counts the failed attempts to prove something, by what they have in common.
type Counter struct {
	Key     string
	Subject string // of the account that it is about; empty: none
	Limits  AttemptLimits
}

// AttemptLimits say how a counter delays attempts.
type AttemptLimits struct {
	Free  int           // failures without a delay
	First time.Duration // the delay after these; it doubles with each further one
	Most  time.Duration // the longest delay
	Fade  time.Duration // after which one failure is forgotten
}

// delay is how long nobody may try after a number of failures.
func (l AttemptLimits) delay(failures int64) time.Duration {
	d := l.First
	for n := int64(l.Free); n < failures && d < l.Most; n++ {
		d *= 2
	}
	if failures < int64(l.Free) {
		return 0
	}
	return min(d, l.Most)
}

// full is the highest number of failures that is kept: one more than the first with the longest delay, so that what is given back was
// always counted.
func (l AttemptLimits) full() int64 {
	n := int64(l.Free)
	for l.delay(n) < l.Most {
		n++
	}
	return n + 1
}

// Attempt is one that was counted: the counters, and for each what its turn was.
type Attempt struct {
	Counters []Counter
	Turns    []int64
}

// BeginAttempt counts an attempt as failed at each of some counters, and returns what GiveAttemptBack needs. When one of them allows no
// attempt yet, none is counted, and it returns when that one does. Attempts at once are counted one after the other, on whatever gateway.
// Counters that several attempts share come in one order.
func (s *Store) BeginAttempt(ctx context.Context, counters []Counter, now time.Time) (turns []int64, open time.Time, err error) {
	// Nearly all of a flood ends here, where it holds up nobody that writes. What is let through is decided below.
	if open, err = s.passing.heldUntil(ctx, counters); err != nil || open.After(now) {
		return nil, open, failed("begin attempt", err)
	}
	return s.beginAttempt(ctx, counters, now, func(conn) error { return nil })
}

// BeginLoginAttempt is BeginAttempt for a login in progress, and AdvanceLogin of that login: both, or neither. ErrNotFound as for
// AdvanceLogin.
func (s *Store) BeginLoginAttempt(ctx context.Context, counters []Counter, l Login, progress []byte, now time.Time) (turns []int64, open time.Time, err error) {
	return s.beginAttempt(ctx, counters, now, func(in conn) error { return in.advanceLogin(ctx, l, progress, now) })
}

// beginAttempt does something else first, which the attempt belongs to.
func (s *Store) beginAttempt(ctx context.Context, counters []Counter, now time.Time, first func(conn) error) (turns []int64, open time.Time, err error) {
	held := errors.New("held")
	err = s.passing.atomically(ctx, func(in conn) error {
		turns, open = nil, time.Time{}
		if err := first(in); err != nil {
			return err
		}
		for _, c := range counters {
			turn, err := in.countAttempt(ctx, c, now)
			if errors.Is(err, sql.ErrNoRows) {
				if open, err = in.heldUntil(ctx, counters); err == nil {
					err = held
				}
			}
			if err != nil {
				return err
			}
			turns = append(turns, turn)
		}
		return nil
	})
	if errors.Is(err, held) {
		return nil, open, nil
	}
	if err != nil {
		return nil, time.Time{}, failed("begin attempt", err)
	}
	return turns, time.Time{}, nil
}

// CountFailure counts a failure that delays nobody, and says whether it is the one that fills the counter. A full one counts nothing until the
// delay of its limits is over; of failures at once, on whatever gateway, one fills it.
func (s *Store) CountFailure(ctx context.Context, c Counter, now time.Time) (full bool, err error) {
	err = s.passing.atomically(ctx, func(in conn) error {
		full = false
		_, err := in.countAttempt(ctx, c, now)
		if errors.Is(err, sql.ErrNoRows) { // full already
			return nil
		}
		if err != nil {
			return err
		}
		open, err := in.heldUntil(ctx, []Counter{c})
		full = open.After(now)
		return err
	})
	return full, failed("count failure", err)
}

// heldUntil returns when the last of some counters allows an attempt.
func (c conn) heldUntil(ctx context.Context, counters []Counter) (time.Time, error) {
	var last time.Time
	for two := range slices.Chunk(counters, 2) { // as many as an attempt has
		var open int64
		err := c.row(ctx, "SELECT coalesce(max(open_at), 0) FROM attempts WHERE counter IN (?1, ?2)", two[0].Key, two[len(two)-1].Key).Scan(&open)
		if err != nil {
			return time.Time{}, err
		}
		if open > 0 && millis(open).After(last) {
			last = millis(open)
		}
	}
	return last, nil
}

// countAttempt counts one failure, or returns sql.ErrNoRows when none may be tried now. The row is held from the first statement on, so
// the delay that the second writes is that of the count.
func (c conn) countAttempt(ctx context.Context, v Counter, now time.Time) (turn int64, err error) {
	at, fade := now.UnixMilli(), v.Limits.Fade.Milliseconds()
	var empty int64
	err = c.row(ctx, `
		INSERT INTO attempts (counter, subject, turn, empty_at, open_at) VALUES (?1, ?2, ?3, ?4, ?3)
		ON CONFLICT (counter) DO UPDATE SET turn = attempts.turn + 1, empty_at = CASE
			WHEN attempts.empty_at <= ?3 THEN ?4
			WHEN attempts.empty_at + ?5 > ?6 THEN ?6
			ELSE attempts.empty_at + ?5 END
		WHERE attempts.open_at <= ?3
		RETURNING turn, empty_at`,
		v.Key, v.Subject, at, at+fade, fade, at+v.Limits.full()*fade).Scan(&turn, &empty)
	if err != nil {
		return 0, err
	}
	failures := (empty - at + fade - 1) / fade
	if d := v.Limits.delay(failures); d > 0 {
		err = c.once(ctx, "UPDATE attempts SET open_at = ?2 WHERE counter = ?1", v.Key, now.Add(d).UnixMilli())
	}
	return turn, err
}

// GiveAttemptBack takes the failure back that BeginAttempt counted, and the delay too when nobody has tried since.
func (s *Store) GiveAttemptBack(ctx context.Context, counters []Counter, turns []int64, now time.Time) error {
	return failed("give attempt back", s.passing.atomically(ctx, func(in conn) error {
		return in.giveAttemptBack(ctx, Attempt{counters, turns}, now)
	}))
}

func (c conn) giveAttemptBack(ctx context.Context, a Attempt, now time.Time) error {
	for i, v := range a.Counters {
		_, err := c.exec(ctx, `
			UPDATE attempts SET empty_at = empty_at - ?3, open_at = CASE WHEN turn = ?2 AND open_at > ?4 THEN ?4 ELSE open_at END
			WHERE counter = ?1 AND turn >= ?2`, v.Key, a.Turns[i], v.Limits.Fade.Milliseconds(), now.UnixMilli())
		if err != nil {
			return err
		}
	}
	return nil
}

// ClearCounter forgets the failures of a counter.
func (s *Store) ClearCounter(ctx context.Context, key string) error {
	return failed("clear counter", s.passing.clearCounter(ctx, key))
}

func (c conn) clearCounter(ctx context.Context, key string) error {
	_, err := c.exec(ctx, "DELETE FROM attempts WHERE counter = ?1", key)
	return err
}

// ClearAttempts forgets the failures of all counters about an account, and says how many there were.
func (s *Store) ClearAttempts(ctx context.Context, subject string) (int, error) {
	if subject == "" {
		return 0, failed("clear attempts", ErrNotFound) // or those about nobody would be cleared
	}
	n, err := s.db.changed(ctx, "DELETE FROM attempts WHERE subject = ?1", subject)
	return int(n), failed("clear attempts", err)
}

// KnownBrowser is what a browser is known by to a person who has signed in with it, and until when.
type KnownBrowser struct {
	Hash    token.Hash
	Expires time.Time
}

// RememberBrowser notes that a person has signed in with a browser.
func (s *Store) RememberBrowser(ctx context.Context, browser token.Hash, subject string, now, expires time.Time) error {
	return failed("remember browser", s.passing.rememberBrowser(ctx, KnownBrowser{browser, expires}, subject, now))
}

func (c conn) rememberBrowser(ctx context.Context, b KnownBrowser, subject string, now time.Time) error {
	_, err := c.exec(ctx, `
		INSERT INTO known_browsers (hash, subject, seen_at, expires_at) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (hash, subject) DO UPDATE SET seen_at = ?3, expires_at = ?4`, b.Hash[:], subject, now.UnixMilli(), b.Expires.UnixMilli())
	return err
}

// KnowsBrowser says whether a person has signed in with a browser, and whether anybody has.
func (s *Store) KnowsBrowser(ctx context.Context, browser token.Hash, subject string, now time.Time) (person, anybody bool, err error) {
	var all, theirs int
	err = s.passing.row(ctx, `
		SELECT count(*), coalesce(sum(CASE WHEN subject = ?2 THEN 1 ELSE 0 END), 0) FROM known_browsers WHERE hash = ?1 AND expires_at > ?3`,
		browser[:], subject, now.UnixMilli()).Scan(&all, &theirs)
	return theirs > 0, all > 0, failed("find browser", err)
}
