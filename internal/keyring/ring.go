package keyring

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

const (
	// CacheTime is how long whoever asks for the key set may keep it: the max-age of /oauth/keys.
	CacheTime = 5 * time.Minute
	// Lead is how long a new key is published before it signs: twice CacheTime, so that who fetched the set a moment before, and keeps it for
	// longer than it should, has the key too.
	Lead = 2 * CacheTime
	// Overlap is how long a key stays published after another has taken its place. Nothing that it signed is good for longer, and an ID token
	// is a hint of who signs out for a day.
	Overlap = 24 * time.Hour
)

const (
	rereadEvery  = time.Minute     // what was announced and missed is here by then
	rereadAgain  = 2 * time.Second // after a failure
	storeTimeout = 10 * time.Second
)

// ErrNoKey says that there is no key of an alg.
var ErrNoKey = errors.New("no such key")

// Ring holds the keys.
type Ring struct {
	store   *store.Store // nil: InMemory
	now     func() time.Time
	changed chan struct{}
	making  chan struct{} // holds a value while the first key of an alg is made here
	reading sync.Mutex    // held while rows are read

	mu   sync.Mutex
	seal *seal.Keys // nil: keys are in memory alone
	held map[string]*held

	view atomic.Pointer[view]
}

// LogValue keeps the keys out of logs.
func (r *Ring) LogValue() slog.Value { return slog.StringValue("key ring") }

// String and GoString keep them out of errors and of what tests print.
func (r *Ring) String() string   { return "key ring" }
func (r *Ring) GoString() string { return "key ring" }

// Open returns the keys of a database, and makes the first ones where there are none. Keys of the key file that are not those of the database are
// refused; what was sealed with an old one is sealed anew. Without a key file (keys is nil) nothing is kept: the keys are new each time, until Use
// gives one. now is the clock.
func Open(ctx context.Context, st *store.Store, keys *seal.Keys, now func() time.Time) (*Ring, error) {
	r := newRing(st, now)
	if keys == nil {
		return r, r.improvise()
	}
	return r, r.Use(ctx, keys)
}

// InMemory returns keys that live as long as the process, for one gateway without a key file. now is the clock.
func InMemory(now func() time.Time) (*Ring, error) {
	r := newRing(nil, now)
	return r, r.improvise()
}

func newRing(st *store.Store, now func() time.Time) *Ring {
	r := &Ring{store: st, now: now, changed: make(chan struct{}, 1), making: make(chan struct{}, 1), held: map[string]*held{}}
	r.show()
	return r
}

// improvise makes keys that are kept nowhere.
func (r *Ring) improvise() error {
	for _, alg := range []string{ES256, Cookie, Pairwise} {
		if err := r.first(context.Background(), alg); err != nil { // waits for nothing
			return err
		}
	}
	return nil
}

// Use gives the ring the keys of a key file that was changed. When they are not those of the database, or a key does not open with them, that
// is the error, and the ring is as before.
func (r *Ring) Use(ctx context.Context, keys *seal.Keys) error {
	if r.store == nil || keys == nil {
		return nil // a database that needs a key file is refused without one by who reads it: seal.VerifyKeys
	}
	if err := seal.VerifyKeys(ctx, keys, r.store); err != nil {
		return fmt.Errorf("keys of seal_keys: %w", err)
	}
	if err := r.read(ctx, keys); err != nil {
		return fmt.Errorf("keys of seal_keys: %w", err)
	}
	for _, alg := range []string{ES256, Cookie, Pairwise} {
		if err := r.first(ctx, alg); err != nil {
			return err
		}
	}
	return nil
}

// Refresh reads the keys again. An error says what could not be read or opened. What could be is in force, above all that a key is withdrawn.
func (r *Ring) Refresh(ctx context.Context) error { return r.read(ctx, nil) }

// read reads the rows, with the keys of a new key file, all of them or nothing; or again, with those that the ring has (keys is nil), as many as
// open.
func (r *Ring) read(ctx context.Context, keys *seal.Keys) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	first := keys != nil
	if !first {
		if keys = r.sealing(); keys == nil {
			return nil
		}
	}
	rows, err := r.store.Keys(ctx)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(row store.Key) bool { // nobody needs what has expired, so it need not open
		return !row.Expires.IsZero() && !r.now().Before(row.Expires)
	})
	if !first {
		next, err := r.openNew(rows, keys)
		r.install(next, keys)
		return err
	}
	next, err := openAll(rows, keys)
	if err != nil {
		return err
	}
	r.install(next, keys)
	return r.reseal(ctx, rows, keys)
}

func (r *Ring) sealing() *seal.Keys {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seal
}

// install puts keys in the place of those that the ring has.
func (r *Ring) install(next map[string]*held, keys *seal.Keys) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, h := range r.held {
		if h.volatile { // kept nowhere: what it made is good for a while, and it makes nothing new
			next[id] = h.over(r.now())
		}
	}
	r.seal, r.held = keys, next
	r.show()
}

// openAll opens rows, or says what does not open.
func openAll(rows []store.Key, keys *seal.Keys) (map[string]*held, error) {
	opened := map[string]*held{}
	for _, row := range rows {
		h, err := open(row, keys)
		if err != nil {
			return nil, err
		}
		opened[h.id] = h
	}
	return opened, nil
}

