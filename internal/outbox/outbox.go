package outbox

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// What Put refuses, for callers that must say so to somebody.
var (
	ErrNoAddress = errors.New("the account has no address")
	ErrProtected = errors.New("the account's address is a mailbox that this gateway opens") // D2
	ErrFull      = errors.New("too many messages wait to be sent")                          // in all, or to this account
	ErrOff       = errors.New("no mail is configured")
)

const (
	// perAccount and inAll bound how many messages wait, of which one of a kind that opens something: a newer takes its place. Codes may use
	// a part that notices leave free: a person whose notices cannot be delivered can still sign in.
	perAccount    = 10
	inAll         = 10000
	moreForCodes  = 2 // times as many
	senders       = 4 // messages that are sent at once
	pollPeriod    = 3 * time.Second
	settleTimeout = 10 * time.Second // for the database to hear what became of a message

	purpose = "mail" // of what is sealed
)

// Config says what an Outbox is made of.
type Config struct {
	Store  *store.Store
	Log    *slog.Logger
	Now    func() time.Time
	Failed func(Failure) // is told of each failure, from several goroutines; may be nil
}

// Failure is what happened to a message.
type Failure string

// The failures. After the first two the message is tried again.
const (
	Delayed    Failure = "delayed"    // the server was not reached or asked for patience
	Unreadable Failure = "unreadable" // sealed with a key that is not there
	Refused    Failure = "refused"    // for ever: it is given up
	Expired    Failure = "expired"    // before it could be sent: it is given up
)

// Outbox sends notices later than they are put, for as long as it takes, across restarts.
//
//	o := outbox.New(outbox.Config{Store: st, Log: log, Now: time.Now})
//	o.Use(sender, keys, protectedDomains) // again after each reload
//	go o.Run(ctx)
//	err := o.Put(ctx, account, mail.Notice{Kind: mail.RecoveryUsed, Language: "fr", At: now, Source: …, Browser: …, Left: 9})
//
// All methods may be called at once; Run once.
type Outbox struct {
	config Config
	using  atomic.Pointer[using] // nil: mail is not configured
	wake   chan struct{}
	slots  chan struct{}
	silent bool // of Run: the database did not answer at the last look
}

// using is what follows from a configuration.
type using struct {
	sender    *mail.Sender
	keys      *seal.Keys
	protected []string
}

// New returns an outbox that can do nothing before Use.
func New(c Config) *Outbox {
	return &Outbox{config: c, wake: make(chan struct{}, 1), slots: make(chan struct{}, senders)}
}

// Use puts a configuration into force. Nil keys: mail is off, and what waits goes on waiting. A nil sender is for a program that puts
// messages for others to send. protected are the domains whose mailboxes the gateway opens.
func (o *Outbox) Use(s *mail.Sender, k *seal.Keys, protected []string) {
	if k == nil {
		o.using.Store(nil)
		return
	}
	o.using.Store(&using{s, k, protected})
	o.rouse()
}

// rouse makes Run look at once.
func (o *Outbox) rouse() {
	select {
	case o.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// letter is what is sealed.
type letter struct {
	To     string
	Notice mail.Notice
}

// Put leaves a notice to be sent to the address that the account's record has (D1): for AddressChanged, give the account as it was before.
// It writes to the database and waits for nothing else, so its time says nothing of the mail server. Errors beside those of the database:
// ErrNoAddress, ErrProtected (only what opens something), ErrFull, ErrOff, store.ErrNotFound (no such account), and a notice that lacks
// what its kind needs.
func (o *Outbox) Put(ctx context.Context, to store.Account, n mail.Notice) error {
	if err := o.put(ctx, to, n); err != nil {
		return fmt.Errorf("queue mail: %w", err)
	}
	o.rouse()
	return nil
}

func (o *Outbox) put(ctx context.Context, to store.Account, n mail.Notice) error {
	u := o.using.Load()
	if u == nil {
		return ErrOff
	}
	if err := n.Check(); err != nil {
		return err
	}
	address, ok := mail.ParseAddress(to.Address)
	if !ok {
		return ErrNoAddress
	}
	if n.Opens() {
		if err := o.refuseCircle(ctx, u, to.Subject, address); err != nil {
			return err
		}
	}
	plain, err := json.Marshal(letter{address, n})
	if err != nil {
		return errors.New("write message") // unreachable: strings, numbers and times
	}
	m := store.QueuedMail{ID: strings.ToLower(rand.Text()), Subject: to.Subject, Created: o.config.Now(), Expires: n.Expires()}
	m.Sealed = u.keys.Seal(purpose, m.ID, plain)
	limits := store.MailLimits{Account: perAccount, All: inAll}
	if n.Opens() {
		limits.Account, limits.All = moreForCodes*perAccount, moreForCodes*inAll
		if err := o.forgetReplaced(ctx, u, to.Subject, n.Kind); err != nil {
			return err
		}
	}
	ok, err = o.config.Store.AddMail(ctx, m, limits)
	if err == nil && !ok {
		err = ErrFull
	}
	return err
}

// refuseCircle refuses an address whose mailbox the account opens with what the message carries (D2).
func (o *Outbox) refuseCircle(ctx context.Context, u *using, subject, address string) error {
	boxes, err := o.config.Store.Mailboxes(ctx, subject)
	if err != nil {
		return err
	}
	var own []string
	for _, b := range boxes {
		own = append(own, b.Address)
	}
	if mail.Circular(address, u.protected, own) {
		return ErrProtected
	}
	return nil
}

// forgetReplaced forgets what waits of a kind for an account and is to be replaced. An older code opens nothing any more; once the server is
// back it could be sent after the newer one, and the person would take it for the one to type.
func (o *Outbox) forgetReplaced(ctx context.Context, u *using, subject string, k mail.Kind) error {
	waiting, err := o.config.Store.MailOf(ctx, subject)
	if err != nil {
		return err
	}
	for _, m := range waiting {
		l, err := open(u, m)
		if err != nil || l.Notice.Kind != k { // one that cannot be read is not sent either
			continue
		}
		if err := o.config.Store.RemoveMail(ctx, m.ID); err != nil {
			return err
		}
	}
	return nil
}

// Length returns how many messages wait.
func (o *Outbox) Length(ctx context.Context) (int, error) { return o.config.Store.CountMail(ctx) }

// Run sends what is due until ctx ends, and returns once nothing is being sent any more.
func (o *Outbox) Run(ctx context.Context) {
	var sending sync.WaitGroup
	defer sending.Wait()
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	for ctx.Err() == nil {
		o.look(ctx, &sending)
		select {
		case <-ctx.Done():
		case <-o.wake: // by Put, by Use, and by whoever has sent one
		case <-tick.C: // for what other processes put, and for what is due again
		}
	}
}

// look takes as many due messages as there are free senders, and begins to send them.
func (o *Outbox) look(ctx context.Context, sending *sync.WaitGroup) {
	u := o.using.Load()
	free := cap(o.slots) - len(o.slots) // grows meanwhile, and never shrinks: only look fills
	if u == nil || u.sender == nil || free == 0 {
		return
	}
	due, err := o.config.Store.TakeMail(ctx, o.config.Now(), lease(u.sender), free)
	if err != nil {
		if !o.silent && ctx.Err() == nil {
			o.config.Log.Error("outbox not read", "error", err)
		}
		o.silent = true
		return
	}
	o.silent = false
	for _, m := range due {
		o.slots <- struct{}{}
		sending.Go(func() { // ends within the sender's timeout, or with ctx
			defer o.rouse()
			defer func() { <-o.slots }()
			o.deliver(ctx, u, m)
		})
	}
}
