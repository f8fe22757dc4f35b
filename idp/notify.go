package idp

import (
	"context"
	"errors"
	"net/http"
	"time"

	"promess/authgw/internal/mail"
	"promess/authgw/internal/outbox"
	"promess/authgw/internal/store"
	"promess/authgw/internal/web"
)

// notifyTimeout is how long leaving a notice may hold up the answer to what it tells of.
const notifyTimeout = 5 * time.Second

// Notify leaves a notice of what a request has done to an account, to be sent to the address of to: the record as it is, or as it was before
// the address itself was changed (D1). It says when, from where and with which browser, so n has only its kind and what belongs to that.
// What was done stays done when no notice of it can be left; that goes to the log. Without mail, or without an address, there is nobody to
// tell.
func (s *Server) Notify(r *http.Request, to store.Account, n mail.Notice) {
	if s.Registration == nil || to.Address == "" {
		return
	}
	n.Language, n.At, n.Source, n.Browser = s.Pages.Language(r), s.Now(), Source(r), web.BrowserName(r.UserAgent())
	// The person may be gone, and is told all the same.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), notifyTimeout)
	defer cancel()
	err := s.Registration.Outbox.Put(ctx, to, n)
	if errors.Is(err, outbox.ErrOff) { // a reload has just turned mail off
		return
	}
	if err != nil {
		s.Log.Error("notice not left to be sent", "subject", to.Subject, "kind", string(n.Kind), "error", err)
	}
}
