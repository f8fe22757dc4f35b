package agent

import (
	"context"
	"errors"
	"regexp"
)

// Causes of an end that is not the card's.
var (
	errExpired   = errors.New("the login took too long")
	errStopping  = errors.New("the agent stops")
	errNoPrompt  = errors.New("the dialog could not be shown")
	errUntrusted = errors.New("the gateway's certificate is not trusted")
	errUnreached = errors.New("the gateway does not answer")
	errUnknown   = errors.New("the gateway does not know the login")
)

// refusedError is an answer of the gateway that the agent cannot go on with. Its word is safe to show.
type refusedError struct{ word string }

func (e *refusedError) Error() string { return "the gateway refused: " + e.word }

// pageCodes says by which word of the catalogue a person is told of an error.
var pageCodes = []struct {
	err  error
	code string
}{
	{ErrNoService, "no_service"},
	{ErrNoReader, "no_reader"},
	{ErrNoCard, "no_card"},
	{ErrNoCertificate, "no_certificate"},
	{ErrPINLocked, "pin_locked"},
	{ErrPINNotAccepted, "pin_not_accepted"},
	{ErrCardRemoved, "card_removed"},
	{ErrMechanism, "cannot_sign"},
	{ErrStalled, "stalled"},
	{ErrCancelled, "cancelled"},
	{errExpired, "expired"},
	{errStopping, "cancelled"},
	{errUntrusted, "gateway_untrusted"},
	{errUnreached, "gateway_unreachable"},
	{errUnknown, "login_unknown"},
	{context.DeadlineExceeded, "expired"},
	{context.Canceled, "cancelled"},
}

// returnValue finds the code of PKCS #11 in an error of the card software: a word for the help desk, and nothing secret.
var returnValue = regexp.MustCompile(`\bCKR_[A-Z0-9_]{1,48}\b|\b0x[0-9a-fA-F]{1,8}\b`)

// pageError turns the end of a login into what the person is told.
func pageError(err error) (code, detail string) {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return "gateway_refused", refused.word
	}
	for _, e := range pageCodes {
		if errors.Is(err, e.err) {
			return e.code, returnValue.FindString(err.Error())
		}
	}
	return "card_software", returnValue.FindString(err.Error())
}
