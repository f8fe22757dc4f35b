package agent

import (
	"context"
	"errors"
	"time"

	"promess/authgw/internal/cardwire"
)

// Bounds of a watch. No session lives longer than watchTimeout: the rules allow four hours, a configuration twelve.
const (
	watchTimeout  = 12 * time.Hour
	watchPause    = time.Second      // after a failed poll, doubled up to watchPauseMax
	watchPauseMax = 30 * time.Second // the gateway restarts, the network is away
	removedTries  = 6
	removedPause  = 200 * time.Millisecond // doubled after each
	cardTries     = 3                      // of Cards.WaitRemoved, when it fails
)

// cardWatch follows one card in its reader.
type cardWatch struct {
	gone chan struct{} // closed once the card is gone, or cannot be seen any more
	stop func()        // ends the goroutine and waits for it
}

// watchCard starts to follow the card. onGone is called once when it goes.
func watchCard(ctx context.Context, cards Cards, info TokenInfo, onGone func()) *cardWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &cardWatch{gone: make(chan struct{})}
	ended := make(chan struct{})
	go func() { // ends with the card, or with stop
		defer close(ended)
		if waitGone(ctx, cards, info) {
			close(w.gone)
			onGone()
		}
	}()
	w.stop = func() { cancel(); <-ended }
	return w
}

// waitGone returns true when the card is gone, false when ctx ended. A card that cannot be watched counts as gone after a
// few tries: a session that ends with its card must not outlive the ability to see it.
func waitGone(ctx context.Context, cards Cards, info TokenInfo) bool {
	for range cardTries {
		err := cards.WaitRemoved(ctx, info)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		if !pause(ctx, watchPause) {
			return false
		}
	}
	return true
}

// watch tells the gateway that the card is there, until it is not, or the session is over, or the agent stops.
func (l *login) watch(ctx context.Context, card *cardWatch, token string) {
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	polls, stop := context.WithCancel(ctx)
	open := make(chan struct{})
	go func() { // ends when the session does, or with polls
		defer close(open)
		l.poll(polls, token)
	}()
	select {
	case <-card.gone:
		stop()
		<-open
		l.tellRemoved(ctx, token)
	case <-open:
		stop()
		l.log().Info("watch ended", "outcome", "session over")
	}
}

// poll asks again and again whether the session is open, and returns when it is not.
func (l *login) poll(ctx context.Context, token string) {
	wait := watchPause
	for ctx.Err() == nil {
		answer, err := l.gateway.tell(ctx, cardwire.Watch{Token: token, Card: cardwire.CardPresent})
		switch {
		case err == nil && !answer.Open, errors.Is(err, errUnknown):
			return
		case err == nil:
			wait = watchPause
			// The gateway holds its answers. One that does not is not asked in a busy loop.
			pause(ctx, pollPause)
		default:
			pause(ctx, wait)
			wait = min(2*wait, watchPauseMax)
		}
	}
}

// pollPause separates two polls.
const pollPause = 100 * time.Millisecond

// tellRemoved says at once that the card is gone, with a few tries: the session ends with it.
func (l *login) tellRemoved(ctx context.Context, token string) {
	wait := removedPause
	for range removedTries {
		_, err := l.gateway.tell(ctx, cardwire.Watch{Token: token, Card: cardwire.CardRemoved})
		if err == nil || errors.Is(err, errUnknown) {
			l.log().Info("watch ended", "outcome", "card removed")
			return
		}
		if !pause(ctx, wait) {
			return
		}
		wait *= 2
	}
	l.log().Warn("gateway not told of the card's removal")
}

// pause waits, and says whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
