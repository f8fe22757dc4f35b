package store

import (
	"context"
	"database/sql"
	"errors"
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

// BeginAttempt counts an attempt as failed at each of some counters, and returns what GiveAttemptBack needs. When one of them allows no
// attempt yet, none is counted, and it returns when that one does. Attempts at once are counted one after the other, on whatever gateway.
// Counters that several attempts share come in one order.
func (s *Store) BeginAttempt(ctx context.Context, counters []Counter, now time.Time) (turns []int64, open time.Time, err error) {
	// Nearly all of a flood ends here, where it holds up nobody that writes. What is let through is decided below.
	if open, err = s.passing.heldUntil(ctx, counters); err != nil || open.After(now) {
		return nil, open, failed("begin attempt", err)
	}
	held := errors.New("held")
	err = s.passing.atomically(ctx, func(in conn) error {
		turns, open = nil, time.Time{}
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
	return turns, time.Time{}, failed("begin attempt", err)
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
	for _, v := range counters {
		var open int64
		err := c.row(ctx, "SELECT open_at FROM attempts WHERE counter = ?1", v.Key).Scan(&open)
		switch {
		case errors.Is(err, sql.ErrNoRows):
		case err != nil:
			return time.Time{}, err
		case millis(open).After(last):
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
		for i, c := range counters {
			_, err := in.exec(ctx, `
				UPDATE attempts SET empty_at = empty_at - ?3, open_at = CASE WHEN turn = ?2 AND open_at > ?4 THEN ?4 ELSE open_at END
				WHERE counter = ?1 AND turn >= ?2`, c.Key, turns[i], c.Limits.Fade.Milliseconds(), now.UnixMilli())
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// ClearCounter forgets the failures of a counter.
func (s *Store) ClearCounter(ctx context.Context, key string) error {
	_, err := s.passing.exec(ctx, "DELETE FROM attempts WHERE counter = ?1", key)
	return failed("clear counter", err)
}

// ClearAttempts forgets the failures of all counters about an account, and says how many there were.
func (s *Store) ClearAttempts(ctx context.Context, subject string) (int, error) {
	if subject == "" {
		return 0, failed("clear attempts", ErrNotFound) // or those about nobody would be cleared
	}
	n, err := s.db.changed(ctx, "DELETE FROM attempts WHERE subject = ?1", subject)
	return int(n), failed("clear attempts", err)
}

// RememberBrowser notes that a person has signed in with a browser.
func (s *Store) RememberBrowser(ctx context.Context, browser token.Hash, subject string, now, expires time.Time) error {
	_, err := s.passing.exec(ctx, `
		INSERT INTO known_browsers (hash, subject, seen_at, expires_at) VALUES (?1, ?2, ?3, ?4)
		ON CONFLICT (hash, subject) DO UPDATE SET seen_at = ?3, expires_at = ?4`, browser[:], subject, now.UnixMilli(), expires.UnixMilli())
	return failed("remember browser", err)
}

// KnowsBrowser says whether a person has signed in with a browser, and whether anybody has.
func (s *Store) KnowsBrowser(ctx context.Context, browser token.Hash, subject string, now time.Time) (person, anybody bool, err error) {
	var all, theirs int
	err = s.passing.row(ctx, `
		SELECT count(*), coalesce(sum(CASE WHEN subject = ?2 THEN 1 ELSE 0 END), 0) FROM known_browsers WHERE hash = ?1 AND expires_at > ?3`,
		browser[:], subject, now.UnixMilli()).Scan(&all, &theirs)
	return theirs > 0, all > 0, failed("find browser", err)
}
