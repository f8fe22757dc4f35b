package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// ErrBusy says that too many others sign in at the moment. The password was not looked at.
var ErrBusy = errors.New("too many passwords are being checked")

// Who waits, and for how long. A queue that is longer than what is served in that time would only make everybody wait in vain.
const (
	queue   = 64
	maxWait = 3 * time.Second
)

// RetryAfter is when to try again after ErrBusy.
const RetryAfter = 5 * time.Second

// Hasher hashes passwords and compares them, a few at once.
//
// What is computed elsewhere must not suffer. Each hash is computed in pieces of a few milliseconds, and there are fewer at once than
// processors, so that the requests of open sessions find a free one. The threads have no lower priority: the library computes in
// goroutines of its own, which are not bound to the thread that asked.
type Hasher struct {
	params  Params
	nobody  hashed // what is compared with where there is no account
	places  chan struct{}
	waiting chan struct{}
	maxWait time.Duration
}

// NewHasher returns a Hasher that makes hashes with p. concurrent is how many are computed at once; zero is half the processors, at
// least one.
func NewHasher(p Params, concurrent int) (*Hasher, error) {
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("password hashes: %w", err)
	}
	if concurrent <= 0 {
		concurrent = max(1, runtime.GOMAXPROCS(0)/2)
	}
	h := &Hasher{params: p, places: make(chan struct{}, concurrent), waiting: make(chan struct{}, queue), maxWait: maxWait}
	h.nobody = hashed{Params: p, salt: random(newSalt), sum: random(newSum)} // of no password that anybody knows
	return h, nil
}

// Hash returns the hash of a password, to be kept. A new password is a Policy's to judge first. It returns ErrBusy, or ctx's error.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	prepared, ok := prepare(password)
	if !ok {
		return "", errors.New("hash password: it is empty, too long or no text")
	}
	if err := h.enter(ctx); err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	defer h.leave()
	v := hashed{Params: h.params, salt: random(newSalt)}
	v.sum = v.compute(prepared, newSum)
	return v.String(), nil
}

// Verify says whether a password is the one of a hash. stored is empty where there is no account, or it has no password: then the answer
// is no, after as long as otherwise (D16). Any error means no: ErrBusy, ctx's, or that stored is no hash.
func (h *Hasher) Verify(ctx context.Context, stored, password string) (bool, error) {
	against, known := h.nobody, stored != ""
	if known {
		var err error
		if against, err = parse(stored); err != nil {
			return false, fmt.Errorf("verify password: %w", err)
		}
	}
	prepared, text := prepare(password)
	if err := h.enter(ctx); err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	defer h.leave()
	sum := against.compute(prepared, len(against.sum))
	h.spend(against.Params)
	same := subtle.ConstantTimeCompare(sum, against.sum) == 1
	return same && known && text, nil
}

// spend takes the time by which a hash with p is cheaper than one of today's, or an account that has not signed in since the parameters
// rose would answer sooner than one that is not there.
func (h *Hasher) spend(p Params) {
	if p.work() >= h.params.work() {
		return
	}
	rest := hashed{Params: h.params, salt: h.nobody.salt}
	rest.Memory = max((h.params.work()-p.work())/h.params.Time, 8*uint32(h.params.Threads))
	rest.compute("", newSum)
}

// NeedsRehash says whether a hash was made with parameters that are weaker than today's: then the password, when it is there, is hashed
// anew. What is no hash needs none.
func (h *Hasher) NeedsRehash(stored string) bool {
	v, err := parse(stored)
	return err == nil && v.weaker(h.params)
}

// enter waits for a place.
func (h *Hasher) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case h.places <- struct{}{}:
		return nil
	default:
	}
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return ErrBusy
	}
	late := time.NewTimer(h.maxWait)
	defer late.Stop()
	select {
	case h.places <- struct{}{}:
		return nil
	case <-late.C:
		return ErrBusy
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Hasher) leave() { <-h.places }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
