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

// After a wrong password its place rests, restFor times as long as it worked, and maxRest at most. So a flood of wrong ones has an eighth of
// a processor for each place; who is signed in would notice if it had the whole of one. The right ones of a morning rest nobody.
const (
	restFor = 7
	maxRest = time.Second
)

// Hasher hashes passwords and compares them, a few at once.
//
// What else this process does must not suffer. A Hasher has fewer hashes at once than there are processors, rests after wrong ones, and has
// them computed by processes of their own (NewHasher's command): within this one, each would have its collector look through all sessions
// once more for the 19 MiB that a hash leaves behind, and nothing could tell the system that requests come first, since the library computes
// in goroutines that are bound to no thread.
type Hasher struct {
	params  Params
	nobody  hashed // what is compared with where there is no account
	places  chan place
	waiting chan struct{}
	maxWait time.Duration
}

// NewHasher returns a Hasher that makes hashes with p. concurrent is how many are computed at once; zero is half the processors, at
// least one. command, with its arguments, is a program that calls Serve on its standard input and output; without one, hashes are computed
// in this process.
func NewHasher(p Params, concurrent int, command ...string) (*Hasher, error) {
	if err := p.Check(); err != nil {
		return nil, fmt.Errorf("password hashes: %w", err)
	}
	if concurrent <= 0 {
		concurrent = max(1, runtime.GOMAXPROCS(0)/2)
	}
	h := &Hasher{params: p, places: make(chan place, concurrent), waiting: make(chan struct{}, queue), maxWait: maxWait}
	for range concurrent {
		if len(command) > 0 {
			h.places <- &apart{argv: command}
		} else {
			h.places <- here{}
		}
	}
	h.nobody = hashed{Params: p, salt: random(newSalt), sum: random(newSum)} // of no password that anybody knows
	return h, nil
}

// Busy says whether Hash and Verify would return ErrBusy now, so that callers need not do what comes before.
func (h *Hasher) Busy() bool { return len(h.waiting) == cap(h.waiting) }

// Hash returns the hash of a password, to be kept. A new password is a Policy's to judge first. It returns ErrBusy, or ctx's error.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	prepared, ok := prepare(password)
	if !ok {
		return "", errors.New("hash password: it is empty, too long or no text")
	}
	at, err := h.enter(ctx)
	if err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
	defer h.leave(at)
	v := hashed{Params: h.params, salt: random(newSalt)}
	if v.sum, err = at.compute(job{v.Params, v.salt, prepared, newSum}); err != nil {
		return "", fmt.Errorf("hash password: %w", err)
	}
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
	at, err := h.enter(ctx)
	if err != nil {
		return false, fmt.Errorf("verify password: %w", err)
	}
	began := time.Now()
	sum, err := at.compute(job{against.Params, against.salt, prepared, len(against.sum)})
	if err == nil {
		err = h.spend(at, against.Params)
	}
	if err != nil {
		h.leave(at)
		return false, fmt.Errorf("verify password: %w", err)
	}
	same := subtle.ConstantTimeCompare(sum, against.sum) == 1
	if right := same && known && text; !right {
		time.AfterFunc(min(restFor*time.Since(began), maxRest), func() { h.leave(at) })
		return false, nil
	}
	h.leave(at)
	return true, nil
}

// spend takes the time by which a hash with p is cheaper than one of today's, or an account that has not signed in since the parameters
// rose would answer sooner than one that is not there.
func (h *Hasher) spend(at place, p Params) error {
	if p.work() >= h.params.work() {
		return nil
	}
	rest := job{h.params, h.nobody.salt, "", newSum}
	rest.Memory = max((h.params.work()-p.work())/h.params.Time, 8*uint32(h.params.Threads))
	_, err := at.compute(rest)
	return err
}

// NeedsRehash says whether a hash was made with parameters that are weaker than today's: then the password, when it is there, is hashed
// anew. What is no hash needs none.
func (h *Hasher) NeedsRehash(stored string) bool {
	v, err := parse(stored)
	return err == nil && v.weaker(h.params)
}

// enter waits for a place, which is to be left.
func (h *Hasher) enter(ctx context.Context) (place, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case at := <-h.places:
		return at, nil
	default:
	}
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return nil, ErrBusy
	}
	late := time.NewTimer(h.maxWait)
	defer late.Stop()
	select {
	case at := <-h.places:
		return at, nil
	case <-late.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (h *Hasher) leave(at place) { h.places <- at }

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
