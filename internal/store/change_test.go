package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// changes returns what a look at noon sees, by kind and reference.
func changes(t testing.TB, s *store.Store) []string {
	t.Helper()
	all, err := s.Changes(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	ids := map[string]bool{}
	for _, c := range all {
		got = append(got, string(c.Kind)+" "+c.Ref)
		if c.ID == "" || ids[c.ID] {
			t.Errorf("id %q of a change, want one of its own", c.ID)
		}
		ids[c.ID] = true
	}
	slices.Sort(got)
	return got
}

// Other gateways have sessions in memory: what ends or changes one is told, each time, and by nothing else.
func TestWhatChangesIsAnnounced(t *testing.T) { each(t, testWhatChangesIsAnnounced) }

func testWhatChangesIsAnnounced(t *testing.T, s *store.Store) {
	ctx := t.Context()
	a := account(t, s)
	for _, id := range []string{"s-1", "s-2", "s-3", "s-4"} {
		session(t, s, id, a)
	}
	diff(t, "changes of what began", changes(t, s), []string(nil))
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	see := func(what string, more ...string) {
		t.Helper()
		want = append(want, more...)
		slices.Sort(want)
		diff(t, what, changes(t, s), want)
	}
	must(s.EndSession(ctx, "s-1", "logout", noon))
	see("EndSession", "session_ended s-1")
	check(t, "EndSession again", s.EndSession(ctx, "s-1", "logout", noon), store.ErrNotFound)
	see("EndSession again")
	ended, err := s.EndSessionsOf(ctx, a.Subject, "s-2", "logout", noon)
	must(err)
	slices.Sort(ended)
	diff(t, "ended", ended, []string{"s-3", "s-4"})
	see("EndSessionsOf", "session_ended s-3", "session_ended s-4")
	must(s.AddStructure(ctx, a.Subject, "30000", "CHU", noon))
	see("AddStructure", "account_changed "+a.Subject)
	must(s.AddStructure(ctx, a.Subject, "30000", "CHU", noon))
	must(s.AddStructure(ctx, a.Subject, "30000", "CHU de Nantes", noon))
	see("AddStructure of one that is known")
	_, err = s.RefreshAccount(ctx, jeanne(), noon)
	must(err)
	see("RefreshAccount with nothing new")
	other := jeanne()
	other.Profession = "40"
	_, err = s.RefreshAccount(ctx, other, noon)
	must(err)
	see("RefreshAccount with another profession", "account_changed "+a.Subject)
	must(s.SetAddress(ctx, a.Subject, "jeanne@example.fr", noon))
	see("SetAddress", "account_changed "+a.Subject)
	must(s.SetRegistered(ctx, a.Subject, noon))
	see("SetRegistered", "account_changed "+a.Subject)
	_, err = s.DisableAccount(ctx, a.Subject, noon)
	must(err)
	see("DisableAccount", "account_changed "+a.Subject, "session_ended s-2")
	_, err = s.DisableAccount(ctx, a.Subject, noon)
	check(t, "DisableAccount again", err, store.ErrNotFound)
	see("DisableAccount again")
	must(s.EnableAccount(ctx, a.Subject, noon))
	see("EnableAccount", "account_changed "+a.Subject)

	later, err := s.Changes(ctx, noon.Add(time.Hour))
	must(err)
	diff(t, "changes an hour later", later, []store.Change{}, cmpopts.EquateEmpty())
}

// A look goes back behind the one before: a change is seen with its commit, which comes after its time.
func TestAChangeThatIsSeenLateIsNotLost(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		session(t, s, "s-1", account(t, s))
		if err := s.EndSession(t.Context(), "s-1", "logout", noon.Add(-10*time.Second)); err != nil {
			t.Fatal(err)
		}
		diff(t, "changes since noon", changes(t, s), []string{"session_ended s-1"})
	})
}

// What failed is not told: a change stands and falls with what it tells of.
func TestWhatIsUndoneIsNotAnnounced(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s := open(t, name)
		session(t, s, "s-1", account(t, s))
		e.exec(t, name, "ALTER TABLE changes RENAME TO away")
		if err := s.EndSession(t.Context(), "s-1", "logout", noon); err == nil {
			t.Error("a session was ended that nobody can be told of")
		}
		if _, err := s.DisableAccount(t.Context(), "u-jeanne", noon); err == nil {
			t.Error("an account was disabled that nobody can be told of")
		}
		if err := s.AddStructure(t.Context(), "u-jeanne", "30000", "CHU", noon); err == nil {
			t.Error("a structure was added that nobody can be told of")
		}
		e.exec(t, name, "ALTER TABLE away RENAME TO changes")
		diff(t, "changes", changes(t, s), []string(nil))
		if a, err := s.AccountBySubject(t.Context(), "u-jeanne"); err != nil || a.Disabled {
			t.Errorf("disabled = %v, %v, want nothing half-done", a.Disabled, err)
		} else if len(a.Structures) != 0 {
			t.Errorf("structures = %v, want none", a.Structures)
		}
		if err := s.EndSession(t.Context(), "s-1", "logout", noon); err != nil {
			t.Errorf("the session of before = %v, want it open", err)
		}
	})
}

