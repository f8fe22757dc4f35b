package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// grace is that of the tests.
const grace = 10 * time.Second

// newGrant is a grant of a session to a client, unwritten.
func newGrant(id, client, session string) store.Grant {
	return store.Grant{ID: id, Client: client, Session: session, SID: session, Body: []byte(`{"sub":"x"}`), Created: noon, Expires: noon.Add(24 * time.Hour)}
}

// newRefresh is a refresh token, unwritten.
func newRefresh(t testing.TB, now time.Time) store.RefreshToken {
	t.Helper()
	return store.RefreshToken{Hash: hash(t, token.Refresh), Scope: "openid offline_access", Created: now, Expires: now.Add(30 * time.Minute)}
}

// access is an access token, of which nothing is written.
type access struct {
	grant string
	hash  token.Hash
}

// exchanged writes a grant with its first tokens, as the use of a code does.
func exchanged(t testing.TB, s *store.Store, id, client, session string) (store.Grant, access, store.RefreshToken) {
	t.Helper()
	g, refresh := newGrant(id, client, session), newRefresh(t, noon)
	if err := s.AddGrant(t.Context(), g, &refresh, noon); err != nil {
		t.Fatal(err)
	}
	return g, access{id, hash(t, token.Refresh)}, refresh
}

// rotate uses a refresh token.
func rotate(t testing.TB, s *store.Store, old store.RefreshToken, client string, now time.Time) (next store.RefreshToken, err error) {
	t.Helper()
	next = newRefresh(t, now)
	return next, s.RotateRefresh(t.Context(), store.Rotation{Old: old.Hash, Client: client, Next: next, Grace: grace}, now)
}

// good says that a refresh token is good at a time, or is not.
func good(t testing.TB, s *store.Store, what string, v store.RefreshToken, now time.Time, want error) {
	t.Helper()
	found, _, err := s.GrantByRefresh(t.Context(), v.Hash, now)
	if err == nil && !found.Used.IsZero() {
		err = store.ErrNotFound
	}
	check(t, what, err, want)
}

// opens says that an access token is good at a time, or is not.
func opens(t testing.TB, s *store.Store, what string, v access, now time.Time, want error) {
	t.Helper()
	_, err := s.GrantOfAccess(t.Context(), v.grant, v.hash, now)
	check(t, what, err, want)
}

func TestAGrantIsWrittenOnce(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		v, _, _ := session(t, s, "s-1", account(t, s))
		g, refresh := newGrant("g-1", "agenda", "s-1"), newRefresh(t, noon)
		refresh.Expires = noon.Add(24 * time.Hour)
		check(t, "AddGrant", s.AddGrant(t.Context(), g, &refresh, noon), nil)
		again := newRefresh(t, noon)
		check(t, "AddGrant again (F3)", s.AddGrant(t.Context(), g, &again, noon), store.ErrExists)
		good(t, s, "a token that nobody was given", again, noon, store.ErrNotFound)
		g.Expires = v.ExpiresAt // and no later
		got, err := s.GrantByID(t.Context(), "g-1")
		check(t, "GrantByID", err, nil)
		diff(t, "grant", got, g)

		refresh.Expires = v.ExpiresAt
		found, got, err := s.GrantByRefresh(t.Context(), refresh.Hash, noon)
		check(t, "GrantByRefresh", err, nil)
		diff(t, "grant", got, g)
		diff(t, "token", found, refresh, cmpopts.IgnoreUnexported(store.RefreshToken{}))
		a := access{"g-1", hash(t, token.Refresh)}
		opens(t, s, "an access token in its grant's last millisecond", a, v.ExpiresAt.Add(-time.Millisecond), nil)
		opens(t, s, "a late access token (E9)", a, v.ExpiresAt, store.ErrNotFound)
		opens(t, s, "an access token of no grant", access{"g-2", a.hash}, noon, store.ErrNotFound)
		good(t, s, "a late refresh token (E9)", refresh, v.ExpiresAt, store.ErrNotFound)
		check(t, "AddGrant of no session", s.AddGrant(t.Context(), newGrant("g-2", "agenda", "s-2"), nil, noon), store.ErrNotFound)
		check(t, "AddGrant of a late session", s.AddGrant(t.Context(), newGrant("g-2", "agenda", "s-1"), nil, v.ExpiresAt), store.ErrNotFound)
	})
}