// openNew opens the rows of keys that the ring does not have yet. Those that it has need not open: another gateway, with a newer key file, may
// have sealed them anew.
func (r *Ring) openNew(rows []store.Key, keys *seal.Keys) (map[string]*held, error) {
	r.mu.Lock()
	known := maps.Clone(r.held)
	r.mu.Unlock()
	opened := map[string]*held{}
	var errs []error
	for _, row := range rows {
		if h, ok := known[row.ID]; ok && !h.volatile && h.alg == row.Alg {
			opened[h.id] = h.at(row)
		} else if h, err := open(row, keys); err == nil {
			opened[h.id] = h
		} else {
			errs = append(errs, err)
		}
	}
	return opened, errors.Join(errs...)
}

// reseal seals anew what an old key of the key file sealed.
func (r *Ring) reseal(ctx context.Context, rows []store.Key, keys *seal.Keys) error {
	for _, row := range rows {
		if !keys.Stale(row.Sealed) {
			continue
		}
		secret, err := keys.Open(purpose, owner(row.Alg, row.ID), row.Sealed)
		if err != nil {
			return err // unreachable: it has just been opened
		}
		if err := r.store.ResealKey(ctx, row.ID, row.Sealed, keys.Seal(purpose, owner(row.Alg, row.ID), secret)); err != nil {
			return err
		}
	}
	return nil
}

// first makes the first key of an alg, unless there is one by now, here or elsewhere.
func (r *Ring) first(ctx context.Context, alg string) error {
	select {
	case r.making <- struct{}{}:
		defer func() { <-r.making }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.has(alg) {
		return nil
	}
	// Whoever asked may go away; the work is not for them alone.
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer done()
	if err := r.Refresh(ctx); err != nil || r.has(alg) {
		return err
	}
	h, err := generate(alg, r.now())
	if err != nil {
		return err
	}
	keys := r.sealing()
	if keys == nil {
		h.volatile = true
		r.mu.Lock()
		defer r.mu.Unlock()
		r.held[h.id] = h
		r.show()
		return nil
	}
	row, err := h.row(keys)
	if err != nil {
		return err
	}
	if err := r.store.AddFirstKey(ctx, row); err != nil {
		return err
	}
	return r.Refresh(ctx) // with that of another gateway, if it was first
}

// has says whether there is a key of an alg that nothing has taken the place of.
func (r *Ring) has(alg string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range r.held {
		if h.alg == alg && h.expires.IsZero() {
			return true
		}
	}
	return false
}

// show makes the view of now. r.mu is held.
func (r *Ring) show() *view {
	v := look(slices.Collect(maps.Values(r.held)), r.now(), r.view.Load())
	r.view.Store(v)
	return v
}

// current is the view of now.
func (r *Ring) current() *view {
	v := r.view.Load()
	if v.until.IsZero() || r.now().Before(v.until) {
		return v
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.show()
}

// Signing returns the key that signs now with ES256 or RS256. That of RS256 is made when it is first asked for, which takes a second or some; the
// other is always there. ErrNoKey: no keys sign with alg, or all of them are withdrawn.
func (r *Ring) Signing(ctx context.Context, alg string) (Key, error) {
	if k, ok := r.current().signing[alg]; ok {
		return k, nil
	}
	if !signs(alg) {
		return Key{}, fmt.Errorf("sign with %q: %w", alg, ErrNoKey)
	}
	if err := r.first(ctx, alg); err != nil {
		return Key{}, fmt.Errorf("sign with %s: %w", alg, err)
	}
	k, ok := r.current().signing[alg]
	if !ok {
		return Key{}, fmt.Errorf("sign with %s: %w", alg, ErrNoKey)
	}
	return k, nil
}

// Public returns the keys whose signatures count: of each alg the current one first, then the next and those that may have signed what is still
// looked at. The caller changes nothing of it.
func (r *Ring) Public() []jose.JSONWebKey { return r.current().public }

// JWKS returns the JWK set (RFC 7517) of Public. The caller does not change it.
func (r *Ring) JWKS() []byte { return r.current().jwks }

// Cookies returns the keys of the cookies of logins in progress. It is the same pointer for as long as the keys are the same.
func (r *Ring) Cookies() *CookieKeys { return r.current().cookies }

// Pairwise returns the subject by which the clients of a sector know a person (OpenID Connect Core 1.0, section 8.1): the same for ever, from which
// nobody learns ours or that of another sector. It is base64url and has no colon.
func (r *Ring) Pairwise(sector, subject string) string {
	h := hmac.New(sha256.New, r.current().pairwise)
	for _, text := range []string{sector, subject} { // each with its length, so that no two pairs give the same bytes
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(text))))
		h.Write([]byte(text))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Changed tells Run that keys may have changed.
func (r *Ring) Changed() {
	select {
	case r.changed <- struct{}{}:
	default: // it has been told, and has not looked yet
	}
}

// Run reads the keys each minute, and when it is told to, until ctx ends.
func (r *Ring) Run(ctx context.Context, log *slog.Logger) {
	wait := time.NewTimer(rereadEvery)
	defer wait.Stop()
	failing := "" // so that it is said once
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		case <-r.changed:
		}
		within, done := context.WithTimeout(ctx, storeTimeout)
		err := r.Refresh(within)
		done()
		if err == nil {
			failing = ""
			wait.Reset(rereadEvery)
			continue
		}
		if failing != err.Error() && ctx.Err() == nil {
			failing = err.Error()
			log.Error("keys not read again; those that are known go on", "error", err)
		}
		wait.Reset(rereadAgain)
	}
}
