package pkcs11_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/pcsctest"
	"promess/authgw/internal/vcard"
	"promess/authgw/pkcs11"
)

// quickly is how soon a pulled card must be known. The daemon looks at its readers every 400 ms; the rest is for busy machines, and
// still far from the 15 s after which a call counts as stalled.
const quickly = 8 * time.Second

func TestCardPulledDuringACall(t *testing.T) {
	tests := []struct {
		name string
		at   byte
		call func(testing.TB, *pkcs11.Token) error
	}{
		{"while the PIN is verified", vcard.InsVerify, func(t testing.TB, token *pkcs11.Token) error {
			return token.Login(deadline(t), "1234")
		}},
		{"while it signs", vcard.InsGeneralAuthenticate, func(t testing.TB, token *pkcs11.Token) error {
			if err := token.Login(deadline(t), "1234"); err != nil {
				t.Fatalf("Login: %v", err)
			}
			return sign(token)
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := pcsctest.Start(t)
			armed := make(chan struct{})
			var card *vcard.Card
			card = newCard(t, newRSA(t), func(c *vcard.Config) {
				c.OnAPDU = func(ins byte) {
					select {
					case <-armed:
						if ins == test.at {
							card.Remove()
						}
					default:
					}
				}
			})
			d.Insert(t, 0, card)
			m := start(t, opensc(t))
			token := oneToken(t, m)
			close(armed)
			began := time.Now()
			if err := test.call(t, token); !errors.Is(err, pkcs11.ErrTokenRemoved) {
				t.Errorf("the call = %v, want ErrTokenRemoved", err)
			}
			if took := time.Since(began); took > quickly {
				t.Errorf("it took %v, want at most %v", took, quickly)
			}
			if err := m.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			if card.TriesLeft() != 3 {
				t.Errorf("%d tries left, want 3", card.TriesLeft())
			}
			usableAgain(t, d, card)
		})
	}
}

// usableAgain checks that the next use of the card works.
func usableAgain(t *testing.T, d *pcsctest.Daemon, card *vcard.Card) {
	t.Helper()
	card.Close()
	fresh := newCard(t, newECDSA(t))
	d.Insert(t, 0, fresh)
	token := oneToken(t, start(t, opensc(t)))
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatalf("the next Login: %v", err)
	}
	if err := sign(token); err != nil {
		t.Fatalf("the next Sign: %v", err)
	}
}

func TestCardPulledBeforeThePIN(t *testing.T) {
	card := newCard(t, newECDSA(t))
	d := inReader(t, card)
	token := oneToken(t, start(t, opensc(t)))
	card.Remove()
	// At once: PC/SC has not seen it yet, and OpenSC would hang.
	began := time.Now()
	if err := token.Login(deadline(t), "1234"); !errors.Is(err, pkcs11.ErrTokenRemoved) {
		t.Errorf("Login = %v, want ErrTokenRemoved", err)
	}
	if took := time.Since(began); took > quickly {
		t.Errorf("it took %v, want at most %v", took, quickly)
	}
	d.Await(t, 0, false)
	if _, err := start(t, opensc(t)).Tokens(deadline(t)); !errors.Is(err, pkcs11.ErrNoToken) {
		t.Errorf("Tokens = %v, want ErrNoToken", err)
	}
}

func TestSwappedCardGetsNoPIN(t *testing.T) {
	first, second := newCard(t, newECDSA(t)), newCard(t, newECDSA(t), func(c *vcard.Config) { c.PIN = "5678" })
	d := inReader(t, first)
	token := oneToken(t, start(t, opensc(t)))
	first.Close()
	d.Insert(t, 0, second)
	if err := token.Login(deadline(t), "1234"); !errors.Is(err, pkcs11.ErrTokenRemoved) {
		t.Errorf("Login = %v, want ErrTokenRemoved", err)
	}
	if got := second.TriesLeft(); got != 3 {
		t.Errorf("the other card has %d tries left, want 3: it was given the first one's PIN", got)
	}
	// The watch of the token sees the swap, too, although a card is present.
	if err := token.WaitRemoved(deadline(t)); err != nil {
		t.Errorf("WaitRemoved = %v, want nil", err)
	}
}

func TestWaitRemoved(t *testing.T) {
	card := newCard(t, newECDSA(t))
	d := inReader(t, card)
	m := start(t, opensc(t))
	token := oneToken(t, m)
	// A login and its reset are no removal.
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	if err := token.WaitRemoved(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitRemoved with the card in its reader = %v, want the end of its context", err)
	}
	got := make(chan error, 2)
	go func() { got <- token.WaitRemoved(deadline(t)) }()
	go func() { got <- pkcs11.WaitRemoved(deadline(t), d.Readers[0]) }()
	time.AfterFunc(100*time.Millisecond, card.Remove) // whether before or after the waits began
	began := time.Now()
	for range 2 {
		if err := <-got; err != nil {
			t.Errorf("WaitRemoved = %v, want nil", err)
		}
	}
	if took := time.Since(began); took > quickly {
		t.Errorf("it took %v, want at most %v", took, quickly)
	}
}

func TestCloseDuringACallOfAHungCard(t *testing.T) {
	release := make(chan struct{})
	reached := make(chan struct{}, 1)
	card := newCard(t, newECDSA(t), func(c *vcard.Config) {
		c.OnAPDU = func(ins byte) {
			if ins == vcard.InsGeneralAuthenticate {
				reached <- struct{}{}
				<-release
			}
		}
	})
	inReader(t, card)
	m := start(t, opensc(t), func(c *pkcs11.Config) { c.NoReset = true }) // a card that hangs cannot be reset
	token := oneToken(t, m)
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	signed := make(chan error, 1)
	go func() { signed <- sign(token) }()
	<-reached
	if err := m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := <-signed; !errors.Is(err, pkcs11.ErrClosed) {
		t.Errorf("Sign = %v, want ErrClosed", err)
	}
	close(release)
	if err := token.Login(deadline(t), "1234"); !errors.Is(err, pkcs11.ErrClosed) {
		t.Errorf("Login after Close = %v, want ErrClosed", err)
	}
}

// Nobody who waits for the removal of a card is told of one because others ask for its reader: see pcsc.statusChange. A session would end with it.
func TestCardStaysThoughOthersAskForItsReader(t *testing.T) {
	d := pcsctest.Start(t)
	d.Insert(t, 0, newCard(t, newECDSA(t)))
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	waited := make(chan error, 1)
	go func() { waited <- pkcs11.WaitRemoved(ctx, d.Readers[0]) }() // ends with ctx
	for ctx.Err() == nil {
		if _, err := pkcs11.Readers(ctx); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
		runtime.GC()
		for range 2000 { // takes what was collected
			_ = strings.Clone(d.Readers[1] + "\x00")
		}
		// What happens at a reader makes all who wait look at theirs, by its name.
		if err := pkcs11.Reset(ctx, d.Readers[0]); err != nil && ctx.Err() == nil {
			t.Fatal(err)
		}
	}
	if err := <-waited; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("WaitRemoved = %v while the card is there, want it to wait", err)
	}
}