// F3: of two uses of one code at once, on two gateways, one gets tokens.
func TestF3OneOfManyExchangesAtOnceWins(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		stores := []*store.Store{open(t, name), open(t, name)}
		session(t, stores[0], "s-1", account(t, stores[0]))
		var won, lost atomic.Int64
		const n = 20
		begin := make(chan struct{})
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				refresh := newRefresh(t, noon)
				<-begin
				switch err := stores[i%2].AddGrant(t.Context(), newGrant("g-1", "agenda", "s-1"), &refresh, noon); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, store.ErrExists):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		close(begin)
		group.Wait()
		var tokens int
		e.scan(t, name, "SELECT count(*) FROM oidc_tokens", &tokens)
		if won.Load() != 1 || lost.Load() != n-1 || tokens != 1 {
			t.Errorf("%d won, %d lost, %d tokens were given; want 1, %d and 1", won.Load(), lost.Load(), tokens, n-1)
		}
	})
}

// F3: a refresh token that is used a second time ends everything that was given with it.
func TestF3ReuseOfARefreshTokenEndsItsFamily(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		session(t, s, "s-1", account(t, s))
		_, a1, r1 := exchanged(t, s, "g-1", "agenda", "s-1")
		_, _, other := exchanged(t, s, "g-2", "agenda", "s-1")
		_, err := rotate(t, s, r1, "other", noon)
		check(t, "another client's refresh token", err, store.ErrNotFound)
		r2, err := rotate(t, s, r1, "agenda", noon)
		check(t, "the first use", err, nil)
		opens(t, s, "the access token", a1, noon, nil)
		good(t, s, "the refresh token", r2, noon, nil)
		good(t, s, "a used refresh token", r1, noon, store.ErrNotFound)
		if used, _, err := s.GrantByRefresh(t.Context(), r1.Hash, noon); err != nil || !used.Used.Equal(noon) {
			t.Errorf("GrantByRefresh of the used one = %v, %v, want it with the time of its use", used.Used, err)
		}
		_, err = rotate(t, s, r1, "other", noon.Add(time.Minute))
		check(t, "another client's used refresh token", err, store.ErrNotFound)
		good(t, s, "the family after that", r2, noon, nil)

		_, err = rotate(t, s, r1, "agenda", noon.Add(grace+time.Millisecond))
		check(t, "the second use", err, store.ErrReused)
		opens(t, s, "the access token after a reuse", a1, noon, store.ErrNotFound)
		good(t, s, "the refresh token after a reuse", r2, noon, store.ErrNotFound)
		good(t, s, "that of another grant", other, noon, nil)
		_, err = rotate(t, s, r2, "agenda", noon.Add(time.Minute))
		check(t, "the use of what has ended", err, store.ErrNotFound)
		diff(t, "changes", changes(t, s), []string{"grant_ended g-1"})
	})
}

// Whoever did not get the answer asks again, soon. What the lost answer held is worth nothing then.
func TestALostAnswerIsGivenAgain(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		session(t, s, "s-1", account(t, s))
		_, _, r1 := exchanged(t, s, "g-1", "agenda", "s-1")
		r2, err := rotate(t, s, r1, "agenda", noon)
		check(t, "first", err, nil)
		r3, err := rotate(t, s, r1, "agenda", noon.Add(grace))
		check(t, "again, within grace", err, nil)
		good(t, s, "what was lost", r2, noon, store.ErrNotFound)
		r4, err := rotate(t, s, r3, "agenda", noon.Add(grace))
		check(t, "what came instead", err, nil)
		good(t, s, "what follows", r4, noon.Add(grace), nil)

		// The answer was not lost, then, but went to somebody else.
		_, err = rotate(t, s, r2, "agenda", noon.Add(grace))
		check(t, "what was lost is used", err, store.ErrReused)
		good(t, s, "what follows, after that", r4, noon.Add(grace), store.ErrNotFound)
	})
}