// soon bounds how long a change takes to reach another gateway; the promise is two seconds.
const soon = 2 * time.Second

// listen runs Listen until the test ends.
func listen(t *testing.T, s *store.Store) (told chan struct{}, ended chan error) {
	t.Helper()
	told, ended = make(chan struct{}, 100), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with ctx
		defer close(done)
		ended <- s.Listen(ctx, func() { told <- struct{}{} })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return told, ended
}

func wait[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(soon):
		t.Fatalf("%s: nothing after %v", what, soon)
	}
	return v
}

func TestListenHearsWhatAnotherGatewayChanges(t *testing.T) {
	name := postgres.fresh(t)
	here, there := open(t, name), open(t, name)
	session(t, here, "s-1", account(t, here))
	told, _ := listen(t, here)
	wait(t, "it listens", told)
	if err := there.EndSession(t.Context(), "s-1", "logout", noon); err != nil {
		t.Fatal(err)
	}
	wait(t, "the end of a session", told)
	diff(t, "changes", changes(t, here), []string{"session_ended s-1"})
}

func TestListenSaysThatItsConnectionIsGone(t *testing.T) {
	name := postgres.fresh(t)
	s := open(t, name)
	told, ended := listen(t, s)
	wait(t, "it listens", told)
	postgres.exec(t, name, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
	if err := wait(t, "the end of its connection", ended); err == nil || !strings.Contains(err.Error(), "listen for changes") {
		t.Errorf("Listen = %v", err)
	}
}

func TestListenEndsWithItsContext(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Listen(ctx, func() {}) }() // ends with ctx
		cancel()
		if err := wait(t, "the end", ended); !errors.Is(err, context.Canceled) {
			t.Errorf("Listen = %v, want %v", err, context.Canceled)
		}
	})
}

// D14: a session that is being opened while its account is disabled is refused or ended. If it were left open, it would come to life
// when the account is enabled again.
func TestSessionsThatRaceWithDisablingStayClosed(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s, admin := open(t, name), open(t, name)
		a := account(t, s)
		for round := range 10 {
			const n = 8
			tokens := make([]token.Hash, n)
			begin, opened := make(chan struct{}), make(chan error, n)
			for i := range n {
				tokens[i] = hash(t, token.Session)
				go func() {
					<-begin
					v := store.Session{ID: string(rune('a'+round)) + string(rune('a'+i)), Account: a, ExpiresAt: noon.Add(time.Hour)}
					opened <- s.CreateSession(t.Context(), v, "auth.test", tokens[i], token.Hash{})
				}()
			}
			close(begin)
			if _, err := admin.DisableAccount(t.Context(), a.Subject, noon); err != nil {
				t.Fatal(err)
			}
			for range n {
				if err := <-opened; err != nil && !errors.Is(err, store.ErrNotFound) {
					t.Errorf("CreateSession = %v, want %v or none", err, store.ErrNotFound)
				}
			}
			if err := admin.EnableAccount(t.Context(), a.Subject, noon); err != nil {
				t.Fatal(err)
			}
			for _, tok := range tokens {
				_, err := s.SessionByToken(t.Context(), "auth.test", tok)
				check(t, "session after the account was enabled again", err, store.ErrNotFound)
			}
		}
	})
}

// Gateways write when sessions were last seen, many at a time and in no order, while sessions end: nobody waits for ever.
func TestTouchingAndEndingAtOnce(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		stores := []*store.Store{open(t, name), open(t, name)}
		a := account(t, stores[0])
		seen := map[string]time.Time{}
		for i := range 20 {
			id := "s-" + string(rune('a'+i))
			session(t, stores[0], id, a)
			seen[id] = noon.Add(time.Minute)
		}
		const n = 20
		results := make(chan error, n)
		for i := range n {
			go func() {
				if i == n/2 {
					_, err := stores[i%2].EndSessionsOf(t.Context(), a.Subject, "s-a", "logout", noon)
					results <- err
					return
				}
				results <- stores[i%2].TouchSessions(t.Context(), seen)
			}()
		}
		for range n {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		got, err := stores[1].SessionsOf(t.Context(), a.Subject, time.Hour, noon)
		if err != nil || len(got) != 1 || !got[0].SeenAt.Equal(noon.Add(time.Minute)) {
			t.Errorf("sessions = %v, %v, want s-a alone, seen a minute after noon", got, err)
		}
	})
}
