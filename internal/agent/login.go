package agent

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/web"
)

// Steps of web.AgentStatusPage.
const (
	stepCard    = "card"
	stepDialog  = "dialog"
	stepPad     = "pad"
	stepSigning = "signing"
	stepSending = "sending"
)

// removalGrace is how long a failure of the card waits for the news that the card is gone, which explains it.
const removalGrace = 700 * time.Millisecond

// login is one card login. Its goroutine is run; the fields below mu are what it shows to the requests of its pages.
type login struct {
	server  *Server
	gateway gatewayClient
	handle  string
	id      string // of its page: unguessable
	cancel  context.CancelCauseFunc

	mu       sync.Mutex
	step     string
	wrong    bool // stepPad: the PIN before was wrong
	last     bool // stepPad: the next wrong one locks the card
	holder   string
	question *question // the person is asked something on the page
	drawn    bool      // the next request is answered with a page, never with the redirect to the gateway
	form     bool      // the next request is the answer to a form of the login's page
	target   string    // where the browser goes, after a success
	failure  *web.AgentErrorPage
	ended    time.Time
}

// run does the login, tells its end, and then watches the card for as long as the session lives. server ends with the agent,
// ctx with the login too.
func (l *login) run(server, ctx context.Context) {
	defer l.cancel(nil)
	card, proved, err := l.attempt(server, ctx)
	if card != nil {
		defer card.stop()
	}
	if err != nil {
		err = l.explain(ctx, card, err)
		l.fail(err)
		code, detail := pageError(err)
		l.log().Info("login ended", "outcome", code, "detail", detail)
		return
	}
	l.succeed(proved.Code)
	l.log().Info("login ended", "outcome", "proved")
	if proved.Watch != "" {
		l.watch(server, card, proved.Watch)
	}
}

// attempt is the login from the handle to the code. The card watch that it returns, even with an error, is the caller's to
// stop: it is nil when no card was reached.
func (l *login) attempt(server, ctx context.Context) (*cardWatch, cardwire.Proved, error) {
	ctx, done := context.WithTimeoutCause(ctx, loginTimeout, errExpired)
	defer done()
	fetched, err := l.gateway.fetch(ctx, l.handle)
	if err != nil {
		return nil, cardwire.Proved{}, ended(ctx, err)
	}
	ctx, done = context.WithTimeoutCause(ctx, time.Duration(fetched.ExpiresIn)*time.Second, errExpired)
	defer done()

	use, token, err := l.openCard(ctx)
	if err != nil {
		return nil, cardwire.Proved{}, ended(ctx, err)
	}
	release := sync.OnceValue(use.Close)
	card := watchCard(server, l.server.config.Cards, token.Info(), func() { l.cancel(ErrCardRemoved) })
	proved, err := l.signIn(ctx, token, func() { release() })
	err = ended(ctx, err)
	// The card is reset before the browser moves on: from here on, it answers to nobody without the PIN.
	if closeErr := release(); closeErr != nil {
		l.log().Warn("card not released", "error", returnValue.FindString(closeErr.Error()))
	}
	return card, proved, err
}

// ended prefers the reason for which the context ended to the error that this brought about.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// within bounds one call. When its time is over, the error is cause.
func within[T any](ctx context.Context, d time.Duration, cause error, call func(context.Context) (T, error)) (T, error) {
	ctx, done := context.WithTimeoutCause(ctx, d, cause)
	defer done()
	v, err := call(ctx)
	return v, ended(ctx, err)
}

// openCard reaches the cards and lets the person choose when there are several. The caller closes the use.
func (l *login) openCard(ctx context.Context) (Use, Token, error) {
	wait := l.server.config.CardTimeout
	use, err := within(ctx, wait, ErrStalled, l.server.config.Cards.Open)
	if err != nil {
		return nil, nil, err
	}
	tokens, err := within(ctx, wait, ErrStalled, use.Tokens)
	if err == nil && len(tokens) == 0 {
		err = ErrNoCertificate // unreachable: the contract of Tokens
	}
	if err != nil {
		use.Close()
		return nil, nil, err
	}
	chosen := 0
	if len(tokens) > 1 {
		if chosen, err = l.askToken(ctx, tokens); err != nil {
			use.Close()
			return nil, nil, err
		}
	}
	token := tokens[chosen]
	l.mu.Lock()
	l.holder = HolderName(token.Info().Certificate)
	l.mu.Unlock()
	return use, token, nil
}

