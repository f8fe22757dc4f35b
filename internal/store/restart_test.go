package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// history is what callers were told, while the server was there and while it was not.
type history struct {
	mu     sync.Mutex
	opened map[string]token.Hash // sessions that were said to be open
	ended  map[string]token.Hash // and those that were said to be over
	failed []error
}

func (h *history) note(id string, tok token.Hash, err error, over bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.failed = append(h.failed, err)
	case over:
		h.ended[id] = tok
	default:
		h.opened[id] = tok
	}
}

func (h *history) counts() (opened, ended, failed int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.opened), len(h.ended), len(h.failed)
}

// Three gateways open sessions and end some while the server is killed and started again. What was said to be done is done, and what
// could not be done was said to be so: no login is lost, no session comes back.
func TestNothingIsLostWhenTheServerIsKilled(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{Durable: true})
	name := server.Database(t)
	stores := []*store.Store{open(t, name), open(t, name), open(t, name)}
	a := account(t, stores[0])
	h := &history{opened: map[string]token.Hash{}, ended: map[string]token.Hash{}}

	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	var work sync.WaitGroup
	for i := range 12 {
		work.Go(func() { // ends with ctx
			for n := 0; ctx.Err() == nil; n++ {
				liveOnce(ctx, stores[i%len(stores)], h, a, fmt.Sprintf("s-%d-%d", i, n), n%3 == 0)
			}
		})
	}
	until(t, "sessions before the kill", func() bool { o, e, _ := h.counts(); return o > 200 && e > 50 })
	server.Kill(t)
	_, _, failed := h.counts()
	until(t, "failures without the server", func() bool { _, _, f := h.counts(); return f > failed+20 })
	server.Restart(t)
	opened, ended, _ := h.counts()
	until(t, "sessions after the restart", func() bool { o, e, _ := h.counts(); return o > opened+100 && e > ended+20 })
	stop()
	work.Wait()

	for id, tok := range h.opened {
		if got, err := stores[0].SessionByToken(t.Context(), "auth.test", tok); err != nil || got.ID != id {
			t.Errorf("session %s, which was opened: %v", id, err)
		}
	}
	for id, tok := range h.ended {
		_, err := stores[1].SessionByToken(t.Context(), "auth.test", tok)
		check(t, "session "+id+", which was ended", err, store.ErrNotFound)
	}
	for _, err := range h.failed {
		if errors.Is(err, store.ErrNotFound) { // B10: would be taken for a decision
			t.Errorf("a failure of the server was told as an answer: %v", err)
		}
	}
}

// liveOnce opens a session and may end it, and notes what it was told.
func liveOnce(ctx context.Context, s *store.Store, h *history, a store.Account, id string, end bool) {
	tok, _ := token.Of(token.Session, token.New())
	now := time.Now()
	v := store.Session{ID: id, Account: a, CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(time.Hour)}
	err := s.CreateSession(ctx, v, "auth.test", tok, token.Hash{})
	if err != nil || !end {
		h.note(id, tok, err, false)
		return
	}
	if err = s.EndSession(ctx, id, "logout", now); err != nil {
		// It may be over or not: the caller, who was told that it failed, asks again.
		h.note(id, tok, err, false)
		return
	}
	h.note(id, tok, nil, true)
}

// until polls for a condition, with a bound.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !holds() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: not after a minute", what)
		}
	}
}
