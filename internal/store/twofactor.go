package store

import (
	"context"
	"errors"
	"time"

	"promess/authgw/internal/token"
)

// A login with a password and a second factor writes what belongs together in one transaction: all of it, or nothing. None of these need
// survive a power cut by itself. A login that is lost begins anew; and before a session is given away, a write that survives one has followed
// (see CreateSession), so there is none whose code could be used again. The counters come last: many people share one of a network address, and
// wait for each other from there on.

// ErrUsed says that a count of a factor was used or passed before, or that the factor was removed.
var ErrUsed = errors.New("used before")

// AcceptPassword writes what follows from a right password: the attempt is given back, the use of the factor is noted, with what its secret is from
// now on, and the login that waits for the second factor is created; with a zero handle there is none. ErrNotFound: the password was changed
// or removed meanwhile.
func (s *Store) AcceptPassword(ctx context.Context, a Attempt, f Factor, secret string, handle token.Hash, l Login, now time.Time) error {
	return failed("accept password", s.passing.atomically(ctx, func(in conn) error {
		if err := in.useFactor(ctx, f, secret, now); err != nil {
			return err
		}
		if handle != (token.Hash{}) {
			if err := in.createLogin(ctx, handle, l, now); err != nil {
				return err
			}
		}
		return in.giveAttemptBack(ctx, a, now)
	}))
}

// CompleteLogin writes what follows from the last proof of a login, for the browser that began it: the count of the factor is used, once
// (D3), and so is the login; the attempt is given back, and the failures of the last of its counters are forgotten. A zero step is of a proof
// that was used up before. ErrUsed: the step was. ErrNotFound: the login is over or used.
func (s *Store) CompleteLogin(ctx context.Context, a Attempt, step FactorStep, l Login, now time.Time) error {
	last := len(a.Counters) - 1
	return failed("complete login", s.passing.atomically(ctx, func(in conn) error {
		if step != (FactorStep{}) {
			if err := in.advanceFactor(ctx, step, now); errors.Is(err, ErrNotFound) {
				return ErrUsed
			} else if err != nil {
				return err
			}
		}
		if err := in.finishLogin(ctx, l, false, now); err != nil {
			return err
		}
		if err := in.giveAttemptBack(ctx, Attempt{a.Counters[:last], a.Turns[:last]}, now); err != nil {
			return err
		}
		return in.clearCounter(ctx, a.Counters[last].Key)
	}))
}
