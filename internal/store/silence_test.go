package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// patience of these tests with a server, and the bound of what follows from it: waits on a connection that is there and for a new one.
const (
	patience = 5 * time.Second
	resigned = time.Minute
)

// impatient opens a database of a server, with a session in it.
func impatient(t *testing.T, name string) (*store.Store, token.Hash) {
	t.Helper()
	c := silent(name)
	c.Patience = patience
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	_, tok, _ := session(t, s, "s-1", account(t, s))
	return s, tok
}

// within runs f, whose context has no bound, and wants it to be over in time.
func within(t *testing.T, what string, f func(context.Context) error) error {
	t.Helper()
	result := make(chan error, 1)
	go func() { result <- f(context.WithoutCancel(t.Context())) }() // ends with what is tested; a failure is fatal
	select {
	case err := <-result:
		return err
	case <-time.After(resigned):
		t.Fatalf("%s waits for more than %v", what, resigned)
		return nil
	}
}

// A server that is there and says nothing (a machine that hangs, a network that drops everything) makes nobody wait for ever, however
// many ask and whatever their contexts say. Before, each statement waited until the server went on: its kernel acknowledged what we
// sent, so that no limit of the network counted, and the limits of time are its own to keep.
func TestSilentServerIsGivenUp(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	for name, url := range map[string]string{
		"by its socket": server.Database(t),
		"by the network": func() string {
			server.Exec(t, pgtest.Superuser, "CREATE ROLE authgw LOGIN SUPERUSER PASSWORD 'hunter2'")
			server.Exec(t, pgtest.Superuser, "CREATE DATABASE authgw OWNER authgw")
			return fmt.Sprintf("postgres://authgw:hunter2@127.0.0.1:%d/authgw", server.Port)
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			s, tok := impatient(t, url)
			server.Freeze(t)
			const n = 100 // more than there are connections
			var work sync.WaitGroup
			results := make(chan error, n+2)
			within(t, "a crowd", func(ctx context.Context) error {
				for range n {
					work.Go(func() { _, err := s.SessionByToken(ctx, "auth.test", tok); results <- err })
				}
				work.Go(func() { results <- s.EndSession(ctx, "s-1", "logout", noon) })
				work.Go(func() { results <- s.TouchSessions(ctx, map[string]time.Time{"s-1": noon.Add(time.Hour)}) })
				work.Wait()
				return nil
			})
			for range n + 2 {
				if err := <-results; err == nil || errors.Is(err, store.ErrNotFound) { // B10: would be taken for a decision
					t.Errorf("an answer without a server: %v", err)
				}
			}
			if err := within(t, "one more", s.Ping); err == nil {
				t.Error("Ping of a server that says nothing = nil")
			}
			server.Thaw()
			until(t, "the server answers again", func() bool { return s.Ping(t.Context()) == nil })
			if err := s.EndSession(t.Context(), "s-1", "logout", noon); err != nil && !errors.Is(err, store.ErrNotFound) {
				t.Errorf("EndSession after the thaw = %v", err) // it may have been ended by what had failed
			}
			_, err := s.SessionByToken(t.Context(), "auth.test", tok)
			check(t, "the session that was ended", err, store.ErrNotFound)
		})
	}
}

// One statement that the server works on for too long is given up, here and there, and is no reason to refuse others.
func TestSlowStatementIsGivenUpAlone(t *testing.T) {
	name := postgres.fresh(t)
	s, tok := impatient(t, name)
	postgres.exec(t, name, "ALTER TABLE changes RENAME TO quick")
	postgres.exec(t, name, "CREATE VIEW changes AS SELECT at, id, kind, ref FROM quick, pg_sleep(600)")
	err := within(t, "a statement that takes ten minutes", func(ctx context.Context) error { _, err := s.Changes(ctx, noon); return err })
	if err == nil {
		t.Error("Changes = nil")
	}
	if _, err := s.SessionByToken(t.Context(), "auth.test", tok); err != nil {
		t.Errorf("another statement afterwards = %v", err)
	}
	until(t, "the server has given it up too", func() bool {
		var busy int
		postgres.scan(t, name, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'", &busy)
		return busy == 0
	})
}

// What is announced by another gateway must not be missed by one whose connection is dead: Listen says so.
func TestListenNoticesASilentServer(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	s, _ := impatient(t, server.Database(t))
	told, ended := listen(t, s)
	within(t, "it listens", func(context.Context) error { <-told; return nil })
	server.Freeze(t)
	if err := within(t, "Listen", func(context.Context) error { return <-ended }); err == nil || !strings.Contains(err.Error(), "listen for changes") {
		t.Errorf("Listen = %v", err)
	}
	if err := within(t, "a new Listen", func(ctx context.Context) error { return s.Listen(ctx, func() {}) }); err == nil {
		t.Error("Listen to a server that says nothing = nil")
	}
	server.Thaw()
	told, _ = listen(t, s)
	within(t, "it listens again", func(context.Context) error { <-told; return nil })
}
