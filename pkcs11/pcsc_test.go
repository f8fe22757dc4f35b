package pkcs11_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/pcsctest"
	"promess/authgw/pkcs11"
)

func TestReadersAndTheirCards(t *testing.T) {
	d := pcsctest.Start(t)
	m := start(t, opensc(t))
	if _, err := m.Tokens(deadline(t)); !errors.Is(err, pkcs11.ErrNoToken) {
		t.Errorf("Tokens with empty readers = %v, want ErrNoToken", err)
	}
	d.Insert(t, 1, newCard(t, newECDSA(t)))
	readers, err := pkcs11.Readers(deadline(t))
	if err != nil {
		t.Fatalf("Readers: %v", err)
	}
	present := map[string]bool{}
	for _, r := range readers {
		present[r.Name] = r.Present && len(r.ATR) > 0
	}
	want := map[string]bool{d.Readers[0]: false, d.Readers[1]: true}
	if diff := cmp.Diff(want, present); diff != "" {
		t.Errorf("readers and whether a card is in them (-want +got):\n%s", diff)
	}
}

func TestTwoReadersTwoCards(t *testing.T) {
	d := pcsctest.Start(t)
	who := [2]identity{newRSA(t), newECDSA(t)}
	cards := [2]interface{ Signatures() int }{}
	for i := range who {
		card := newCard(t, who[i])
		cards[i] = card
		d.Insert(t, i, card)
	}
	tokens, err := start(t, opensc(t)).Tokens(deadline(t))
	if err != nil || len(tokens) != 2 {
		t.Fatalf("Tokens = %d tokens, %v; want 2", len(tokens), err)
	}
	if tokens[0].Serial == tokens[1].Serial || tokens[0].Serial == "" {
		t.Errorf("serial numbers %q and %q, want two", tokens[0].Serial, tokens[1].Serial)
	}
	for i, token := range tokens {
		if token.Reader != d.Readers[i] || !token.Certificates[0].Cert.Equal(who[i].cert) {
			t.Errorf("token %d is in %q, want %q, with its own certificate", i, token.Reader, d.Readers[i])
		}
		if err := token.Login(deadline(t), "1234"); err != nil {
			t.Fatalf("Login: %v", err)
		}
		if err := sign(token); err != nil {
			t.Errorf("Sign: %v", err)
		}
		if got := cards[i].Signatures(); got != 1 {
			t.Errorf("card %d made %d signatures, want 1", i, got)
		}
	}
}

func TestNoService(t *testing.T) {
	d := pcsctest.Start(t)
	d.Stop()
	if _, err := pkcs11.Readers(deadline(t)); !errors.Is(err, pkcs11.ErrNoService) {
		t.Errorf("Readers = %v, want ErrNoService", err)
	}
	if err := pkcs11.WaitRemoved(deadline(t), "any"); !errors.Is(err, pkcs11.ErrNoService) {
		t.Errorf("WaitRemoved = %v, want ErrNoService", err)
	}
	if _, err := start(t, opensc(t)).Tokens(deadline(t)); !errors.Is(err, pkcs11.ErrNoService) {
		t.Errorf("Tokens = %v, want ErrNoService", err)
	}
}

func TestServiceThatEndsTakesTheCardWithIt(t *testing.T) {
	d := inReader(t, newCard(t, newECDSA(t)))
	token := oneToken(t, start(t, opensc(t)))
	got := make(chan error, 1)
	go func() { got <- token.WaitRemoved(deadline(t)) }()
	d.Stop()
	if err := <-got; err != nil && !errors.Is(err, pkcs11.ErrNoService) {
		t.Errorf("WaitRemoved = %v, want nil, or ErrNoService when it began after the end", err)
	}
}

func TestWatchTellsOfCardsAndOfTheService(t *testing.T) {
	d := pcsctest.Start(t)
	ctx, cancel := context.WithCancel(t.Context())
	events := make(chan pkcs11.Event, 100)
	done := make(chan error, 1)
	go func() { done <- pkcs11.Watch(ctx, func(e pkcs11.Event) { events <- e }) }()
	expect := func(want ...pkcs11.Event) {
		t.Helper()
		for _, w := range want {
			select {
			case got := <-events:
				if got != w {
					t.Fatalf("event %v, want %v", got, w)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("no event, want %v", w)
			}
		}
	}
	expect(pkcs11.Event{Kind: pkcs11.ReaderAdded, Reader: d.Readers[0]}, pkcs11.Event{Kind: pkcs11.ReaderAdded, Reader: d.Readers[1]})
	card := newCard(t, newECDSA(t))
	d.Insert(t, 1, card)
	expect(pkcs11.Event{Kind: pkcs11.CardInserted, Reader: d.Readers[1]})
	card.Remove()
	expect(pkcs11.Event{Kind: pkcs11.CardRemoved, Reader: d.Readers[1]})
	d.Stop()
	expect(pkcs11.Event{Kind: pkcs11.ServiceLost})
	d.Restart(t)
	expect(pkcs11.Event{Kind: pkcs11.ServiceFound})

	began := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch = %v, want the cause of its context", err)
	}
	if took := time.Since(began); took > quickly {
		t.Errorf("Watch ended %v after its context, want soon", took)
	}
}

func TestModuleThatCannotBeLoaded(t *testing.T) {
	for _, module := range []string{
		"opensc-pkcs11.so",
		filepath.Join(t.TempDir(), "missing.so"),
		t.TempDir(),
		textFile(t),
		installed(t, "libc6", "/lib/*/libm.so.6", "/lib*/libm.so.6"), // a library, but no module
	} {
		m, err := pkcs11.Start(deadline(t), pkcs11.Config{Module: module, Command: command()})
		if !errors.Is(err, pkcs11.ErrModuleLoad) {
			t.Errorf("Start with module %q = %v, %v; want ErrModuleLoad", module, m, err)
		}
		t.Log(err)
	}
}

// A name without its directory is looked up by the loader, in places of its own; with half of it, wherever the program was started.
func TestModuleIsNamedByItsWholePath(t *testing.T) {
	module, dir := opensc(t), t.TempDir()
	if err := os.Symlink(module, filepath.Join(dir, filepath.Base(module))); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, name := range []string{filepath.Base(module), "./" + filepath.Base(module)} {
		m, err := pkcs11.Start(deadline(t), pkcs11.Config{Module: name, Command: command()})
		if err == nil {
			m.Close()
		}
		if !errors.Is(err, pkcs11.ErrModuleLoad) || !strings.Contains(err.Error(), "absolute") {
			t.Errorf("Start with module %q = %v, want ErrModuleLoad for want of an absolute path", name, err)
		}
	}
}
