package idp_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/pgtest"
)

// run has the sessions of a world hear of changes until the end of the test.
func (w *world) run(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // ends with cancel
		defer close(ended)
		w.idp.Sessions.Run(ctx, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() { cancel(); <-ended })
	eventually(t, "the gateway has looked at the database", func() bool { return w.idp.Sessions.Heard() })
}

// B10: a database that takes connections and says nothing is as one that is down. Before, a login waited for as long as that went on.
func TestB10DatabaseThatSaysNothing(t *testing.T) {
	t.Parallel() // it waits
	server := pgtest.Start(t, pgtest.Config{})
	e := engine{name: "PostgreSQL", fresh: server.Database, patience: 5 * time.Second}
	w := newWorldOn(t, e, func(c *idp.Config) {
		c.Sessions = idp.NewSessions(idp.SessionsConfig{Store: c.Store, Idle: 30 * time.Minute, Absolute: 4 * time.Hour, Grace: time.Minute, Now: c.Now})
	})
	w.run(t)
	inside, outside := w.inside(t), w.browser(t)
	for _, b := range []*browser{inside, outside} {
		b.client.Timeout = 2 * time.Minute // is the bound of this test
	}
	wantService := func(when string, status int) {
		t.Helper()
		if p := inside.get(mail + "/"); p.status != status {
			t.Errorf("a service, %s = %d, want %d", when, p.status, status)
		}
	}
	wantService("with the database", http.StatusOK) // and in memory from here on
	server.Freeze(t)
	wantService("as the database falls silent", http.StatusOK)
	for range 3 {
		outside.post(auth+"/login/card").wantError(t, http.StatusServiceUnavailable, textUnavailable)
	}
	w.advance(59 * time.Second)
	wantService("within the grace", http.StatusOK)
	w.advance(2 * time.Second)
	wantService("after the grace", http.StatusServiceUnavailable)

	server.Thaw()
	eventually(t, "a login works again", func() bool { return outside.post(auth+"/login/card").status == http.StatusSeeOther })
	outside.wantSignedIn(true)
	wantService("after the thaw", http.StatusOK)
}