func TestGraceEndsWithTheUseOfWhatFollowed(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		session(t, s, "s-1", account(t, s))
		_, _, r1 := exchanged(t, s, "g-1", "agenda", "s-1")
		r2, err := rotate(t, s, r1, "agenda", noon)
		check(t, "first", err, nil)
		r3, err := rotate(t, s, r2, "agenda", noon.Add(time.Second))
		check(t, "second", err, nil)
		_, err = rotate(t, s, r1, "agenda", noon.Add(2*time.Second))
		check(t, "the first again", err, store.ErrReused)
		good(t, s, "the last", r3, noon, store.ErrNotFound)
	})
}

// F3: however many use one refresh token at once, on two gateways, there is one good refresh token at most afterwards.
func TestF3OneRefreshTokenIsGoodAfterManyUsesAtOnce(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		stores := []*store.Store{open(t, name), open(t, name)}
		session(t, stores[0], "s-1", account(t, stores[0]))
		for round, wait := range []time.Duration{0, grace} {
			id := fmt.Sprintf("g-%d", round)
			_, _, r1 := exchanged(t, stores[0], id, "agenda", "s-1")
			const n = 20
			begin := make(chan struct{})
			var group sync.WaitGroup
			var mu sync.Mutex
			won := 0
			for i := range n {
				group.Go(func() {
					next := newRefresh(t, noon)
					<-begin
					err := stores[i%2].RotateRefresh(t.Context(), store.Rotation{Old: r1.Hash, Client: "agenda", Next: next, Grace: wait - time.Millisecond}, noon)
					if err == nil {
						mu.Lock()
						won++
						mu.Unlock()
					} else if !errors.Is(err, store.ErrReused) && !errors.Is(err, store.ErrNotFound) {
						t.Error(err)
					}
				})
			}
			close(begin)
			group.Wait()
			var left int
			e.scan(t, name, "SELECT count(*) FROM oidc_tokens t JOIN oidc_grants g ON g.id = t.grant_id WHERE g.id = '"+id+
				"' AND t.kind = 'refresh' AND t.used_at IS NULL AND g.ended_at IS NULL", &left)
			want, winners := 0, 1 // without grace, the second use ends the family
			if wait > 0 {
				want, winners = 1, n
			}
			if left != want || won != winners {
				t.Errorf("grace %v: %d refresh tokens are good and %d uses succeeded, want %d and %d", wait, left, won, want, winners)
			}
		}
	})
}

// What clients have of a session ends with it, whoever ends it, and those that have used it are to be told.
func TestGrantsEndWithTheirSession(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		ends := map[string]func(s *store.Store, id string) error{
			"EndSession": func(s *store.Store, id string) error { return s.EndSession(t.Context(), id, "logout", noon) },
			"EndSessionsOf": func(s *store.Store, id string) error {
				_, err := s.EndSessionsOf(t.Context(), "u-jeanne", "", "reset", noon)
				return err
			},
			"DisableAccount": func(s *store.Store, id string) error {
				_, err := s.DisableAccount(t.Context(), "u-jeanne", noon)
				return err
			},
			"EndExpired": func(s *store.Store, id string) error {
				_, err := s.EndExpired(t.Context(), noon, noon.Add(time.Minute))
				return err
			},
		}
		for what, end := range ends {
			name := e.fresh(t)
			s := open(t, name)
			session(t, s, "s-1", account(t, s))
			_, first, refresh := exchanged(t, s, "g-1", "agenda", "s-1")
			_, again, _ := exchanged(t, s, "g-2", "agenda", "s-1")
			exchanged(t, s, "g-3", "dossier", "s-1")
			check(t, "AddGrant of a device", s.AddGrant(t.Context(), newGrant("g-5", "screen", "s-1"), nil, noon), nil)
			check(t, what, end(s, "s-1"), nil)
			opens(t, s, what+": access token", first, noon, store.ErrNotFound)
			good(t, s, what+": refresh token", refresh, noon, store.ErrNotFound)
			opens(t, s, what+": access token of another grant", again, noon, store.ErrNotFound)
			_, err := rotate(t, s, refresh, "agenda", noon)
			check(t, what+": RotateRefresh", err, store.ErrNotFound)
			check(t, what+": AddGrant", s.AddGrant(t.Context(), newGrant("g-6", "never", "s-1"), nil, noon), store.ErrNotFound)
			rows, err := e.behind(t, name).Query("SELECT client || ' ' || sid || ' ' || subject FROM oidc_logouts ORDER BY 1")
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for rows.Next() {
				var v string
				if err := rows.Scan(&v); err != nil {
					t.Fatal(err)
				}
				told = append(told, v)
			}
			rows.Close()
			diff(t, what+": to be told", told, []string{"agenda s-1 u-jeanne", "dossier s-1 u-jeanne", "screen s-1 u-jeanne"})
		}
	})
}

