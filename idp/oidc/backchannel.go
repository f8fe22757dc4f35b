package oidc

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"sync"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/client"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/store"
)

// How clients are told.
const (
	tellers       = 32               // that are told at once
	tellersEach   = 4                // of which of one client, more or less
	tellTimeout   = 5 * time.Second  // of one client's answer, from its name to the end
	settleTimeout = 10 * time.Second // for the database to hear what became of it
	lookTimeout   = 10 * time.Second
	tellEvery     = time.Second // at the latest: what another process ends is told within two
	firstDelay    = time.Second // before the second try; doubled before each further one
	mostDelay     = time.Hour
	mostSilence   = time.Minute // for which a client that does not answer is left alone
)

// tellLease is how long a gateway has for one that it took, before another may take it.
const tellLease = tellTimeout + 2*settleTimeout

// Outcome is what became of telling a client once.
type Outcome string

// The outcomes. After Refused and Unreachable the client is told again, later.
const (
	Told        Outcome = "told"
	Refused     Outcome = "refused"     // it answered, and not that it has understood
	Unreachable Outcome = "unreachable" // it did not answer, or is where it may not be told
	GivenUp     Outcome = "given_up"    // for a day it could not be told
)

// BackChannelConfig is what a BackChannel is made of. Every field is needed, but the last two.
type BackChannelConfig struct {
	Issuer   string
	Sessions *idp.Sessions
	Clients  Clients
	Ring     *keyring.Ring
	Store    *store.Store
	Audit    *audit.Log
	Log      *slog.Logger
	Now      func() time.Time
	Outcome  func(Outcome)  // is told of each, from several goroutines; nil: nobody is
	Roots    *x509.CertPool // that clients' certificates are of; nil: those of the system
}

// BackChannel tells clients that a session is over (OpenID Connect Back-Channel Logout 1.0). Whom to tell is in the database, written with the
// end of the session by whatever process ended it; of several gateways one tells. It outlives each configuration. Run is called once.
type BackChannel struct {
	config BackChannelConfig
	wake   chan struct{}
	slots  chan struct{}
	silent bool // of Run: the database did not answer at the last look

	mu    sync.Mutex
	lanes map[string]*lane // of the clients that are being told, or do not answer
}

// lane is how it goes with one client.
type lane struct {
	busy    int
	silence time.Duration // after the last try, when that was not answered
	until   time.Time     // it is left alone
}

// NewBackChannel returns one. It tells nobody before Run.
func NewBackChannel(c BackChannelConfig) *BackChannel {
	return &BackChannel{config: c, wake: make(chan struct{}, 1), slots: make(chan struct{}, tellers), lanes: map[string]*lane{}}
}

// Length returns how many times a client is still to be told.
func (b *BackChannel) Length(ctx context.Context) (int, error) {
	return b.config.Store.CountLogouts(ctx)
}

// Run tells clients until ctx ends, and returns once none is being told any more.
func (b *BackChannel) Run(ctx context.Context) {
	stop := b.config.Sessions.OnEnd(func(string) { b.rouse() })
	defer stop()
	var telling sync.WaitGroup
	defer telling.Wait()
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		b.look(ctx, &telling)
		select {
		case <-ctx.Done():
		case <-b.wake: // by the end of a session, and by whoever has told a client
		case <-tick.C: // for what other processes end, and for what is due again
		}
	}
}

