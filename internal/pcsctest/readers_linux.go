package pcsctest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ebfe/scard"
)

// Bounds, for machines that are busy: the start of the daemon takes 50 ms otherwise, its end 10 ms, and a card is seen within 400 ms.
const (
	startTime  = 20 * time.Second
	changeTime = 20 * time.Second
	stopTime   = 5 * time.Second
)

// awaitReaders waits until the daemon lists its readers.
func (d *Daemon) awaitReaders() error {
	deadline := time.Now().Add(startTime)
	var names []string
	var err error
	for time.Now().Before(deadline) {
		if names, err = readers(); err == nil && len(names) >= 2 {
			break
		}
		select {
		case <-d.ended:
			return fmt.Errorf("pcscd ended: %s", d.output)
		case <-time.After(10 * time.Millisecond): // there is no event for a daemon that starts
		}
	}
	n := 0
	for _, name := range names {
		if strings.HasPrefix(name, "Virtual PCD") && n < 2 {
			d.Readers[n] = name
			n++
		}
	}
	if n < 2 {
		return fmt.Errorf("pcscd shows the readers %q (%v), not two virtual ones", names, err)
	}
	return nil
}

func readers() ([]string, error) {
	ctx, err := scard.EstablishContext()
	if err != nil {
		return nil, err
	}
	defer func() { _ = ctx.Release() }()
	return ctx.ListReaders()
}

// Card is what goes into a reader: *vcard.Card.
type Card interface {
	Insert(addr string) error
	Close()
}

// Insert puts the card into the reader (0 or 1) and waits until PC/SC has seen it. The card leaves at the end of the test.
func (d *Daemon) Insert(tb testing.TB, reader int, card Card) {
	tb.Helper()
	d.Await(tb, reader, false) // a card that comes before the last one was seen to go is never seen to come
	if err := card.Insert(d.Addrs[reader]); err != nil {
		tb.Fatalf("pcsctest: %v", err)
	}
	tb.Cleanup(card.Close)
	d.Await(tb, reader, true)
}

// Await waits until PC/SC sees a card in the reader (0 or 1), or sees none.
func (d *Daemon) Await(tb testing.TB, reader int, present bool) {
	tb.Helper()
	if err := await(d.Readers[reader], present); err != nil {
		tb.Fatalf("pcsctest: wait for card present=%v: %v", present, err)
	}
}

func await(reader string, present bool) error {
	ctx, err := scard.EstablishContext()
	if err != nil {
		return err
	}
	defer func() { _ = ctx.Release() }()
	states := []scard.ReaderState{{Reader: reader}}
	deadline := time.Now().Add(changeTime)
	for time.Now().Before(deadline) {
		if err := ctx.GetStatusChange(states, time.Second); err != nil && !errors.Is(err, scard.ErrTimeout) {
			return err
		}
		// A card that is still being powered is present and not yet usable: then it has no ATR.
		is := states[0].EventState&scard.StatePresent != 0
		if is == present && (!present || len(states[0].Atr) > 0) {
			return nil
		}
		states[0].CurrentState = states[0].EventState
	}
	return errors.New("not seen in time")
}