// D14: a grant that is being made while its session ends is refused or ended, and so are the tokens for its code.
func TestGrantsThatRaceWithTheEndOfTheSessionEnd(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s, other := open(t, name), open(t, name)
		a := account(t, s)
		for round := range 5 {
			id := fmt.Sprintf("s-%d", round)
			session(t, s, id, a)
			const n = 8
			begin := make(chan struct{})
			var group sync.WaitGroup
			for i := range n {
				g, refresh := newGrant(fmt.Sprintf("g-%d-%d", round, i), "agenda", id), newRefresh(t, noon)
				group.Go(func() {
					<-begin
					err := s.AddGrant(t.Context(), g, &refresh, noon)
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						t.Error(err)
					}
				})
			}
			close(begin)
			if err := other.EndSession(t.Context(), id, "logout", noon); err != nil {
				t.Fatal(err)
			}
			group.Wait()
		}
		var left, untold int
		e.scan(t, name, "SELECT count(*) FROM oidc_grants WHERE ended_at IS NULL", &left)
		e.scan(t, name, "SELECT count(*) FROM oidc_grants g WHERE NOT EXISTS (SELECT 1 FROM oidc_logouts l WHERE l.sid = g.sid)", &untold)
		if left != 0 || untold != 0 {
			t.Errorf("%d grants go on after their session, %d will not be told, want none", left, untold)
		}
	})
}

// When a login at a higher level takes the place of a session, the clients go on with what they have.
func TestGrantsMoveToTheSessionThatTakesThePlace(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a := account(t, s)
		session(t, s, "s-1", a)
		v := store.Session{ID: "s-2", Account: a, CreatedAt: noon, SeenAt: noon, ExpiresAt: noon.Add(20 * time.Minute)}
		check(t, "CreateSession", s.CreateSession(t.Context(), v, "auth.test", hash(t, token.Session), token.Hash{}), nil)
		other, err := s.OpenAccount(t.Context(), store.Account{Subject: "u-paul", IDType: "RPPS", NationalID: "1"}, noon)
		check(t, "OpenAccount", err, nil)
		session(t, s, "s-paul", other)
		_, first, refresh := exchanged(t, s, "g-1", "agenda", "s-1")
		check(t, "to somebody else's session", s.MoveGrants(t.Context(), "s-1", "s-paul", noon), store.ErrNotFound)
		check(t, "to an unknown session", s.MoveGrants(t.Context(), "s-1", "s-9", noon), store.ErrNotFound)
		check(t, "MoveGrants", s.MoveGrants(t.Context(), "s-1", "s-2", noon), nil)
		check(t, "EndSession", s.EndSession(t.Context(), "s-1", "replaced", noon), nil)
		opens(t, s, "access token", first, noon, nil)
		_, g, err := s.GrantByRefresh(t.Context(), refresh.Hash, noon)
		if err != nil || g.Session != "s-2" || g.SID != "s-1" || !g.Expires.Equal(v.ExpiresAt) {
			t.Errorf("grant = %+v, %v, want it of session s-2, known as s-1, until that ends", g, err)
		}
		check(t, "EndSession of the other", s.EndSession(t.Context(), "s-2", "logout", noon), nil)
		opens(t, s, "access token at the end", first, noon, store.ErrNotFound)
		check(t, "to a session that is over", s.MoveGrants(t.Context(), "s-1", "s-2", noon), store.ErrNotFound)
		diff(t, "changes", changes(t, s), []string{"grant_ended g-1", "session_ended s-1", "session_ended s-2"})
	})
}

