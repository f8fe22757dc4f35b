package store_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

func TestOpen(t *testing.T) {
	t.Run("a new file is for its owner only, and so are those beside it", func(t *testing.T) {
		dir := t.TempDir()
		s := open(t, filepath.Join(dir, "authgw.db"))
		account(t, s)
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			info, err := os.Stat(f)
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != 0o600 {
				t.Errorf("mode of %s = %o, want 600", filepath.Base(f), got)
			}
		}
	})
	t.Run("what was written is there when it is opened again", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a b%20?#;é.db") // nothing in a name is special
		s := open(t, path)
		a := account(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		got, err := open(t, path).AccountByNationalID(t.Context(), a.IDType, a.NationalID)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "account", got, a)
	})
	t.Run("a database in memory works and is nobody else's", func(t *testing.T) {
		a, b := open(t, store.Memory), open(t, store.Memory)
		account(t, a)
		_, err := b.AccountByNationalID(t.Context(), "RPPS", "99700218896")
		check(t, "the account in the other", err, store.ErrNotFound)
	})
}

// Several gateways that start at once, or one and the commands of an administrator, find the schema there.
func TestSeveralOpenOneNewDatabase(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		for range 3 {
			name := e.fresh(t)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					s, err := store.Open(t.Context(), silent(name))
					if err != nil {
						t.Error(err)
						return
					}
					defer s.Close()
					if err := s.Ping(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			var migrations int
			e.scan(t, name, "SELECT count(*) FROM goose_db_version WHERE version_id = 1", &migrations)
			if migrations != 1 {
				t.Errorf("the schema was made %d times, want once", migrations)
			}
		}
	})
}

// A program must not write to a schema that it does not know: not even to read it.
func TestOpenRefusesANewerSchema(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		open(t, name).Close()
		e.exec(t, name, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, ?1)", true)
		s, err := store.Open(t.Context(), silent(name))
		if err == nil {
			s.Close()
			t.Fatal("Open worked")
		}
		for _, word := range []string{"open database", "the schema has version 9999", "written by a newer authgw"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("Open = %v, want %q in it", err, word)
			}
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("this is no database\n", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		want       []string // words of the message
	}{
		{"a directory that is missing", filepath.Join(dir, "missing", "authgw.db"), []string{"open database", "missing/authgw.db", "no such file or directory"}},
		{"a directory in place of a file", dir, []string{"open database", dir, "is a directory"}},
		{"a file that is no database", garbage, []string{"open database", garbage, "not a database"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := store.Open(t.Context(), silent(tt.path))
			if err == nil {
				s.Close()
				t.Fatal("Open worked")
			}
			for _, word := range tt.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("Open = %v, want %q in it", err, word)
				}
			}
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "missing")); !os.IsNotExist(err) {
		t.Errorf("the missing directory was made: %v", err)
	}
	if got, err := fs.ReadFile(os.DirFS(dir), "garbage.db"); err != nil || !strings.HasPrefix(string(got), "this is no database") {
		t.Errorf("the file that is no database was changed: %.40q, %v", got, err)
	}
}

// Two gateways on one database: what one writes the other reads, and a code is used once by either.
func TestTwoStoresOnOneDatabase(t *testing.T) { eachShared(t, testTwoStoresOnOneDatabase) }

func testTwoStoresOnOneDatabase(t *testing.T, e engine) {
	name := e.fresh(t)
	stores := []*store.Store{open(t, name), open(t, name)}
	v, tok, _ := session(t, stores[0], "s-1", account(t, stores[0]))
	got, err := stores[1].SessionByToken(t.Context(), "auth.test", tok)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "session in the other", got, v)

	handle, code := hash(t, token.Handle), hash(t, token.Code)
	if err := stores[0].CreateLogin(t.Context(), handle, store.Login{Method: "card", Expires: noon.Add(time.Minute)}, noon); err != nil {
		t.Fatal(err)
	}
	once(t, func(ctx context.Context, i int) error {
		return stores[i%2].SettleLogin(ctx, handle, "card", code, token.Hash{}, nil, noon, noon.Add(time.Minute))
	})
	once(t, func(ctx context.Context, i int) error {
		_, err := stores[i%2].UseLogin(ctx, code, "card", noon)
		return err
	})
	if err := stores[1].EndSession(t.Context(), v.ID, "logout", noon); err != nil {
		t.Fatal(err)
	}
	_, err = stores[0].SessionByToken(t.Context(), "auth.test", tok)
	check(t, "session that the other ended", err, store.ErrNotFound)
}

// Sweep forgets what was over before a time, tokens included, and nothing else: not what ends at that very time, and no account.
func TestSweep(t *testing.T) { eachShared(t, testSweep) }

