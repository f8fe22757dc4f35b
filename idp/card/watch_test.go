package card_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/audit"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/testpki"
	"promess/authgw/internal/token"
)

// soon is the bound that the design gives for the end of a session to be everywhere.
const soon = 2 * time.Second

// watching is a watch that is under way: the answer comes on the channel.
func watching(a *agent, watch string) <-chan bool {
	answer := make(chan bool, 1)
	go func() {
		open, _ := a.watch(watch, cardwire.CardPresent)
		answer <- open
	}()
	return answer
}

// held wants a watch to be without an answer: the gateway holds it. There is no event to wait for, only time that passes.
func held(t *testing.T, answer <-chan bool) {
	t.Helper()
	select {
	case open := <-answer:
		t.Fatalf("the watch was answered with open = %t, want it held", open)
	case <-time.After(150 * time.Millisecond):
	}
}

func answered(t *testing.T, answer <-chan bool, want bool) {
	t.Helper()
	select {
	case open := <-answer:
		if open != want {
			t.Errorf("open = %t, want %t", open, want)
		}
	case <-time.After(soon):
		t.Errorf("no answer after %v", soon)
	}
}

// E3: the end of a session reaches the agent that watches its card.
func TestWatchIsHeldUntilTheSessionEnds(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, a := w.browser(t, nil), w.agent(t, &cert, 0)
	watch := w.logIn(t, b, a)
	answer := watching(a, watch)
	held(t, answer)
	b.send(http.MethodPost, auth+"/logout")
	answered(t, answer, false)
	if open, status := a.watch(watch, cardwire.CardPresent); open || status != http.StatusOK {
		t.Errorf("watch of a session that is over = %t %d, want closed", open, status)
	}
}

func TestCardRemovalEndsTheSessionEverywhere(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, a := w.browser(t, nil), w.agent(t, &cert, 0)
	watch := w.logIn(t, b, a)
	entry := b.get(b.get(mail + "/").location)
	b.get(entry.location)
	if p := b.get(mail + "/"); p.status != http.StatusOK {
		t.Fatalf("service = %d", p.status)
	}
	answer := watching(a, watch)
	held(t, answer)
	begun := time.Now()
	if open, status := a.watch(watch, cardwire.CardRemoved); open || status != http.StatusOK {
		t.Errorf("removed = %t %d, want closed", open, status)
	}
	b.wantSignedIn(false)
	if p := b.get(mail + "/"); p.status != http.StatusSeeOther {
		t.Errorf("service after the removal = %d, want the login", p.status)
	}
	if d := time.Since(begun); d > soon {
		t.Errorf("the end took %v, want %v at most", d, soon)
	}
	answered(t, answer, false)
	if e := w.events(t, audit.SessionEnded); len(e) != 1 || e[0].Reason != "card_removed" {
		t.Errorf("ends = %+v, want one by the card", e)
	}
	// Told again, as an agent does that heard no answer: nothing more happens.
	if open, status := a.watch(watch, cardwire.CardRemoved); open || status != http.StatusOK {
		t.Errorf("removed again = %t %d, want closed", open, status)
	}
}

// The agent watches from its proof on, seconds before the browser comes back. It used to be told that there was no session, stopped
// watching, and the removal of the card ended nothing.
func TestWatchThatBeginsBeforeTheSession(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	a := w.agent(t, &cert, 0)
	t.Run("is told that it is open, and goes on with the session", func(t *testing.T) {
		b := w.browser(t, nil)
		proved := a.mustProve(b.begin())
		answered(t, watching(a, proved.Watch), true)
		b.callback(proved.Code)
		b.wantSignedIn(true)
		answer := watching(a, proved.Watch)
		held(t, answer)
		a.watch(proved.Watch, cardwire.CardRemoved)
		answered(t, answer, false)
		b.wantSignedIn(false)
	})
	t.Run("a card that is pulled before the browser is back opens nothing", func(t *testing.T) {
		b := w.browser(t, nil)
		proved := a.mustProve(b.begin())
		if open, status := a.watch(proved.Watch, cardwire.CardRemoved); open || status != http.StatusOK {
			t.Errorf("removed = %t %d, want closed", open, status)
		}
		if p := b.callback(proved.Code); p.status != http.StatusForbidden {
			t.Errorf("callback = %d, want 403", p.status)
		}
		b.wantSignedIn(false)
		if open, _ := a.watch(proved.Watch, cardwire.CardPresent); open {
			t.Error("the watch of a login that is over is open")
		}
	})
	t.Run("a login that nobody comes back for", func(t *testing.T) {
		proved := a.mustProve(w.browser(t, nil).begin())
		w.advance(time.Minute)
		if open, _ := a.watch(proved.Watch, cardwire.CardPresent); open {
			t.Error("the watch of a login that is over is open")
		}
	})
	t.Run("pulled while the browser comes back", func(t *testing.T) {
		for range 10 {
			b := w.browser(t, nil)
			proved := a.mustProve(b.begin())
			done := make(chan struct{})
			go func() { defer close(done); a.watch(proved.Watch, cardwire.CardRemoved) }()
			b.callback(proved.Code)
			<-done
			b.wantSignedIn(false)
		}
	})
}

// A watch token is worth something for its own session alone.
func TestWatchTokensOfOthers(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, other, a := w.browser(t, nil), w.browser(t, nil), w.agent(t, &cert, 0)
	watch := w.logIn(t, b, a)
	theirs := w.logIn(t, other, a)
	for name, wrong := range map[string]string{
		"of nobody": token.New(), "empty": "", "truncated": watch[:len(watch)-1], "the cookie of the session": b.cookie(),
		"long": strings.Repeat("a", 500),
	} {
		for _, state := range []string{cardwire.CardPresent, cardwire.CardRemoved} {
			if open, status := a.watch(wrong, state); open || status != http.StatusOK {
				t.Errorf("%s, %s = %t %d, want closed", name, state, open, status)
			}
		}
	}
	b.wantSignedIn(true)
	a.watch(theirs, cardwire.CardRemoved)
	b.wantSignedIn(true)
	other.wantSignedIn(false)
	for _, state := range []string{"", "gone", "REMOVED"} {
		if _, status := a.watch(watch, state); status != http.StatusBadRequest {
			t.Errorf("watch with %q = %d, want 400", state, status)
		}
	}
	b.wantSignedIn(true)
}

// Watching is not being active: a session ends by its idle time though the agent asks all the while.
func TestE9WatchingDoesNotKeepASessionAlive(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, a := w.browser(t, nil), w.agent(t, &cert, 0)
	watch := w.logIn(t, b, a)
	w.advance(29 * time.Minute)
	answer := watching(a, watch)
	held(t, answer)
	w.advance(time.Minute)
	if open, _ := a.watch(watch, cardwire.CardPresent); open {
		t.Error("the session is open after its idle time")
	}
	b.wantSignedIn(false)
	w.method.Stop()
	answered(t, answer, true)
}

func TestStopAnswersTheAgentsThatWait(t *testing.T) {
	w := newWorld(t)
	cert := w.card(t, testpki.Card{})
	b, a := w.browser(t, nil), w.agent(t, &cert, 0)
	watch := w.logIn(t, b, a)
	first, second := watching(a, watch), watching(a, watch)
	held(t, first)
	w.method.Stop()
	answered(t, first, true)
	answered(t, second, true)
	b.wantSignedIn(true)
}
