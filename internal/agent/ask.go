package agent

import (
	"context"
	"encoding/asn1"
	"errors"
	"strconv"
	"strings"
	"unicode"

	"promess/authgw/internal/web"
)

// Attributes of a name, ITU-T X.520: surname and givenName.
var (
	oidSurname   = asn1.ObjectIdentifier{2, 5, 4, 4}
	oidGivenName = asn1.ObjectIdentifier{2, 5, 4, 42}
)

// question is something that the person is asked on the page of a login. One of its two fields is set.
type question struct {
	pin    *web.AgentPINPage
	token  *web.AgentChoicePage
	answer chan string // takes one answer, which was checked
}

// askPIN returns the PIN that the person typed, in the form that the card takes; or "" for a card whose PIN is typed on the
// reader.
func (l *login) askPIN(ctx context.Context, info TokenInfo, wrong bool) (string, error) {
	if info.PINPad {
		l.showPad(wrong, info.PINLast)
		return "", nil
	}
	lo, hi := pinBounds(info)
	request := PINRequest{
		Gateway: l.gateway.gateway.Title,
		Origin:  l.gateway.gateway.Origin,
		Holder:  HolderName(info.Certificate),
		Last:    info.PINLast,
		Wrong:   wrong,
		Min:     lo,
		Max:     hi,
	}
	return within(ctx, l.server.config.PINTimeout, errExpired, func(ctx context.Context) (string, error) {
		pin, err := l.askInDialog(ctx, request)
		if errors.Is(err, errNoPrompt) {
			return l.askOnPage(ctx, request)
		}
		return pin, err
	})
}

// askInDialog asks again for as long as what was typed is not a PIN; only a PIN reaches the card.
func (l *login) askInDialog(ctx context.Context, request PINRequest) (string, error) {
	if l.server.config.Prompt == nil {
		return "", errNoPrompt
	}
	l.show(stepDialog)
	for ctx.Err() == nil {
		pin, err := l.server.config.Prompt.AskPIN(ctx, request)
		switch {
		case err == nil && validPIN(pin, request.Min, request.Max):
			l.show(stepSigning)
			return pin, nil
		case err == nil:
			request.Shape, request.Wrong = true, false
		case errors.Is(err, ErrCancelled) || ctx.Err() != nil:
			return "", err
		default:
			l.log().Warn("PIN dialog failed, asking on the page", "error", err)
			return "", errNoPrompt
		}
	}
	return "", ctx.Err()
}

func (l *login) askOnPage(ctx context.Context, request PINRequest) (string, error) {
	return l.ask(ctx, question{pin: &web.AgentPINPage{
		Gateway: request.Gateway,
		Origin:  request.Origin,
		Holder:  request.Holder,
		Action:  loginPrefix + l.id + "/pin",
		Cancel:  loginPrefix + l.id + "/cancel",
		Min:     request.Min,
		Max:     request.Max,
		Last:    request.Last,
		Wrong:   request.Wrong,
	}})
}

// askToken returns the place in the list of the token that the person chose.
func (l *login) askToken(ctx context.Context, tokens []Token) (int, error) {
	text, err := within(ctx, l.server.config.PINTimeout, errExpired, func(ctx context.Context) (string, error) {
		return l.ask(ctx, question{token: &web.AgentChoicePage{
			Gateway: l.gateway.gateway.Title,
			Origin:  l.gateway.gateway.Origin,
			Action:  loginPrefix + l.id + "/token",
			Cancel:  loginPrefix + l.id + "/cancel",
			Tokens:  choices(tokens),
		}})
	})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// ask shows a question on the page of the login and waits for its answer.
func (l *login) ask(ctx context.Context, q question) (string, error) {
	q.answer = make(chan string, 1)
	l.mu.Lock()
	l.question = &q
	l.mu.Unlock()
	select {
	case answer := <-q.answer:
		return answer, nil
	case <-ctx.Done():
		l.mu.Lock()
		l.question = nil
		l.mu.Unlock()
		return "", ctx.Err()
	}
}

// plain makes a text of a certificate fit for a line of a dialog: valid, printable, and not long.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1 // control characters, line breaks, and what turns the direction of text
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if r := []rune(s); len(r) > 80 {
		s = string(r[:80]) + "…"
	}
	return strings.TrimSpace(s)
}