// signIn gives the PIN to the card, and its certificate and signature to the gateway.
func (l *login) signIn(ctx context.Context, token Token, interrupt func()) (cardwire.Proved, error) {
	if err := l.authenticate(ctx, token); err != nil {
		return cardwire.Proved{}, err
	}
	l.show(stepSigning)
	for _, key := range token.Keys() {
		signer := &cardSigner{
			certificate: token.Info().Certificate,
			sign:        l.sign(ctx, key, interrupt),
		}
		proved, err := l.gateway.prove(ctx, l.handle, key, signer, func() { l.show(stepSending) })
		if errors.Is(err, ErrMechanism) {
			l.log().Info("key not usable", "key", key.Name)
			continue // the card is logged in still: no new PIN
		}
		return proved, err
	}
	return cardwire.Proved{}, ErrMechanism
}

// authenticate asks for the PIN until the card takes one. A PIN that was refused is never given a second time: the card
// counts, and locks itself.
func (l *login) authenticate(ctx context.Context, token Token) error {
	for wrong := false; ; wrong = true {
		info := token.Info()
		if info.PINLocked {
			return ErrPINLocked
		}
		pin, err := l.askPIN(ctx, info, wrong)
		if err != nil {
			return err
		}
		wait, cause := l.server.config.CardTimeout, ErrStalled
		if info.PINPad {
			wait, cause = l.server.config.PINTimeout, errExpired
		}
		_, err = within(ctx, wait, cause, func(ctx context.Context) (any, error) { return nil, token.Login(ctx, pin) })
		if !errors.Is(err, ErrPINIncorrect) {
			return err
		}
	}
}

// explain waits a moment before blaming the card software: pulled out, a card fails its calls before the reader tells.
func (l *login) explain(ctx context.Context, card *cardWatch, err error) error {
	code, _ := pageError(err)
	if card == nil || ctx.Err() != nil || (code != "card_software" && code != "stalled" && code != "no_card") {
		return err
	}
	select {
	case <-card.gone:
		return ErrCardRemoved
	case <-time.After(removalGrace):
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *login) show(step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step, l.wrong, l.last = step, false, false
}

// showPad sends the person to the reader, which may have no words of its own for what the dialog and the page say.
func (l *login) showPad(wrong, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.step, l.wrong, l.last = stepPad, wrong, last
}

func (l *login) succeed(code string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = l.gateway.gateway.Origin + cardwire.CallbackPath + code
	l.ended = l.server.config.Now()
}

func (l *login) fail(err error) {
	code, detail := pageError(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failure = &web.AgentErrorPage{Code: code, Detail: detail, RetryURL: l.gateway.gateway.Origin + "/login"}
	l.question = nil
	l.ended = l.server.config.Now()
}

// over says whether another login may begin.
func (l *login) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.ended.IsZero()
}

// log names the gateway, never the handle, the code or the holder.
func (l *login) log() *slog.Logger {
	return l.server.log.With("gateway", l.gateway.gateway.Name)
}

// choices lists the tokens for the page. The value of one is its place in the list.
func choices(tokens []Token) []web.AgentToken {
	list := make([]web.AgentToken, len(tokens))
	for i, t := range tokens {
		info := t.Info()
		list[i] = web.AgentToken{
			Value:  strconv.Itoa(i),
			Holder: HolderName(info.Certificate),
			Serial: info.Serial,
			Reader: info.Reader,
		}
	}
	return list
}

// HolderName is what a person is called on their certificate: given name and surname, or the common name of a card that is
// not nominative. Certificates are read structurally: the RDN of a card holds several attributes.
func HolderName(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	var given, family string
	for _, a := range cert.Subject.Names {
		text, ok := a.Value.(string)
		switch {
		case !ok:
		case a.Type.Equal(oidGivenName):
			given = text
		case a.Type.Equal(oidSurname):
			family = text
		}
	}
	if family == "" {
		return plain(cert.Subject.CommonName)
	}
	return plain(given + " " + family)
}
