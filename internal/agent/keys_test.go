package agent_test

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/softcard"
)

// changedCards is a soft card whose signatures a test replaces.
type changedCards struct {
	*softcard.Card
	sign func(real crypto.Signer, digest []byte, opts crypto.SignerOpts) ([]byte, error)
}

func (c changedCards) Open(ctx context.Context) (agent.Use, error) {
	use, err := c.Card.Open(ctx)
	return changedUse{use, c}, err
}

type changedUse struct {
	agent.Use
	cards changedCards
}

func (u changedUse) Tokens(ctx context.Context) ([]agent.Token, error) {
	list, err := u.Use.Tokens(ctx)
	for i := range list {
		list[i] = changedToken{list[i], u.cards}
	}
	return list, err
}

type changedToken struct {
	agent.Token
	cards changedCards
}

func (t changedToken) Keys() []agent.Key {
	list := t.Token.Keys()
	for i := range list {
		list[i].Signer = changedSigner{list[i].Signer, t.cards}
	}
	return list
}

type changedSigner struct {
	crypto.Signer
	cards changedCards
}

func (s changedSigner) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.cards.sign(s.Signer, digest, opts)
}

func TestKeysAreTriedInOrderWithoutANewPIN(t *testing.T) {
	login := func(t *testing.T, sign func(crypto.Signer, []byte, crypto.SignerOpts) ([]byte, error)) (*world, *softcard.Card, string) {
		card := newCard(t, func(c *softcard.Config) { c.PSS = true })
		w := newWorld(t, changedCards{Card: card, sign: sign}, nil)
		path := w.start()
		w.until(path, "AgentPINPage")
		w.givePIN(path, rightPIN)
		return w, card, path
	}
	isPSS := isPSSOptions
	for name, pss := range map[string]func(crypto.Signer, []byte, crypto.SignerOpts) ([]byte, error){
		"a mechanism that the card lists and does not have": func(crypto.Signer, []byte, crypto.SignerOpts) ([]byte, error) {
			return nil, errors.Join(errors.New("CKR_MECHANISM_INVALID"), agent.ErrMechanism)
		},
		"a signature that does not verify is not sent": func(crypto.Signer, []byte, crypto.SignerOpts) ([]byte, error) {
			return make([]byte, 256), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, card, path := login(t, func(real crypto.Signer, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
				if isPSS(opts) {
					return pss(real, digest, opts)
				}
				return real.Sign(nil, digest, opts)
			})
			w.until(path, "redirect")
			if p := w.gw.seen(); len(p) != 1 || p[0].version != tls.VersionTLS12 {
				t.Errorf("proofs = %+v, want one over TLS 1.2", p)
			}
			if got := card.Presented(); got != 1 {
				t.Errorf("the card was given %d PINs, want 1", got)
			}
		})
	}
	t.Run("a card that can sign in no way", func(t *testing.T) {
		w, _, path := login(t, func(crypto.Signer, []byte, crypto.SignerOpts) ([]byte, error) { return nil, agent.ErrMechanism })
		w.failsWith(path, "cannot_sign")
	})
	t.Run("another failure of the card is not retried", func(t *testing.T) {
		var calls atomic.Int32
		w, _, path := login(t, func(crypto.Signer, []byte, crypto.SignerOpts) ([]byte, error) {
			calls.Add(1)
			return nil, errors.New("sign: CKR_DEVICE_ERROR")
		})
		a := w.failsWith(path, "card_software")
		if a.text("Detail") != "CKR_DEVICE_ERROR" || calls.Load() != 1 {
			t.Errorf("detail %q after %d calls, want CKR_DEVICE_ERROR after 1", a.text("Detail"), calls.Load())
		}
	})
	t.Run("a signature that does not come is given up", func(t *testing.T) {
		card := newCard(t, nil)
		w := newWorld(t, changedCards{Card: card, sign: func(crypto.Signer, []byte, crypto.SignerOpts) ([]byte, error) { select {} }},
			func(c *agent.Config, _ *gateway) { c.CardTimeout = 2 * time.Second })
		path := w.start()
		w.until(path, "AgentPINPage")
		w.givePIN(path, rightPIN)
		w.failsWith(path, "stalled")
	})
}

func isPSSOptions(opts crypto.SignerOpts) bool {
	_, ok := opts.(*rsa.PSSOptions)
	return ok
}

// padCards is a soft card whose PIN is typed on the reader: keys holds what a person types, one after the other.
type padCards struct {
	*softcard.Card
	keys chan string
}

func (c padCards) Open(ctx context.Context) (agent.Use, error) {
	use, err := c.Card.Open(ctx)
	return padUse{use, c}, err
}

type padUse struct {
	agent.Use
	cards padCards
}

func (u padUse) Tokens(ctx context.Context) ([]agent.Token, error) {
	list, err := u.Use.Tokens(ctx)
	for i := range list {
		list[i] = padToken{list[i], u.cards}
	}
	return list, err
}

type padToken struct {
	agent.Token
	cards padCards
}

func (t padToken) Info() agent.TokenInfo {
	info := t.Token.Info()
	info.PINPad = true
	return info
}

func (t padToken) Login(ctx context.Context, pin string) error {
	if pin != "" {
		return errors.New("a PIN was given to a card with a pad")
	}
	select {
	case typed := <-t.cards.keys:
		return t.Token.Login(ctx, typed)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestPINPad(t *testing.T) {
	t.Run("a wrong PIN on the reader is asked for again, and nothing is asked elsewhere", func(t *testing.T) {
		cards := padCards{newCard(t, nil), make(chan string)}
		w := newWorld(t, cards, func(c *agent.Config, _ *gateway) {
			c.Prompt = promptFunc(func(context.Context, agent.PINRequest) (string, error) {
				t.Error("a dialog asked for the PIN")
				return "", agent.ErrCancelled
			})
		})
		path := w.start()
		w.step(path, "pad")
		cards.keys <- wrongPIN
		w.step(path, "pad", "Wrong")
		cards.keys <- rightPIN
		w.until(path, "redirect")
	})
	t.Run("the last try is said before it is typed, to who starts anew as well", func(t *testing.T) {
		cards := padCards{newCard(t, nil), make(chan string)}
		w := newWorld(t, cards, nil)
		path := w.start()
		w.step(path, "pad")
		cards.keys <- wrongPIN
		w.step(path, "pad", "Wrong")
		cards.keys <- wrongPIN
		w.step(path, "pad", "Wrong", "Last")
		w.browse("POST", path+"/cancel", nil, nil)
		w.failsWith(path, "cancelled")
		path = w.start()
		w.step(path, "pad", "Last")
		cards.keys <- wrongPIN
		w.failsWith(path, "pin_locked")
	})
	t.Run("nobody types", func(t *testing.T) {
		cards := padCards{newCard(t, nil), make(chan string)}
		w := newWorld(t, cards, func(c *agent.Config, _ *gateway) { c.PINTimeout = 50 * time.Millisecond })
		w.failsWith(w.start(), "expired")
	})
	t.Run("the card is pulled out meanwhile", func(t *testing.T) {
		cards := padCards{newCard(t, nil), make(chan string)}
		w := newWorld(t, cards, nil)
		path := w.start()
		w.step(path, "pad")
		cards.Remove()
		w.failsWith(path, "card_removed")
	})
}
