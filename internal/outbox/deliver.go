package outbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"math/big"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/store"
)

// delays come between a try and the next; the last is repeated. A mail server that is restarted, one that asks a stranger for patience
// (greylisting, commonly five minutes), and one that is repaired the next day.
var delays = [...]time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 4 * time.Hour}

const (
	jitter = 5 // a delay is up to one part in so many longer or shorter, so that what failed together is not tried together
	share  = 5 // and at most one part in so many of the message's life: a code is tried a few times while it is good
)

// delay is how long to wait after a number of tries of a message that lives so long.
func delay(tries int, life time.Duration) time.Duration {
	d := min(delays[min(max(tries, 1), len(delays))-1], life/share)
	width := int64(d) * 2 / jitter
	if width <= 0 {
		return d
	}
	n, err := rand.Int(rand.Reader, big.NewInt(width))
	if err != nil {
		return d // unreachable: the source of random bytes does not fail
	}
	return d - d/jitter + time.Duration(n.Int64())
}

// lease is how long a gateway has for a message that it took, before another may take it.
func lease(s *mail.Sender) time.Duration { return s.Timeout() + 2*settleTimeout }

// deliver tries to send a message and writes down what became of it.
func (o *Outbox) deliver(ctx context.Context, u *using, m store.QueuedMail) {
	l, problem := open(u, m)
	log := o.config.Log.With("subject", m.Subject, "kind", string(l.Notice.Kind), "tries", m.Tries)
	now := o.config.Now()
	err := problem
	switch {
	case !now.Before(m.Expires):
		log.Warn("mail given up: it is too late for it")
		o.finish(ctx, m, Expired)
		return
	case problem == nil:
		until, cancel := context.WithTimeout(ctx, m.Expires.Sub(now))
		err = u.sender.SendNotice(until, l.To, l.Notice)
		cancel()
	}
	switch {
	case err == nil:
		o.finish(ctx, m, "")
	case ctx.Err() != nil: // the gateway stops; whoever comes next goes on
		o.postpone(ctx, m, now)
	case problem != nil:
		log.Error("mail cannot be read: was an old key taken out of seal_keys too early?", "error", problem)
		o.tell(Unreadable)
		o.postpone(ctx, m, now.Add(delay(m.Tries, m.Expires.Sub(m.Created))))
	case errors.Is(err, mail.ErrRefused):
		log.Warn("mail given up: the server refuses it", "error", err)
		o.finish(ctx, m, Refused)
	default:
		log.Warn("mail not sent yet", "error", err)
		o.tell(Delayed)
		o.postpone(ctx, m, now.Add(delay(m.Tries, m.Expires.Sub(m.Created))))
	}
}

// open reads what is sealed.
func open(u *using, m store.QueuedMail) (letter, error) {
	plain, err := u.keys.Open(purpose, m.ID, m.Sealed)
	if err != nil {
		return letter{}, err
	}
	var l letter
	if err := json.Unmarshal(plain, &l); err != nil {
		return letter{}, errors.New("a message of another version") // not err, which may repeat it
	}
	return l, l.Notice.Check()
}

// tell hands a failure on.
func (o *Outbox) tell(f Failure) {
	if o.config.Failed != nil {
		o.config.Failed(f)
	}
}

// finish forgets a message that is sent, or given up for a reason.
func (o *Outbox) finish(ctx context.Context, m store.QueuedMail, f Failure) {
	if f != "" {
		o.tell(f)
	}
	o.settle(ctx, m, func(ctx context.Context) error { return o.config.Store.RemoveMail(ctx, m.ID) })
}

// postpone gives a message back, to be taken again at a time, at the latest when it expires: then it is given up in words.
func (o *Outbox) postpone(ctx context.Context, m store.QueuedMail, next time.Time) {
	if next.After(m.Expires) {
		next = m.Expires
	}
	o.settle(ctx, m, func(ctx context.Context) error { return o.config.Store.PostponeMail(ctx, m, next) })
}

// settle writes to the database, also when the gateway stops.
func (o *Outbox) settle(ctx context.Context, m store.QueuedMail, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := write(ctx); err != nil {
		o.config.Log.Error("outbox not written: a message may be sent twice", "subject", m.Subject, "error", err)
	}
}