func TestGrantsAndTokensEndByThemselves(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		session(t, s, "s-1", account(t, s))
		_, a1, r1 := exchanged(t, s, "g-1", "agenda", "s-1")
		_, a2, _ := exchanged(t, s, "g-2", "agenda", "s-1")
		_, a3, _ := exchanged(t, s, "g-3", "dossier", "s-1")
		check(t, "EndAccess of a refresh token", s.EndAccess(t.Context(), r1.Hash, "g-1", noon, noon), store.ErrNotFound)
		check(t, "EndAccess", s.EndAccess(t.Context(), a1.hash, "g-1", noon.Add(time.Minute), noon), nil)
		check(t, "EndAccess again", s.EndAccess(t.Context(), a1.hash, "g-1", noon.Add(time.Minute), noon), store.ErrNotFound)
		opens(t, s, "access token", a1, noon, store.ErrNotFound)
		opens(t, s, "another access token of the grant", access{"g-1", hash(t, token.Refresh)}, noon, nil)
		_, _, err := s.GrantByRefresh(t.Context(), a1.hash, noon)
		check(t, "a revoked access token as a refresh token", err, store.ErrNotFound)
		good(t, s, "refresh token", r1, noon, nil)
		check(t, "EndGrant", s.EndGrant(t.Context(), "g-1", noon), nil)
		check(t, "EndGrant again", s.EndGrant(t.Context(), "g-1", noon), store.ErrNotFound)
		good(t, s, "refresh token of the ended grant", r1, noon, store.ErrNotFound)
		opens(t, s, "access token of another grant", a2, noon, nil)
		if n, err := s.EndGrantsOf(t.Context(), "agenda", noon); n != 1 || err != nil {
			t.Errorf("EndGrantsOf = %d, %v, want 1", n, err)
		}
		if n, err := s.EndGrantsOf(t.Context(), "agenda", noon); n != 0 || err != nil {
			t.Errorf("EndGrantsOf again = %d, %v, want 0", n, err)
		}
		opens(t, s, "access token of the client", a2, noon, store.ErrNotFound)
		opens(t, s, "access token of another client", a3, noon, nil)
		diff(t, "changes", changes(t, s), []string{"grant_ended g-1", "grant_ended g-1", "grants_ended agenda"})
	})
}

func TestSessionsEndWhenTheirTimeIsOver(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a := account(t, s)
		for _, id := range []string{"s-1", "s-2", "s-3"} {
			session(t, s, id, a)
		}
		v := store.Session{ID: "s-4", Account: a, CreatedAt: noon, SeenAt: noon.Add(time.Hour), ExpiresAt: noon.Add(time.Hour)}
		check(t, "CreateSession", s.CreateSession(t.Context(), v, "auth.test", hash(t, token.Session), token.Hash{}), nil)
		check(t, "TouchSession", s.TouchSession(t.Context(), "s-1", noon.Add(time.Hour)), nil)
		check(t, "EndSession", s.EndSession(t.Context(), "s-2", "logout", noon), nil)
		if ended, err := s.EndExpired(t.Context(), noon.Add(-time.Millisecond), noon); len(ended) != 0 || err != nil {
			t.Errorf("EndExpired = %v, %v, want none yet", ended, err)
		}
		ended, err := s.EndExpired(t.Context(), noon.Add(30*time.Minute), noon.Add(time.Hour))
		check(t, "EndExpired", err, nil)
		diff(t, "ended", ended, []store.EndedSession{
			{ID: "s-3", Subject: "u-jeanne", Method: "card", Reason: "idle"}, {ID: "s-4", Subject: "u-jeanne", Reason: "expired"},
		}, cmpopts.SortSlices(func(a, b store.EndedSession) bool { return a.ID < b.ID }))
		if ended, err := s.EndExpired(t.Context(), noon.Add(30*time.Minute), noon.Add(time.Hour)); len(ended) != 0 || err != nil {
			t.Errorf("EndExpired again = %v, %v, want none", ended, err)
		}
		all, err := s.SessionsOf(t.Context(), "u-jeanne", time.Hour, noon)
		if err != nil || len(all) != 1 || all[0].ID != "s-1" {
			t.Errorf("open sessions = %v, %v, want s-1", all, err)
		}
	})
}