func testSweep(t *testing.T, e engine) {
	name := e.fresh(t)
	s := open(t, name)
	a := account(t, s)
	ctx := t.Context()
	early, late := noon.Add(-time.Millisecond), noon
	for i, tt := range []struct{ expires, ended time.Time }{
		{early, time.Time{}}, {late.Add(time.Hour), early}, {early, early}, // gone
		{late, time.Time{}}, {late.Add(time.Hour), time.Time{}}, {late.Add(time.Hour), late}, // kept
	} {
		id := string(rune('a' + i))
		v := store.Session{ID: id, Account: a, ExpiresAt: tt.expires}
		if err := s.CreateSession(ctx, v, "auth.test", hash(t, token.Session), token.Hash{}); err != nil {
			t.Fatal(err)
		}
		if err := s.AddEntry(ctx, id, "mail.test", hash(t, token.Entry), hash(t, token.State), late); err != nil {
			t.Fatal(err)
		}
		if !tt.ended.IsZero() {
			if err := s.EndSession(ctx, id, "logout", tt.ended); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.AddEntry(ctx, "e", "mail.test", hash(t, token.Entry), hash(t, token.State), early); err != nil {
		t.Fatal(err)
	}
	for _, expires := range []time.Time{early, late} {
		if err := s.CreateLogin(ctx, hash(t, token.Handle), store.Login{Method: "card", Expires: expires}, early); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Sweep(ctx, noon); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int{"sessions": 3, "session_tokens": 3, "entries": 3, "logins": 1, "accounts": 1} {
		var got int
		e.scan(t, name, "SELECT count(*) FROM "+table, &got)
		if got != want {
			t.Errorf("%d %s are left, want %d", got, table, want)
		}
	}
}

func TestClosedStore(t *testing.T) { each(t, testClosedStore) }

func testClosedStore(t *testing.T, s *store.Store) {
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "ping database") {
		t.Errorf("Ping of a closed store = %v", err)
	}
}

// A database that fails is never an answer of "not found", which would be taken for a decision (B10).
func TestFailureIsNotAbsence(t *testing.T) { each(t, testFailureIsNotAbsence) }

func testFailureIsNotAbsence(t *testing.T, s *store.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h := hash(t, token.Session)
	calls := map[string]func() error{
		"AccountBySubject":    func() error { _, err := s.AccountBySubject(ctx, "u-jeanne"); return err },
		"RefreshAccount":      func() error { _, err := s.RefreshAccount(ctx, jeanne(), noon); return err },
		"AddStructure":        func() error { return s.AddStructure(ctx, "u-jeanne", "1", "CHU", noon) },
		"StructuresOf":        func() error { _, err := s.StructuresOf(ctx, "u-jeanne"); return err },
		"EnableAccount":       func() error { return s.EnableAccount(ctx, "u-jeanne", noon) },
		"SetAddress":          func() error { return s.SetAddress(ctx, "u-jeanne", "j@example.fr", noon) },
		"SetRegistered":       func() error { return s.SetRegistered(ctx, "u-jeanne", noon) },
		"SessionsOf":          func() error { _, err := s.SessionsOf(ctx, "u-jeanne", time.Hour, noon); return err },
		"SessionHosts":        func() error { _, err := s.SessionHosts(ctx, "s"); return err },
		"TouchSessions":       func() error { return s.TouchSessions(ctx, map[string]time.Time{"s": noon}) },
		"EndSessionsOf":       func() error { _, err := s.EndSessionsOf(ctx, "u-jeanne", "", "logout", noon); return err },
		"Changes":             func() error { _, err := s.Changes(ctx, noon); return err },
		"Listen":              func() error { return s.Listen(ctx, func() {}) },
		"Ping":                func() error { return s.Ping(ctx) },
		"AccountByNationalID": func() error { _, err := s.AccountByNationalID(ctx, "RPPS", "1"); return err },
		"OpenAccount":         func() error { _, err := s.OpenAccount(ctx, jeanne(), noon); return err },
		"DisableAccount":      func() error { _, err := s.DisableAccount(ctx, "u-jeanne", noon); return err },
		"CreateSession":       func() error { return s.CreateSession(ctx, store.Session{}, "auth.test", h, h) },
		"SessionByToken":      func() error { _, err := s.SessionByToken(ctx, "auth.test", h); return err },
		"SessionByWatch":      func() error { _, err := s.SessionByWatch(ctx, h); return err },
		"TouchSession":        func() error { return s.TouchSession(ctx, "s", noon) },
		"EndSession":          func() error { return s.EndSession(ctx, "s", "logout", noon) },
		"AddEntry":            func() error { return s.AddEntry(ctx, "s", "mail.test", h, h, noon) },
		"UseEntry":            func() error { _, err := s.UseEntry(ctx, "mail.test", h, h, h, noon); return err },
		"CreateLogin":         func() error { return s.CreateLogin(ctx, h, store.Login{}, noon) },
		"FetchLogin":          func() error { _, err := s.FetchLogin(ctx, h, "card", noon); return err },
		"SettleLogin":         func() error { return s.SettleLogin(ctx, h, "card", h, h, nil, noon, noon) },
		"UseLogin":            func() error { _, err := s.UseLogin(ctx, h, "card", noon); return err },
		"LoginByWatch":        func() error { _, err := s.LoginByWatch(ctx, h, noon); return err },
		"CancelLogin":         func() error { return s.CancelLogin(ctx, h, noon) },
		"LoginOfBrowser":      func() error { _, err := s.LoginOfBrowser(ctx, h, "card", noon); return err },
		"LoginByHandle":       func() error { _, err := s.LoginByHandle(ctx, h, "qr", noon); return err },
		"AdvanceLogin":        func() error { return s.AdvanceLogin(ctx, store.Login{}, nil, false, noon) },
		"SettleWaiting":       func() error { return s.SettleWaiting(ctx, store.Login{}, nil, noon, noon) },
		"FinishLogin":         func() error { return s.FinishLogin(ctx, store.Login{}, false, noon) },
		"DropLogin":           func() error { return s.DropLogin(ctx, store.Login{}, noon) },
		"AddFactor":           func() error { _, err := s.AddFactor(ctx, store.Factor{}, nil, 1); return err },
		"Factors":             func() error { _, err := s.Factors(ctx, "u-jeanne"); return err },
		"FactorByExternal":    func() error { _, err := s.FactorByExternal(ctx, "x"); return err },
		"AdvanceFactor":       func() error { return s.AdvanceFactor(ctx, "f", 1, noon) },
		"UseFactor":           func() error { return s.UseFactor(ctx, store.Factor{}, "", noon) },
		"RemoveFactor":        func() error { return s.RemoveFactor(ctx, "u-jeanne", "f") },
		"RemoveFactors":       func() error { _, err := s.RemoveFactors(ctx, "u-jeanne", store.TOTP); return err },
		"RecoveryCodes":       func() error { _, err := s.RecoveryCodes(ctx, "f"); return err },
		"UseRecoveryCode":     func() error { _, err := s.UseRecoveryCode(ctx, "f", "m", noon); return err },
		"InvitationByToken":   func() error { _, err := s.InvitationByToken(ctx, h, noon); return err },
		"TryInvitation":       func() error { _, err := s.TryInvitation(ctx, h, noon); return err },
		"UseInvitation": func() error {
			return s.UseInvitation(ctx, store.Invitation{}, store.Factor{Kind: store.Password}, noon)
		},
		"AddGrant":       func() error { return s.AddGrant(ctx, store.Grant{}, nil, noon) },
		"GrantByID":      func() error { _, err := s.GrantByID(ctx, "g"); return err },
		"GrantOfAccess":  func() error { _, err := s.GrantOfAccess(ctx, "g", h, noon); return err },
		"GrantByRefresh": func() error { _, _, err := s.GrantByRefresh(ctx, h, noon); return err },
		"RotateRefresh":  func() error { return s.RotateRefresh(ctx, store.Rotation{}, noon) },
		"EndGrant":       func() error { return s.EndGrant(ctx, "g", noon) },
		"EndGrantsOf":    func() error { _, err := s.EndGrantsOf(ctx, "c", noon); return err },
		"EndAccess":      func() error { return s.EndAccess(ctx, h, "g", noon, noon) },
		"MoveGrants":     func() error { return s.MoveGrants(ctx, "s", "t", noon) },
		"EndExpired":     func() error { _, err := s.EndExpired(ctx, noon, noon); return err },
		"UseAssertion":   func() error { return s.UseAssertion(ctx, "c", "j", noon) },
		"AddClient":      func() error { return s.AddClient(ctx, client.Record{ID: "c"}, noon) },
		"Client":         func() error { _, err := s.Client(ctx, "c"); return err },
		"Clients":        func() error { _, err := s.Clients(ctx); return err },
		"ChangeClient":   func() error { return s.ChangeClient(ctx, client.Record{ID: "c"}, client.Record{}, noon) },
		"RemoveClient":   func() error { _, err := s.RemoveClient(ctx, "c", noon); return err },
		"BeginLoginAttempt": func() error {
			_, _, err := s.BeginLoginAttempt(ctx, []store.Counter{counter("a")}, store.Login{}, nil, noon)
			return err
		},
		"AcceptPassword": func() error {
			return s.AcceptPassword(ctx, store.Attempt{}, store.Factor{}, "", h, store.Login{}, noon)
		},
		"CompleteLogin": func() error {
			a := store.Attempt{Counters: []store.Counter{counter("a")}, Turns: []int64{1}}
			return s.CompleteLogin(ctx, a, store.FactorStep{}, store.Login{}, noon)
		},
		"Sweep": func() error { return s.Sweep(ctx, noon) },
	}
	for name, call := range calls {
		check(t, name, call(), context.Canceled)
	}
}
