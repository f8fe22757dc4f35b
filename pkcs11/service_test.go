package pkcs11_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"promess/authgw/pkcs11"
)

func TestServiceRestart(t *testing.T) {
	card := newCard(t, newRSA(t))
	d := inReader(t, card)
	m := start(t, opensc(t))
	token := oneToken(t, m)
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	d.Stop()
	// The module's own connection is gone. What it answers is its affair; that it is an answer, and soon, is ours.
	if err := sign(token); err == nil || errors.Is(err, pkcs11.ErrPINIncorrect) || errors.Is(err, pkcs11.ErrStalled) {
		t.Errorf("Sign without a service = %v, want an error that blames neither the PIN nor a module that hangs", err)
	}
	if err := m.Close(); err != nil && !errors.Is(err, pkcs11.ErrNoService) {
		t.Errorf("Close without a service = %v, want nil or ErrNoService", err)
	}
	card.Close()
	d.Restart(t)
	usableAgain(t, d, card)
}

func TestServiceThatHangs(t *testing.T) {
	d := inReader(t, newCard(t, newECDSA(t)))
	m := start(t, opensc(t))
	token := oneToken(t, m)
	if err := token.Login(deadline(t), "1234"); err != nil {
		t.Fatal(err)
	}
	d.Signal(t, syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := pkcs11.Readers(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Readers = %v, want the end of its context", err)
	}
	if err := pkcs11.Reset(ctx, d.Readers[0]); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Reset = %v, want the end of its context", err)
	}
	began := time.Now()
	if err := m.Close(); err == nil {
		t.Error("Close = nil, though the card could not be reset and is open to others")
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("Close took %v", took)
	}
	d.Signal(t, syscall.SIGCONT)
	if readers, err := pkcs11.Readers(deadline(t)); err != nil || len(readers) != 2 {
		t.Errorf("Readers of the service that goes on = %v, %v; want 2", readers, err)
	}
}
