package store_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

func TestAccounts(t *testing.T) { each(t, testAccounts) }

func testAccounts(t *testing.T, s *store.Store) {
	ctx := t.Context()
	_, err := s.AccountByNationalID(ctx, "RPPS", "99700218896")
	check(t, "account before it is opened", err, store.ErrNotFound)
	diff(t, "opened account", account(t, s), jeanne())

	renamed := jeanne()
	renamed.Subject, renamed.FamilyName, renamed.Profession, renamed.Mailbox = "u-other", "DURAND", "21", "evil@mssante.fr"
	got, err := s.OpenAccount(ctx, renamed, noon.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	want := jeanne() // a card brings names, never another subject or mailbox
	want.FamilyName, want.Profession = "DURAND", "21"
	diff(t, "account with the names of a newer card", got, want)

	// A24: identifiers compare exactly, and within their type.
	for _, id := range [][2]string{{"rpps", "99700218896"}, {"ADELI", "99700218896"}, {"RPPS", "99700218896 "}, {"RPPS", "099700218896"}, {"RPPS", ""}, {"", ""}, {"RPPS", "9970021889%"}} {
		_, err := s.AccountByNationalID(ctx, id[0], id[1])
		check(t, "account of "+strings.Join(id[:], " "), err, store.ErrNotFound)
	}
	other := jeanne()
	other.IDType, other.Subject = "ADELI", "u-adeli"
	if got, err := s.OpenAccount(ctx, other, noon); err != nil || got.Subject != "u-adeli" {
		t.Errorf("account of the same number in another type = %v, %v, want another account", got.Subject, err)
	}
	for _, change := range []func(*store.Account){
		func(a *store.Account) { a.IDType = "" }, func(a *store.Account) { a.NationalID = "" }, func(a *store.Account) { a.Subject = "" },
	} {
		a := jeanne()
		change(&a)
		if _, err := s.OpenAccount(ctx, a, noon); err == nil || err.Error() != "open account: no identifier or no subject" {
			t.Errorf("OpenAccount without one of them = %v", err)
		}
	}
	taken := jeanne()
	taken.NationalID = "1" // A25: one subject is one person
	if got, err := s.OpenAccount(ctx, taken, noon); err == nil {
		t.Errorf("OpenAccount with the subject of another = %v", got)
	}
}

// D14: who is disabled has no session on any way, and none comes back with the next card.
func TestDisabledAccount(t *testing.T) { each(t, testDisabledAccount) }

func testDisabledAccount(t *testing.T, s *store.Store) {
	ctx := t.Context()
	a := account(t, s)
	_, tok, watch := session(t, s, "s-1", a)
	entry, state := hash(t, token.Entry), hash(t, token.State)
	if err := s.AddEntry(ctx, "s-1", "mail.test", entry, state, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if ended, err := s.DisableAccount(ctx, a.Subject, noon); err != nil || len(ended) != 1 {
		t.Fatal(err)
	}
	_, err := s.SessionByToken(ctx, "auth.test", tok)
	check(t, "session by token", err, store.ErrNotFound)
	_, err = s.SessionByWatch(ctx, watch)
	check(t, "session by watch", err, store.ErrNotFound)
	_, err = s.UseEntry(ctx, "mail.test", entry, state, hash(t, token.Session), noon)
	check(t, "entry", err, store.ErrNotFound)
	check(t, "EndSession of a session that the disabling ended", s.EndSession(ctx, "s-1", "logout", noon), store.ErrNotFound)

	got, err := s.OpenAccount(ctx, jeanne(), noon)
	if err != nil || !got.Disabled {
		t.Errorf("account = %+v, %v, want it disabled still", got.Disabled, err)
	}
	// A login that was under way.
	err = s.CreateSession(ctx, store.Session{ID: "s-2", Account: a, ExpiresAt: noon.Add(time.Hour)}, "auth.test", hash(t, token.Session), token.Hash{})
	check(t, "session that is opened later", err, store.ErrNotFound)
	_, err = s.DisableAccount(ctx, "u-nobody", noon)
	check(t, "DisableAccount of nobody", err, store.ErrNotFound)
}

func TestSessions(t *testing.T) { each(t, testSessions) }

func testSessions(t *testing.T, s *store.Store) {
	ctx := t.Context()
	v, tok, watch := session(t, s, "s-1", account(t, s))
	other, otherTok, _ := session(t, s, "s-2", v.Account)
	got, err := s.SessionByToken(ctx, "auth.test", tok)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "session", got, v)
	if got, err = s.SessionByWatch(ctx, watch); err != nil {
		t.Fatal(err)
	}
	diff(t, "session by watch", got, v)

	t.Run("a token is good on its host only", func(t *testing.T) {
		for _, host := range []string{"mail.test", "AUTH.test", "", "auth.test."} {
			_, err := s.SessionByToken(ctx, host, tok)
			check(t, "session on "+host, err, store.ErrNotFound)
		}
	})
	t.Run("no session has the empty watch token", func(t *testing.T) {
		if err := s.CreateSession(ctx, store.Session{ID: "s-3", Account: v.Account}, "auth.test", hash(t, token.Session), token.Hash{}); err != nil {
			t.Fatal(err)
		}
		if err := s.CreateSession(ctx, store.Session{ID: "s-4", Account: v.Account}, "auth.test", hash(t, token.Session), token.Hash{}); err != nil {
			t.Errorf("a second session without a watch: %v", err)
		}
		_, err := s.SessionByWatch(ctx, token.Hash{})
		check(t, "session of the empty watch", err, store.ErrNotFound)
	})
	t.Run("a session of nobody is not written, nor half of one", func(t *testing.T) {
		lost := hash(t, token.Session)
		if err := s.CreateSession(ctx, store.Session{ID: "s-5", Account: store.Account{Subject: "u-nobody"}}, "auth.test", lost, token.Hash{}); err == nil {
			t.Error("a session of nobody was written")
		}
		if err := s.CreateSession(ctx, store.Session{ID: "s-5", Account: v.Account}, "auth.test", tok, token.Hash{}); err == nil {
			t.Error("a session with the token of another was written")
		}
		if err := s.CreateSession(ctx, store.Session{ID: "s-5", Account: v.Account}, "auth.test", lost, token.Hash{}); err != nil {
			t.Errorf("something was left of it: %v", err)
		}
	})
	t.Run("the time it was seen moves forward only", func(t *testing.T) {
		for _, seen := range []time.Time{noon.Add(time.Minute), noon.Add(-time.Minute)} {
			if err := s.TouchSession(ctx, "s-1", seen); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.SessionByToken(ctx, "auth.test", tok)
		if err != nil || !got.SeenAt.Equal(noon.Add(time.Minute)) {
			t.Errorf("seen at %v, %v, want a minute after noon", got.SeenAt, err)
		}
	})
	t.Run("an ended session is never found, and ends once", func(t *testing.T) {
		entry, state := hash(t, token.Entry), hash(t, token.State)
		if err := s.AddEntry(ctx, "s-1", "mail.test", entry, state, noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		once(t, func(ctx context.Context, _ int) error { return s.EndSession(ctx, "s-1", "logout", noon) })
		_, err := s.SessionByToken(ctx, "auth.test", tok)
		check(t, "session by token", err, store.ErrNotFound)
		_, err = s.SessionByWatch(ctx, watch)
		check(t, "session by watch", err, store.ErrNotFound)
		_, err = s.UseEntry(ctx, "mail.test", entry, state, hash(t, token.Session), noon)
		check(t, "entry", err, store.ErrNotFound)
		got, err := s.SessionByToken(ctx, "auth.test", otherTok)
		if err != nil {
			t.Fatal(err)
		}
		diff(t, "the other session of the person", got, other)
	})
}

// E2: each kind of token opens its own door only, even when it is the very same secret.
func TestKindsOfTokensNeverMix(t *testing.T) { each(t, testKindsOfTokensNeverMix) }

func testKindsOfTokensNeverMix(t *testing.T, s *store.Store) {
	ctx := t.Context()
	secret := token.New()
	as := func(k token.Kind) token.Hash { h, _ := token.Of(k, secret); return h }
	a := account(t, s)
	kinds := []token.Kind{token.Session, token.Browser, token.Handle, token.Code, token.Watch, token.Entry, token.State}
	doors := map[token.Kind]func(h token.Hash) error{
		token.Session: func(h token.Hash) error { _, err := s.SessionByToken(ctx, "auth.test", h); return err },
		token.Watch:   func(h token.Hash) error { _, err := s.SessionByWatch(ctx, h); return err },
		token.Browser: func(h token.Hash) error { _, err := s.LoginOfBrowser(ctx, h, "card", noon); return err },
		token.Handle:  func(h token.Hash) error { _, err := s.FetchLogin(ctx, h, "card", noon); return err },
	}
	v := store.Session{ID: "s-1", Account: a, ExpiresAt: noon.Add(time.Hour)}
	if err := s.CreateSession(ctx, v, "auth.test", as(token.Session), as(token.Watch)); err != nil {
		t.Fatal(err)
	}
	if err := s.CreateLogin(ctx, as(token.Handle), store.Login{Browser: as(token.Browser), Method: "card", Expires: noon.Add(time.Minute)}, noon); err != nil {
		t.Fatal(err)
	}
	if err := s.AddEntry(ctx, "s-1", "mail.test", as(token.Entry), as(token.State), noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for door, knock := range doors {
		for _, kind := range kinds {
			var want error
			if kind != door {
				want = store.ErrNotFound
			}
			check(t, string(kind)+" token at the door of "+string(door), knock(as(kind)), want)
		}
	}
	if err := s.SettleLogin(ctx, as(token.Handle), "card", as(token.Code), token.Hash{}, nil, noon, noon.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for _, kind := range kinds {
		if kind == token.Code {
			continue
		}
		_, err := s.UseLogin(ctx, as(kind), "card", noon)
		check(t, string(kind)+" token as a code", err, store.ErrNotFound)
	}
	for _, kind := range kinds {
		if kind == token.Entry {
			continue
		}
		_, err := s.UseEntry(ctx, "mail.test", as(kind), as(token.State), hash(t, token.Session), noon)
		check(t, string(kind)+" token as an entry", err, store.ErrNotFound)
	}
	if _, err := s.UseLogin(ctx, as(token.Code), "card", noon); err != nil {
		t.Errorf("the code itself: %v", err)
	}
	if _, err := s.UseEntry(ctx, "mail.test", as(token.Entry), as(token.State), hash(t, token.Session), noon); err != nil {
		t.Errorf("the entry itself: %v", err)
	}
}

func TestEntries(t *testing.T) { each(t, testEntries) }

func testEntries(t *testing.T, s *store.Store) {
	v, _, _ := session(t, s, "s-1", account(t, s))
	state := hash(t, token.State)
	add := func(t *testing.T) token.Hash {
		t.Helper()
		code := hash(t, token.Entry)
		if err := s.AddEntry(t.Context(), "s-1", "mail.test", code, state, noon.Add(30*time.Second)); err != nil {
			t.Fatal(err)
		}
		return code
	}
	for _, tt := range []struct {
		name  string
		host  string
		state token.Hash
		at    time.Time
	}{
		{"on another host", "other.test", state, noon},
		{"by another browser", "mail.test", hash(t, token.State), noon},
		{"late", "mail.test", state, noon.Add(30 * time.Second)},
	} {
		t.Run(tt.name+" it is refused, and used up", func(t *testing.T) {
			code := add(t)
			_, err := s.UseEntry(t.Context(), tt.host, code, tt.state, hash(t, token.Session), tt.at)
			check(t, "entry", err, store.ErrNotFound)
			_, err = s.UseEntry(t.Context(), "mail.test", code, state, hash(t, token.Session), noon)
			check(t, "the same code, all else right", err, store.ErrNotFound)
		})
	}
	t.Run("it is good once, and opens the session on its host", func(t *testing.T) {
		code, tok := add(t), hash(t, token.Session)
		once(t, func(ctx context.Context, i int) error {
			mine := tok
			mine[0] ^= byte(i)
			got, err := s.UseEntry(ctx, "mail.test", code, state, mine, noon.Add(30*time.Second-time.Millisecond))
			if err == nil {
				diff(t, "session of the entry", got, v)
				got, err = s.SessionByToken(ctx, "mail.test", mine)
				diff(t, "session of its token", got, v)
			}
			return err
		})
	})
}

func TestLogins(t *testing.T) { each(t, testLogins) }

func testLogins(t *testing.T, s *store.Store) {
	ctx := t.Context()
	begin := func(t *testing.T, at time.Time) (handle, browser token.Hash) {
		t.Helper()
		handle, browser = hash(t, token.Handle), hash(t, token.Browser)
		if err := s.CreateLogin(ctx, handle, store.Login{Browser: browser, Method: "card", Expires: at.Add(2 * time.Minute)}, at); err != nil {
			t.Fatal(err)
		}
		return handle, browser
	}
	t.Run("from beginning to end", func(t *testing.T) {
		handle, browser := begin(t, noon)
		code, watch := hash(t, token.Code), hash(t, token.Watch)
		want := store.Login{Handle: handle, Browser: browser, Method: "card", Expires: noon.Add(2 * time.Minute), Progress: []byte{}, Outcome: []byte{}}
		see := func(step string) {
			t.Helper()
			got, err := s.LoginOfBrowser(ctx, browser, "card", noon)
			if err != nil {
				t.Fatal(step, err)
			}
			diff(t, step, got, want)
		}
		see("begun")
		for range 2 { // an agent may ask again
			if expires, err := s.FetchLogin(ctx, handle, "card", noon); err != nil || !expires.Equal(want.Expires) {
				t.Fatalf("FetchLogin = %v, %v, want %v", expires, err, want.Expires)
			}
		}
		want.Fetched = true
		see("fetched")
		winner := make(chan byte, 50)
		once(t, func(ctx context.Context, i int) error {
			mine, its := code, watch
			mine[31] ^= byte(i)
			its[31] ^= byte(i)
			err := s.SettleLogin(ctx, handle, "card", mine, its, []byte(`{"ok":"é"}`), noon, noon.Add(time.Minute))
			if err == nil {
				winner <- byte(i)
			}
			return err
		})
		won := <-winner
		code[31] ^= won
		watch[31] ^= won
		want.Settled, want.Outcome, want.Watch, want.Expires = true, []byte(`{"ok":"é"}`), watch, noon.Add(time.Minute)
		see("settled")
		_, err := s.FetchLogin(ctx, handle, "card", noon)
		check(t, "FetchLogin of a settled login", err, store.ErrNotFound)
		if used, err := s.LoginByWatch(ctx, watch, noon); used || err != nil {
			t.Errorf("LoginByWatch before its use = %v, %v, want open", used, err)
		}
		once(t, func(ctx context.Context, _ int) error {
			got, err := s.UseLogin(ctx, code, "card", noon)
			if err == nil {
				diff(t, "used", got, want)
			}
			return err
		})
		_, err = s.LoginOfBrowser(ctx, browser, "card", noon)
		check(t, "LoginOfBrowser after its use", err, store.ErrNotFound)
		if used, err := s.LoginByWatch(ctx, watch, noon); !used || err != nil {
			t.Errorf("LoginByWatch after its use = %v, %v, want used", used, err)
		}
		_, err = s.LoginByWatch(ctx, watch, noon.Add(10*time.Second))
		check(t, "LoginByWatch long after its use", err, store.ErrNotFound)
		check(t, "CancelLogin after its use", s.CancelLogin(ctx, watch, noon), store.ErrNotFound)
	})
	t.Run("late, of another method, unknown", func(t *testing.T) {
		handle, browser := begin(t, noon)
		end := noon.Add(2 * time.Minute)
		_, err := s.FetchLogin(ctx, handle, "otp", noon)
		check(t, "FetchLogin of another method", err, store.ErrNotFound)
		_, err = s.FetchLogin(ctx, handle, "card", end)
		check(t, "FetchLogin late", err, store.ErrNotFound)
		_, err = s.LoginOfBrowser(ctx, browser, "card", end)
		check(t, "LoginOfBrowser late", err, store.ErrNotFound)
		code, none := hash(t, token.Code), token.Hash{}
		check(t, "SettleLogin of another method", s.SettleLogin(ctx, handle, "otp", code, none, nil, noon, end), store.ErrNotFound)
		check(t, "SettleLogin late", s.SettleLogin(ctx, handle, "card", code, none, nil, end, end.Add(time.Minute)), store.ErrNotFound)
		check(t, "SettleLogin unknown", s.SettleLogin(ctx, hash(t, token.Handle), "card", code, none, nil, noon, end), store.ErrNotFound)
		_, err = s.UseLogin(ctx, none, "card", noon) // nobody's code
		check(t, "UseLogin of the empty code", err, store.ErrNotFound)
		if err := s.SettleLogin(ctx, handle, "card", code, none, nil, noon, noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, err = s.UseLogin(ctx, code, "otp", noon)
		check(t, "UseLogin of another method", err, store.ErrNotFound)
		_, err = s.UseLogin(ctx, code, "card", noon.Add(time.Minute))
		check(t, "UseLogin late", err, store.ErrNotFound)
		_, err = s.LoginByWatch(ctx, none, noon)
		check(t, "LoginByWatch of the empty watch", err, store.ErrNotFound)
		check(t, "CancelLogin of the empty watch", s.CancelLogin(ctx, none, noon), store.ErrNotFound)
		if _, err = s.UseLogin(ctx, code, "card", noon.Add(time.Minute-time.Millisecond)); err != nil {
			t.Errorf("UseLogin in time, after the attempts: %v", err)
		}
	})
	t.Run("a cancelled login is used by nobody, and one that is used is not cancelled", func(t *testing.T) {
		handle, _ := begin(t, noon)
		code, watch := hash(t, token.Code), hash(t, token.Watch)
		if err := s.SettleLogin(ctx, handle, "card", code, watch, nil, noon, noon.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		once(t, func(ctx context.Context, i int) error {
			if i%2 == 0 {
				return s.CancelLogin(ctx, watch, noon)
			}
			_, err := s.UseLogin(ctx, code, "card", noon)
			return err
		})
	})
	t.Run("the newest of a browser counts, of each method", func(t *testing.T) {
		_, browser := begin(t, noon)
		for i, method := range []string{"otp", "otp", "card"} {
			l := store.Login{Browser: browser, Method: method, Expires: noon.Add(time.Hour), Progress: []byte{'a' + byte(i)}}
			if err := s.CreateLogin(ctx, hash(t, token.Handle), l, noon.Add(time.Duration(i)*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.LoginOfBrowser(ctx, browser, "otp", noon.Add(time.Second)); err != nil || string(got.Progress) != "b" {
			t.Errorf("LoginOfBrowser = %q, %v, want the second", got.Progress, err)
		}
	})
}

// A person in a log line is an opaque word.
func TestLogsNameNobody(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("m", "account", jeanne(), "session", store.Session{ID: "s-1", Account: jeanne()})
	for _, secret := range []string{"MARTIN", "99700218896", "JEANNE"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("log = %s, want no %s", out.String(), secret)
		}
	}
	for _, id := range []string{"u-jeanne", "s-1"} {
		if !strings.Contains(out.String(), id) {
			t.Errorf("log = %s, want %s", out.String(), id)
		}
	}
}