// Several gateways end what is over: each session ends once.
func TestExpiredSessionsEndOnceHoweverManyLook(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		stores := []*store.Store{open(t, name), open(t, name)}
		a := account(t, stores[0])
		for i := range 30 {
			session(t, stores[0], fmt.Sprintf("s-%d", i), a)
		}
		var group sync.WaitGroup
		var mu sync.Mutex
		ended := map[string]int{}
		for i := range 6 {
			group.Go(func() {
				all, err := stores[i%2].EndExpired(t.Context(), noon, noon)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				for _, v := range all {
					ended[v.ID]++
				}
			})
		}
		group.Wait()
		for id, n := range ended {
			if n != 1 {
				t.Errorf("%s has ended %d times", id, n)
			}
		}
		if len(ended) != 30 {
			t.Errorf("%d sessions have ended, want 30", len(ended))
		}
	})
}

// F14: a proof is good once, on whatever gateway, for the client whose it is.
func TestF14AnAssertionIsUsedOnce(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		stores := []*store.Store{open(t, name), open(t, name)}
		once(t, func(ctx context.Context, i int) error {
			return stores[i%2].UseAssertion(ctx, "agenda", "j-1", noon.Add(time.Minute))
		})
		check(t, "the same id of another client", stores[0].UseAssertion(t.Context(), "dossier", "j-1", noon), nil)
	})
}

func TestSweepDeletesWhatClientsHadAndIsOver(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s := open(t, name)
		session(t, s, "s-1", account(t, s))
		for _, id := range []string{"g-1", "g-2"} {
			exchanged(t, s, id, "agenda", "s-1")
		}
		check(t, "UseAssertion", s.UseAssertion(t.Context(), "agenda", "j-1", noon), nil)
		check(t, "UseAssertion", s.UseAssertion(t.Context(), "agenda", "j-2", noon.Add(4*time.Hour)), nil)
		before := noon.Add(time.Hour).UnixMilli()
		after := noon.Add(4 * time.Hour).UnixMilli()
		for i, expires := range []int64{before, after} {
			e.exec(t, name, "INSERT INTO oidc_requests (hash, client, body, created_at, expires_at) VALUES (?1, 'agenda', '{}', 0, ?2)", []byte{byte(i)}, expires)
			e.exec(t, name, `INSERT INTO oidc_devices (hash, user_code, client, scope, source, created_at, expires_at, pause, state)
				VALUES (?1, ?2, 'agenda', '', '', 0, ?3, 5, 'waiting')`, []byte{byte(i)}, fmt.Sprint(i), expires)
			e.exec(t, name, "INSERT INTO oidc_logouts (id, client, subject, sid, tries, created_at, next_at, expires_at) VALUES (?1, 'agenda', '', '', 0, 0, 0, ?2)", fmt.Sprint(i), expires)
		}
		session(t, s, "s-2", account(t, s))
		exchanged(t, s, "g-3", "agenda", "s-2") // goes with its session, and its tokens with it
		e.exec(t, name, "UPDATE sessions SET expires_at = ?1 WHERE id = 's-2'", before)
		check(t, "Sweep", s.Sweep(t.Context(), noon.Add(2*time.Hour)), nil)
		for table, want := range map[string]int{"oidc_requests": 1, "oidc_grants": 2, "oidc_tokens": 2, "oidc_devices": 1, "oidc_assertions": 1, "oidc_logouts": 1} {
			var got int
			e.scan(t, name, "SELECT count(*) FROM "+table, &got)
			if got != want {
				t.Errorf("%d %s are left, want %d", got, table, want)
			}
		}
	})
}