// rouse makes Run look at once.
func (b *BackChannel) rouse() {
	select {
	case b.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// look takes as many of those that are due as there are free tellers, and begins to tell them.
func (b *BackChannel) look(ctx context.Context, telling *sync.WaitGroup) {
	free := cap(b.slots) - len(b.slots) // grows meanwhile, and never shrinks: only look fills
	if free == 0 {
		return
	}
	within, done := context.WithTimeout(ctx, lookTimeout)
	defer done()
	due, err := b.config.Store.TakeLogouts(within, store.LogoutsToTake{Lease: tellLease, Most: free, Each: tellersEach, Except: b.left()}, b.config.Now())
	if err != nil {
		if !b.silent && ctx.Err() == nil {
			b.config.Log.Error("clients are not told of logouts: the database does not answer", "error", err)
		}
		b.silent = true
		return
	}
	b.silent = false
	for _, v := range due {
		b.slots <- struct{}{}
		b.begin(v.Client)
		telling.Go(func() { // ends within tellTimeout and settleTimeout, or with ctx
			defer b.rouse()
			defer func() { <-b.slots }()
			b.end(v.Client, b.tell(ctx, v))
		})
	}
}

// left are the clients to leave alone: those that do not answer, and those of whom enough are being told.
func (b *BackChannel) left() []string {
	now := b.config.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for id, l := range b.lanes {
		if l.busy >= tellersEach || now.Before(l.until) {
			all = append(all, id)
		}
	}
	return all
}

func (b *BackChannel) begin(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.lanes[id] == nil {
		b.lanes[id] = &lane{}
	}
	b.lanes[id].busy++
}

// end notes how it went. A client that does not answer is asked less and less, whatever waits for it: each try holds a teller for seconds.
func (b *BackChannel) end(id string, o Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.lanes[id]
	l.busy--
	now := b.config.Now()
	switch {
	case o == Told || o == Refused:
		l.silence, l.until = 0, time.Time{}
	case o == Unreachable && !now.Before(l.until): // of several at once the first counts
		l.silence = min(max(2*l.silence, firstDelay), mostSilence)
		l.until = now.Add(l.silence)
	}
	if l.busy == 0 && l.silence == 0 {
		delete(b.lanes, id)
	}
}

// tell tells a client once, and writes down what became of it. It returns an empty outcome when the client was not tried.
func (b *BackChannel) tell(ctx context.Context, v store.QueuedLogout) Outcome {
	log := b.config.Log.With("client", v.Client, "sid", v.SID, "tries", v.Tries)
	now := b.config.Now()
	c, err := b.config.Clients.Client(ctx, v.Client)
	switch {
	case errors.Is(err, client.ErrUnknown), err == nil && c.BackChannel == "":
		b.finish(ctx, v) // it does not want to be told, or is no more
		return ""
	case !now.Before(v.Expires):
		log.Warn("client not told of a logout: given up, it does not answer as it should")
		b.record(v, GivenUp, "given_up")
		b.finish(ctx, v)
		return GivenUp
	}
	var signed string
	if err == nil {
		signed, err = b.token(ctx, c, v)
	}
	if err != nil {
		log.Error("client not told of a logout yet", "error", err)
		b.postpone(ctx, v, now.Add(delay(v.Tries)))
		return ""
	}
	err = b.send(ctx, c, signed)
	var status badStatus
	switch {
	case err == nil:
		b.record(v, Told, "success")
		b.finish(ctx, v)
		return Told
	case ctx.Err() != nil: // the gateway stops; whoever comes next goes on
		b.postpone(ctx, v, now)
		return ""
	}
	o := Unreachable
	if errors.As(err, &status) {
		o = Refused
	}
	log.Warn("client not told of a logout yet", "error", err)
	b.count(o)
	b.postpone(ctx, v, b.config.Now().Add(delay(v.Tries)))
	return o
}

// delay is how long to wait after a number of tries.
func delay(tries int) time.Duration {
	d := firstDelay
	for range tries - 1 {
		if d >= mostDelay {
			return mostDelay
		}
		d *= 2
	}
	return min(d, mostDelay)
}

// record counts a last outcome and writes it into the audit.
func (b *BackChannel) record(v store.QueuedLogout, o Outcome, outcome string) {
	b.count(o)
	err := b.config.Audit.Record(audit.Event{Kind: audit.LogoutTold, Outcome: outcome, Client: v.Client, Subject: v.Subject, Session: v.SID})
	if err != nil {
		b.config.Log.Error("audit event lost", "kind", string(audit.LogoutTold), "error", err)
	}
}

func (b *BackChannel) count(o Outcome) {
	if b.config.Outcome != nil {
		b.config.Outcome(o)
	}
}

func (b *BackChannel) finish(ctx context.Context, v store.QueuedLogout) {
	b.settle(ctx, v, func(ctx context.Context) error { return b.config.Store.RemoveLogout(ctx, v.ID) })
}

// postpone gives one back, to be taken again at a time, at the latest when it expires: then it is given up in words.
func (b *BackChannel) postpone(ctx context.Context, v store.QueuedLogout, next time.Time) {
	if next.After(v.Expires) {
		next = v.Expires
	}
	b.settle(ctx, v, func(ctx context.Context) error { return b.config.Store.PostponeLogout(ctx, v, next) })
}

// settle writes to the database, also when the gateway stops.
func (b *BackChannel) settle(ctx context.Context, v store.QueuedLogout, write func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := write(ctx); err != nil {
		b.config.Log.Error("what became of a logout not written: the client may be told twice", "client", v.Client, "error", err)
	}
}
