package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ebfe/scard"
)

// Reader is a card reader, as PC/SC sees it at one moment.
type Reader struct {
	Name    string
	Present bool   // a card is in it
	ATR     []byte // of the card

	state scard.StateFlag
}

// Readers lists the readers of this workstation; none is no error. It fails with ErrNoService when PC/SC does not run.
func Readers(ctx context.Context) ([]Reader, error) {
	return inContext(ctx, func(c *pcsc) ([]Reader, error) { return c.readers() })
}

// Reset resets the card in reader, which forgets the PIN that it was given. An empty reader and an unknown one are no error: there
// is nothing left to reset.
func Reset(ctx context.Context, reader string) error {
	_, err := inContext(ctx, func(c *pcsc) (struct{}, error) { return struct{}{}, c.reset(ctx, reader) })
	if err != nil {
		return fmt.Errorf("reset the card in %q: %w", reader, err)
	}
	return nil
}

// pcsc is one context of PC/SC. One goroutine uses it: a second call on a context that waits blocks every PC/SC call of the
// process (pcsc-lite takes its global lock, then that of the context).
type pcsc struct {
	ctx *scard.Context
}

func openPCSC() (*pcsc, error) {
	c, err := scard.EstablishContext()
	if err != nil {
		return nil, pcscError("reach the smart card service", err)
	}
	return &pcsc{ctx: c}, nil
}

func (c *pcsc) release() { _ = c.ctx.Release() } // fails when the service is gone, and the context with it

// inContext runs f in a context of its own and waits for it no longer than ctx. An f that hangs keeps its goroutine and its
// context, and nothing else, for as long as the service hangs.
func inContext[T any](ctx context.Context, f func(*pcsc) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		c, err := openPCSC()
		if err != nil {
			done <- result{err: err}
			return
		}
		defer c.release()
		value, err := f(c)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

func (c *pcsc) readers() ([]Reader, error) {
	names, err := c.ctx.ListReaders()
	switch {
	case errors.Is(err, scard.ErrNoReadersAvailable):
		return nil, nil
	case err != nil:
		return nil, pcscError("list the readers", err)
	case len(names) == 0:
		return nil, nil
	}
	states := make([]scard.ReaderState, len(names))
	for i, name := range names {
		states[i].Reader = name
	}
	err = c.statusChange(states, 0)
	if err != nil && !errors.Is(err, scard.ErrTimeout) {
		return nil, pcscError("ask for the readers' state", err)
	}
	readers := make([]Reader, len(states))
	for i, s := range states {
		readers[i] = Reader{Name: s.Reader, Present: present(s.EventState), state: s.EventState}
		if readers[i].Present { // after a removal the ATR is that of the card before
			readers[i].ATR = append([]byte(nil), s.Atr...)
		}
	}
	return readers, nil
}

// statusChange is SCardGetStatusChange. github.com/ebfe/scard keeps from the garbage collector only the last copy that it made of a reader's
// name: of two calls about one reader, PC/SC reads the name of the first from memory that is somebody else's by then, knows no such reader, and
// the card counts as removed. So each context has names of its own: what follows the NUL, PC/SC does not see. On Windows, where names are no C
// strings and no copy is kept, nothing can be done here.
func (c *pcsc) statusChange(states []scard.ReaderState, timeout time.Duration) error {
	own := slices.Clone(states)
	if runtime.GOOS != "windows" {
		for i := range own {
			own[i].Reader += fmt.Sprintf("\x00%p", c) // and not a count, so that the copies that are kept do not grow in number for ever
		}
	}
	err := c.ctx.GetStatusChange(own, timeout)
	for i := range own {
		states[i].EventState, states[i].Atr = own[i].EventState, own[i].Atr
	}
	return err
}

func (c *pcsc) reset(ctx context.Context, reader string) error {
	for {
		card, err := c.ctx.Connect(reader, scard.ShareShared, scard.ProtocolAny)
		switch {
		case err == nil:
			return pcscError("disconnect", card.Disconnect(scard.ResetCard))
		case errors.Is(err, scard.ErrNoSmartcard), errors.Is(err, scard.ErrRemovedCard), errors.Is(err, scard.ErrUnknownReader),
			errors.Is(err, scard.ErrReaderUnavailable), errors.Is(err, scard.ErrNoReadersAvailable):
			return nil
		case !errors.Is(err, scard.ErrSharingViolation) || ctx.Err() != nil:
			return pcscError("connect", err)
		}
		// Another program holds the card for itself; that passes.
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return pcscError("connect", err)
		}
	}
}

// slice bounds one wait in PC/SC: SCardCancel has no effect when it comes just before the wait.
const slice = time.Second

// wait returns when one of states changes, after a slice, or soon after the end of ctx; the caller looks which.
func (c *pcsc) wait(ctx context.Context, states []scard.ReaderState) error {
	done := make(chan struct{})
	var cancelling sync.WaitGroup
	cancelling.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer cancelling.Done()
		for {
			_ = c.ctx.Cancel() // the one call that is allowed beside a wait
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	err := c.statusChange(states, slice)
	close(done)
	if !stop() {
		cancelling.Wait() // so that nobody cancels a context that was released
	}
	if errors.Is(err, scard.ErrTimeout) || errors.Is(err, scard.ErrCancelled) {
		return nil
	}
	return pcscError("wait for a card or a reader", err)
}

// present reports whether there is a card. A card that does not answer is there, too.
func present(s scard.StateFlag) bool { return s&scard.StatePresent != 0 }

// events is the reader's count of cards that came and went, in the high half of its state: two cards in a row differ by it.
func events(s scard.StateFlag) scard.StateFlag { return s >> 16 }

// pcscError wraps err, with ErrNoService when it says that the service is not there, or is there no more.
func pcscError(doing string, err error) error {
	if err == nil {
		return nil
	}
	for _, gone := range []scard.Error{scard.ErrNoService, scard.ErrServiceStopped, scard.ErrCommError, scard.ErrInvalidHandle,
		scard.ErrShutdown, scard.ErrNoAccess,
		scard.ErrSecurityViolation} { // of pcsc-lite: the daemon hung up before it knew us, or polkit does not let us in
		if errors.Is(err, gone) {
			return fmt.Errorf("%s: %w: %w", doing, ErrNoService, err)
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
