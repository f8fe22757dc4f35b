package pkcs11

import (
	"context"
	"fmt"
	"strings"
	"sync"
)

// Tokens lists the tokens that are present and hold a certificate that Config.Accept takes, each with those certificates. It ends
// every login of this Module. Without any such token it fails with ErrNoReader, ErrNoToken, ErrNoCertificate or ErrNoService.
func (m *Module) Tokens(ctx context.Context) ([]*Token, error) {
	a, seats, err := m.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the tokens: %w", err)
	}
	for _, why := range a.Unusable {
		m.config.Logger.Debug("token not readable", "reason", why)
	}
	var tokens []*Token
	for i := range a.Tokens {
		t := newToken(m, &a.Tokens[i], m.config.Accept)
		if t == nil {
			continue
		}
		if s := seats.find(t.Reader); s != nil {
			t.seat, t.Reader = s, s.reader
		}
		tokens = append(tokens, t)
	}
	if len(tokens) == 0 {
		return nil, fmt.Errorf("list the tokens: %w", whyNone(ctx, a))
	}
	return tokens, nil
}

// list asks the child for the tokens, between two looks at the readers: when a card came or went meanwhile, the list may mix two
// cards, and is made again.
func (m *Module) list(ctx context.Context) (answer, *watched, error) {
	var err error
	for range 3 {
		seats := watchSeats(ctx, m.config.Logger)
		m.setWatched(seats)
		var a answer
		if a, err = m.call(ctx, m.config.CallTimeout, seats.any(), request{Op: opList}); err != nil {
			return answer{}, nil, err
		}
		if !seats.changed(ctx) {
			return a, seats, nil
		}
	}
	return answer{}, nil, fmt.Errorf("%w: cards come and go", ErrTokenRemoved)
}

// whyNone tells why there is no token to use: what stands in the way, from the card outwards.
func whyNone(ctx context.Context, a answer) error {
	if len(a.Tokens) > 0 {
		return ErrNoCertificate
	}
	if len(a.Unusable) > 0 {
		return fmt.Errorf("%w that the module can read: %s", ErrNoCertificate, strings.Join(a.Unusable, "; "))
	}
	readers, err := Readers(ctx)
	switch {
	case err != nil:
		return err
	case len(readers) == 0 && a.Slots == 0:
		return ErrNoReader
	}
	for _, r := range readers {
		if r.Present {
			return fmt.Errorf("%w that the module can read: it does not know the card in %q", ErrNoCertificate, r.Name)
		}
	}
	return ErrNoToken
}

// setWatched replaces what is watched, and ends the watches before.
func (m *Module) setWatched(w *watched) {
	m.mu.Lock()
	old := m.watched
	m.watched = w
	m.mu.Unlock()
	if old != nil {
		old.stop()
	}
}

// removed is closed once the token's card is gone; nil, which never comes, when nobody watches it.
func (t *Token) removed() <-chan struct{} {
	if t == nil || t.seat == nil {
		return nil
	}
	return t.seat.removed
}

// watched are the cards in their readers, each watched by a goroutine of its own until stop.
type watched struct {
	seats  []*seat
	before []Reader
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// any is a token that stands for the sole card there is, so that its removal ends a listing. With several cards the
// removal of one is no reason to end it: the others' tokens are wanted, and the call has its time.
func (w *watched) any() *Token {
	if len(w.seats) != 1 {
		return nil
	}
	return &Token{seat: w.seats[0]}
}
