package idp_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/audit"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// ear notes what it is told.
type ear struct {
	mu    sync.Mutex
	heard map[string]int
}

func (e *ear) hear(ref string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.heard == nil {
		e.heard = map[string]int{}
	}
	e.heard[ref]++
}

func (e *ear) has(ref string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard[ref] > 0
}

// E3: who keeps something of a session in memory is told of its end, on every gateway, and of the end of what a client was given.
func TestE3EndsAndChangesAreHeardOnEveryGateway(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		file := e.fresh(t)
		a, b := join(t, file, time.Now), join(t, file, time.Now)
		v, _ := a.open(t, "s1", time.Now())
		g := store.Grant{ID: "g1", Client: "agenda", Session: v.ID, SID: v.ID, Expires: time.Now().Add(time.Hour)}
		if err := a.store.AddGrant(t.Context(), g, nil, time.Now()); err != nil {
			t.Fatal(err)
		}
		var here, there, grants, gone ear
		a.OnEnd(here.hear)
		b.OnEnd(there.hear)
		b.OnChange(store.GrantEnded, grants.hear)
		b.OnEnd(gone.hear)()
		if err := a.store.EndGrant(t.Context(), "g1", time.Now()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the other gateway hears of the grant", func() bool { return grants.has("g1") })
		if err := a.EndNow(t.Context(), v.ID); err != nil {
			t.Fatal(err)
		}
		if !here.has(v.ID) {
			t.Error("the gateway that ended the session has not heard of it at once")
		}
		eventually(t, "the other gateway hears of the session", func() bool { return there.has(v.ID) })
		if grants.has(v.ID) || gone.has(v.ID) {
			t.Error("an end was told to who had not asked for it, or asks no more")
		}
	})
}

// E9: idle and absolute end hold for who knows a session by its id too, and only what counts as a request keeps it open.
func TestE9ASessionIsFoundByItsIDWithinItsTime(t *testing.T) {
	for name, remembered := range map[string]bool{"read from the database": false, "in memory": true} {
		t.Run(name, func(t *testing.T) {
			c := &clock{at: time.Now()}
			m := join(t, t.TempDir()+"/authgw.db", c.now)
			v, r := m.open(t, "s1", c.now())
			seen := func() {
				if remembered && !isOpen(t, m, r) {
					t.Fatal("the session is not open")
				}
			}
			find := func(what string, use bool, want error) {
				t.Helper()
				since := c.now()
				eventually(t, "the clock was seen", func() bool { return m.HeardSince(since) })
				got, err := m.ByID(t.Context(), v.ID, use)
				if !errors.Is(err, want) || err == nil && got.Account.Subject != v.Account.Subject {
					t.Errorf("%s: ByID = %v, %v, want %v", what, got, err, want)
				}
			}
			seen()
			find("at first", false, nil)
			c.advance(20 * time.Minute)
			find("20 minutes later", false, nil)
			c.advance(9 * time.Minute)
			find("29 minutes later", true, nil)
			c.advance(20 * time.Minute)
			find("20 minutes after that, which counted", false, nil)
			c.advance(10 * time.Minute)
			find("30 minutes after that", true, idp.ErrNoSession)
			if _, err := m.ByID(t.Context(), "s9", true); !errors.Is(err, idp.ErrNoSession) {
				t.Errorf("ByID of an unknown one = %v", err)
			}
		})
	}
}

func TestSessionsEndInTheDatabaseWhenTheirTimeIsOver(t *testing.T) {
	each(t, func(t *testing.T, e engine) {
		c := &clock{at: time.Now()}
		st, err := store.Open(context.Background(), store.Config{Name: e.fresh(t), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		var audited []store.EndedSession
		m := &member{store: st, Sessions: idp.NewSessions(idp.SessionsConfig{
			Store: st, Idle: 30 * time.Minute, Absolute: 4 * time.Hour, Grace: time.Minute, Now: c.now,
			Ended: func(v store.EndedSession) { audited = append(audited, v) },
		})}
		v, _ := m.open(t, "s1", c.now())
		w, _ := m.open(t, "s2", c.now())
		var told ear
		m.OnEnd(told.hear)
		c.advance(31 * time.Minute)
		m.Expire(t.Context(), slog.New(slog.DiscardHandler))
		if told.has(v.ID) {
			t.Error("a session was ended before other gateways have had time to write when they saw it")
		}
		if err := st.TouchSession(t.Context(), w.ID, c.now()); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Minute)
		m.Expire(t.Context(), slog.New(slog.DiscardHandler))
		if !told.has(v.ID) || told.has(w.ID) {
			t.Errorf("ended: s1 %t, s2 %t, want s1 alone", told.has(v.ID), told.has(w.ID))
		}
		if len(audited) != 1 || audited[0].Reason != "idle" || audited[0].Subject != v.Account.Subject {
			t.Errorf("audited = %+v, want the end of s1", audited)
		}
		c.advance(4 * time.Hour)
		m.Expire(t.Context(), slog.New(slog.DiscardHandler))
		if len(audited) != 2 || audited[1].Reason != "expired" {
			t.Errorf("audited = %+v, want the end of s2 too", audited)
		}
	})
}

// A login that takes the place of a session of the same person takes over what clients have; one of somebody else ends it.
func TestALoginOfTheSamePersonKeepsWhatClientsHave(t *testing.T) {
	w := newWorld(t)
	give := func(id string) token.Hash {
		now := w.now()
		account, err := w.store.AccountByNationalID(t.Context(), martin().IDType, martin().NationalID)
		if err != nil {
			t.Fatal(err)
		}
		all, err := w.store.SessionsOf(t.Context(), account.Subject, time.Hour, now)
		if err != nil || len(all) != 1 {
			t.Fatalf("sessions = %v, %v, want one", all, err)
		}
		g := store.Grant{ID: id, Client: "agenda", Session: all[0].ID, SID: all[0].ID, Expires: now.Add(time.Hour)}
		refresh := store.RefreshToken{Created: now, Expires: now.Add(time.Hour)}
		refresh.Hash, _ = token.Of(token.Refresh, token.New())
		if err := w.store.AddGrant(t.Context(), g, &refresh, now); err != nil {
			t.Fatal(err)
		}
		return refresh.Hash
	}
	b := w.browser(t)
	b.logIn()
	given := give("g1")
	b.logIn()
	if _, g, err := w.store.GrantByRefresh(t.Context(), given, w.now()); err != nil || g.Session == g.SID {
		t.Errorf("the token after a login of the same person: %+v, %v, want it of the new session", g, err)
	}
	if ended := w.events(t, audit.SessionEnded); len(ended) != 1 || ended[0].Reason != "replaced" {
		t.Errorf("ends of sessions = %+v, want one that was replaced", ended)
	}
	other := martin()
	other.NationalID = "899700000001"
	w.method.believe(other)
	b.logIn()
	if _, _, err := w.store.GrantByRefresh(t.Context(), given, w.now()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the token after a login of somebody else: %v, want it over", err)
	}
}
