package card

import (
	"context"
	"errors"
	"net/http"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// An agent watches from the moment of its proof, and the session begins when the browser has brought the code: a moment later, or
// never. Until then the watch is on the login, and a card that is pulled ends the login.
const (
	beforeSession = time.Second            // how long a watch on a login is held
	openingPause  = 100 * time.Millisecond // between two looks for a session that is being opened
	openingLooks  = 150                    // more than the store calls a login used lately
)

var errStillOpening = errors.New("the session of the card is still being opened")

// watch hears from the agent about the card of a session. It holds the answer while the session is open.
func (m *Method) watch(w http.ResponseWriter, r *http.Request) {
	var q cardwire.Watch
	if !ask(w, r, &q) {
		return
	}
	var lives bool
	var err error
	switch q.Card {
	case cardwire.CardPresent:
		lives, err = m.present(r.Context(), q.Token)
	case cardwire.CardRemoved:
		err = m.removed(r.Context(), q.Token)
	default:
		answerError(w, http.StatusBadRequest, "bad_request")
		return
	}
	if err != nil {
		m.unavailable(w, "watch card", err)
		return
	}
	answer(w, cardwire.Watched{Open: lives})
}

// stage is how far what an agent watches has come.
type stage int

const (
	over    stage = iota
	waiting       // a login whose code is not used
	opening       // a login whose code is used: its session is a moment away
	open          // a session
)

// find looks at the login first and then at the session, so that one that becomes the other in between is not missed.
func (m *Method) find(ctx context.Context, watch string) (stage, store.Session, error) {
	hash, ok := token.Of(token.Watch, watch)
	if !ok {
		return over, store.Session{}, nil
	}
	at := over
	switch used, err := m.Store.LoginByWatch(ctx, hash, m.Now()); {
	case err == nil && used:
		at = opening
	case err == nil:
		at = waiting
	case !errors.Is(err, store.ErrNotFound):
		return over, store.Session{}, err
	}
	v, err := m.Server.Sessions.ByWatch(ctx, watch)
	switch {
	case err == nil:
		return open, v, nil
	case !errors.Is(err, idp.ErrNoSession):
		return over, store.Session{}, err
	}
	return at, store.Session{}, nil
}

// present waits while the session is open, and says whether it still is.
func (m *Method) present(ctx context.Context, watch string) (bool, error) {
	at, v, err := m.find(ctx, watch)
	switch {
	case err != nil || at == over:
		return false, err
	case at != open:
		return m.hold(ctx, beforeSession), nil
	}
	held, release := m.Server.Sessions.Hold(ctx, v)
	defer release()
	return m.hold(held, cardwire.WatchHold*time.Second), nil
}

// hold waits, and says whether the time was over before ctx was. A server that stops does not wait.
func (m *Method) hold(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-m.stopping:
		return true
	case <-ctx.Done():
		return false
	}
}

// removed ends the session of a card, or the login that would become one.
func (m *Method) removed(ctx context.Context, watch string) error {
	for range openingLooks {
		at, v, err := m.find(ctx, watch)
		switch {
		case err != nil || at == over:
			return err
		case at == open:
			return m.Server.End(ctx, v, "card_removed")
		case at == waiting:
			hash, _ := token.Of(token.Watch, watch)
			if err := m.Store.CancelLogin(ctx, hash, m.Now()); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			// The browser was faster: the session will be there in a moment.
		}
		if !m.hold(ctx, openingPause) {
			return context.Cause(ctx)
		}
	}
	return errStillOpening // the agent tells again
}
