package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"promess/authgw/internal/agent"
	"promess/authgw/pkcs11"
)

// cards is agent.Cards on PKCS#11 and PC/SC. It is the only place that knows both packages.
type cards struct {
	config pkcs11.Config
	log    *slog.Logger

	mu     sync.Mutex
	listed map[string]*pkcs11.Token // by reader: the last card seen in it, for WaitRemoved
}

var _ agent.Cards = (*cards)(nil)

func newCards(config pkcs11.Config, log *slog.Logger) *cards {
	return &cards{config: config, log: log, listed: map[string]*pkcs11.Token{}}
}

// Open implements agent.Cards.
func (c *cards) Open(ctx context.Context) (agent.Use, error) {
	module, err := pkcs11.Start(ctx, c.config)
	if err != nil {
		return nil, agentError(err)
	}
	return &use{cards: c, module: module}, nil
}

// WaitRemoved implements agent.Cards.
func (c *cards) WaitRemoved(ctx context.Context, info agent.TokenInfo) error {
	c.mu.Lock()
	token := c.listed[info.Reader]
	c.mu.Unlock()
	if token == nil {
		return errors.New("wait for the card's removal: not a token of this agent")
	}
	err := token.WaitRemoved(ctx)
	if !errors.Is(err, pkcs11.ErrNoReader) {
		return agentError(err)
	}
	// A token that PC/SC does not know is in no reader (a software token, a module that names its slots in its own way): there
	// is no removal to be seen, and to report one would end every login. The session then ends by the gateway's own times.
	c.log.Warn("the removal of this card cannot be seen")
	<-ctx.Done()
	return ctx.Err()
}

// use is one child process of the module.
type use struct {
	cards  *cards
	module *pkcs11.Module
}

// Tokens implements agent.Use: one agent.Token for each authentication certificate.
func (u *use) Tokens(ctx context.Context) ([]agent.Token, error) {
	list, err := u.module.Tokens(ctx)
	if err != nil {
		return nil, agentError(err)
	}
	var tokens []agent.Token
	u.cards.mu.Lock()
	defer u.cards.mu.Unlock()
	for _, t := range list {
		u.cards.listed[t.Reader] = t
		for _, c := range t.Certificates {
			tokens = append(tokens, &token{token: t, certificate: c})
		}
	}
	if len(tokens) == 0 {
		return nil, agent.ErrNoCertificate
	}
	return tokens, nil
}

func (u *use) Close() error { return u.module.Close() }

// token is one certificate of a card.
type token struct {
	token       *pkcs11.Token
	certificate pkcs11.Certificate
}

func (t *token) Info() agent.TokenInfo {
	return agent.TokenInfo{
		Reader:      t.token.Reader,
		Serial:      t.token.Serial,
		Certificate: t.certificate.Cert,
		PINPad:      t.token.PINPad,
		PINLast:     t.token.PINFinalTry,
		PINLow:      t.token.PINCountLow,
		PINLocked:   t.token.PINLocked,
		PINMin:      t.token.MinPIN,
		PINMax:      t.token.MaxPIN,
	}
}

func (t *token) Login(ctx context.Context, pin string) error {
	return agentError(t.token.Login(ctx, pin))
}

// Keys lists what a TLS client may offer with each mode; card-agent.md and pkcs11.Mode say why.
func (t *token) Keys() []agent.Key {
	var keys []agent.Key
	for _, mode := range t.token.Modes(t.certificate) {
		signer, err := t.token.Signer(t.certificate, mode)
		if err != nil {
			continue // a mode that this certificate's key cannot have
		}
		key := agent.Key{Name: mode.String(), Signer: errorSigner{signer}, MaxVersion: tls.VersionTLS13}
		switch mode {
		case pkcs11.ModePSS, pkcs11.ModeRawPSS:
			key.Schemes = []tls.SignatureScheme{tls.PSSWithSHA256}
		case pkcs11.ModePKCS1:
			key.Schemes = []tls.SignatureScheme{tls.PKCS1WithSHA256}
			key.MaxVersion = tls.VersionTLS12
		case pkcs11.ModeECDSA:
			key.Schemes = []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256}
		}
		keys = append(keys, key)
	}
	return keys
}

// sentinels pairs the errors of package pkcs11 with those of package agent.
var sentinels = [...]struct{ from, to error }{
	{pkcs11.ErrNoService, agent.ErrNoService},
	{pkcs11.ErrNoReader, agent.ErrNoReader},
	{pkcs11.ErrNoToken, agent.ErrNoCard},
	{pkcs11.ErrNoCertificate, agent.ErrNoCertificate},
	{pkcs11.ErrPINIncorrect, agent.ErrPINIncorrect},
	{pkcs11.ErrPINLocked, agent.ErrPINLocked},
	{pkcs11.ErrPINShape, agent.ErrPINNotAccepted},
	{pkcs11.ErrPINInvalid, agent.ErrPINNotAccepted},
	{pkcs11.ErrPINExpired, agent.ErrPINNotAccepted},
	{pkcs11.ErrTokenRemoved, agent.ErrCardRemoved},
	{pkcs11.ErrMechanism, agent.ErrMechanism},
	{pkcs11.ErrWrongSignature, agent.ErrMechanism},
	{pkcs11.ErrKeyNotFound, agent.ErrMechanism},
	{pkcs11.ErrCancelled, agent.ErrCancelled},
	{pkcs11.ErrStalled, agent.ErrStalled},
}

// agentError makes errors.Is find the agent's sentinel, and keeps the text.
func agentError(err error) error {
	if err == nil {
		return nil
	}
	for _, s := range sentinels {
		if errors.Is(err, s.from) {
			return fmt.Errorf("%w: %w", s.to, err)
		}
	}
	return err
}
