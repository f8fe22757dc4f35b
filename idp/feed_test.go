package idp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

const host = "auth.example.test"

// member is one of several gateways on one database.
type member struct {
	*idp.Sessions
	store *store.Store
	stop  func() // Run, and waits for its end
}

// join opens a gateway's sessions on a database. They hear of changes until the end of the test.
func join(tb testing.TB, file string, now func() time.Time) *member {
	tb.Helper()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(context.Background(), store.Config{Name: file, Log: log})
	if err != nil {
		tb.Fatal(err)
	}
	m := &member{store: st, Sessions: idp.NewSessions(idp.SessionsConfig{
		Store: st, Idle: 30 * time.Minute, Absolute: 4 * time.Hour, Grace: time.Minute, Now: now,
	})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { // ends with cancel
		defer close(ended)
		m.Run(ctx, log)
	}()
	m.stop = func() { cancel(); <-ended }
	tb.Cleanup(func() { m.stop(); st.Close() })
	eventually(tb, "the gateway has looked at the database", func() bool { return m.Heard() })
	return m
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			tb.Fatalf("not in 20 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond) // between two looks
	}
}

// open writes a session and returns it with a request that belongs to it.
func (m *member) open(tb testing.TB, id string, now time.Time) (store.Session, *http.Request) {
	tb.Helper()
	a, err := m.store.OpenAccount(context.Background(), store.Account{Subject: "u-" + id, IDType: "RPPS", NationalID: "8" + id, FamilyName: "MARTIN"}, now)
	if err != nil {
		tb.Fatal(err)
	}
	secret := token.New()
	hash, _ := token.Of(token.Session, secret)
	v := store.Session{ID: id, Account: a, Method: "card", ACR: idp.ACRHardware, AMR: []string{"sc", "pin", "mfa"}, AuthTime: now,
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(4 * time.Hour)}
	if err := m.store.CreateSession(context.Background(), v, host, hash, token.Hash{}); err != nil {
		tb.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "https://"+host+"/", nil)
	r.AddCookie(&http.Cookie{Name: "__Host-authgw", Value: secret})
	return v, r
}

func isOpen(tb testing.TB, m *member, r *http.Request) bool {
	tb.Helper()
	_, err := m.Find(r, host)
	if err != nil && !errors.Is(err, idp.ErrNoSession) {
		tb.Fatalf("Find = %v", err)
	}
	return err == nil
}

// E3: what one gateway ends is over at the others, in their memories and in their open streams.
func TestEndReachesEveryGateway(t *testing.T) { each(t, testEndReachesEveryGateway) }

func testEndReachesEveryGateway(t *testing.T, e engine) {
	for _, tt := range []struct {
		name string
		end  func(*testing.T, *member, store.Session)
	}{
		{"a sign-out", func(t *testing.T, m *member, v store.Session) {
			if err := m.store.EndSession(t.Context(), v.ID, "logout", time.Now()); err != nil {
				t.Fatal(err)
			}
		}},
		{"an administrator disables the account (D14)", func(t *testing.T, m *member, v store.Session) {
			if _, err := m.store.DisableAccount(t.Context(), v.Account.Subject, time.Now()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := e.fresh(t)
			a, b := join(t, file, time.Now), join(t, file, time.Now)
			v, r := a.open(t, "s1", time.Now())
			other, otherRequest := a.open(t, "s2", time.Now())
			if !isOpen(t, a, r) || !isOpen(t, b, r) || !isOpen(t, b, otherRequest) {
				t.Fatal("the sessions are not open everywhere")
			}
			held, release := b.Hold(t.Context(), v)
			defer release()
			tt.end(t, a, v)
			eventually(t, "the session is over at the other gateway", func() bool { return !isOpen(t, b, r) })
			select {
			case <-held.Done():
			case <-time.After(20 * time.Second):
				t.Error("a stream of the session goes on at the other gateway")
			}
			if !isOpen(t, b, otherRequest) {
				t.Errorf("session %s is over too", other.ID)
			}
		})
	}
}

// B10: without its database a gateway lets open sessions go on for the grace, and then nobody.
func TestDatabaseIsGone(t *testing.T) { each(t, testDatabaseIsGone) }

func testDatabaseIsGone(t *testing.T, e engine) {
	c := &clock{at: start()}
	m := join(t, e.fresh(t), c.now)
	_, known := m.open(t, "s1", c.now())
	_, unknown := m.open(t, "s2", c.now())
	if !isOpen(t, m, known) {
		t.Fatal("the session is not open")
	}
	m.stop()
	m.store.Close()
	c.advance(59 * time.Second)
	if !isOpen(t, m, known) {
		t.Error("a session that is known is over within the grace")
	}
	if _, err := m.Find(unknown, host); err == nil || errors.Is(err, idp.ErrNoSession) {
		t.Errorf("Find of a session that is not known = %v, want an error that is not «no session»", err)
	}
	c.advance(2 * time.Second)
	if _, err := m.Find(known, host); err == nil || errors.Is(err, idp.ErrNoSession) {
		t.Errorf("Find after the grace = %v, want an error that is not «no session»", err)
	}
}

// E9: memory keeps to the limits of time.
func TestMemoryKeepsToTheLimits(t *testing.T) { each(t, testMemoryKeepsToTheLimits) }

func testMemoryKeepsToTheLimits(t *testing.T, e engine) {
	c := &clock{at: start()}
	file := e.fresh(t)
	a, b := join(t, file, c.now), join(t, file, c.now)
	_, busy := a.open(t, "s1", c.now())
	_, idle := a.open(t, "s2", c.now())
	if !isOpen(t, a, busy) || !isOpen(t, b, busy) || !isOpen(t, a, idle) {
		t.Fatal("the sessions are not open")
	}
	for range 3 { // the person is at gateway a only
		c.advance(14 * time.Minute)
		eventually(t, "the gateways look", func() bool { return a.HeardSince(c.now()) && b.HeardSince(c.now()) })
		if !isOpen(t, a, busy) {
			t.Fatal("a session in use is over")
		}
	}
	if isOpen(t, a, idle) {
		t.Error("a session without a request for 42 minutes is open")
	}
	a.stop() // writes when it was last seen
	if !isOpen(t, b, busy) {
		t.Error("a session that was in use at another gateway is over at this one")
	}
	c.advance(4 * time.Hour)
	if isOpen(t, b, busy) {
		t.Error("a session is open after its absolute end")
	}
}

// A session that is ended while it is being read must not stay in memory.
func TestEndWhileReading(t *testing.T) { each(t, testEndWhileReading) }

func testEndWhileReading(t *testing.T, e engine) {
	m := join(t, e.fresh(t), time.Now)
	for i := range 50 {
		v, r := m.open(t, fmt.Sprintf("s%d", i), time.Now())
		ended := make(chan error, 1)
		go func() { ended <- m.EndNow(t.Context(), v.ID) }()
		for range 20 {
			isOpen(t, m, r)
		}
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if isOpen(t, m, r) {
			t.Fatalf("session %s is open after its end", v.ID)
		}
	}
}

// A request of an open session asks the database nothing: from the cookie to the decision.
func BenchmarkSessionCheck(b *testing.B) {
	m := join(b, filepath.Join(b.TempDir(), "authgw.db"), time.Now)
	_, r := m.open(b, "s1", time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Find(r, host); err != nil {
			b.Fatal(err)
		}
	}
}

// Memory of 100,000 sessions, each found on two hosts.
func BenchmarkCachedSessions(b *testing.B) {
	c := &clock{at: start()}
	m := join(b, filepath.Join(b.TempDir(), "authgw.db"), c.now)
	for b.Loop() {
		m.Fill(0)
		before := heap()
		m.Fill(100_000)
		b.ReportMetric(float64(heap()-before)/(1<<20), "heap-MB")
		runtime.KeepAlive(m)
	}
	b.ReportMetric(0, "ns/op")
}

func heap() uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
