package throttle_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"promess/authgw/idp/throttle"
	"promess/authgw/internal/pgtest"
	"promess/authgw/internal/store"
)

// world is two gateways of one database, with an account.
type world struct {
	throttle, other *throttle.Throttle
	store           *store.Store
	now             time.Time
}

// each runs a test on each engine.
func each(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	for name, fresh := range map[string]func(testing.TB) string{
		"SQLite":     func(t testing.TB) string { return filepath.Join(t.TempDir(), "authgw.db") },
		"PostgreSQL": pgtest.Database,
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
			name := fresh(t)
			w.throttle, w.store = w.gateway(t, name)
			w.other, _ = w.gateway(t, name)
			for i, subject := range []string{"u-jeanne", "u-paul"} {
				a := store.Account{Subject: subject, IDType: "RPPS", NationalID: fmt.Sprint("81010123456", i), GivenName: "J", FamilyName: "M"}
				if _, err := w.store.OpenAccount(t.Context(), a, w.now); err != nil {
					t.Fatal(err)
				}
			}
			test(t, w)
		})
	}
}

func (w *world) gateway(t *testing.T, name string) (*throttle.Throttle, *store.Store) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Name: name, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	th, err := throttle.New(s, bytes.Repeat([]byte{7}, 32), func() time.Time { return w.now })
	if err != nil {
		t.Fatal(err)
	}
	return th, s
}

// try begins an attempt and wants it to wait so long.
func (w *world) try(t *testing.T, who throttle.Who, want time.Duration) *throttle.Attempt {
	t.Helper()
	a, wait, err := w.throttle.Begin(t.Context(), who)
	if err != nil || wait != want || (a == nil) == (wait == 0) {
		t.Fatalf("Begin = %v, %v, %v, want a wait of %v", a != nil, wait, err, want)
	}
	w.throttle, w.other = w.other, w.throttle // the next request reaches the other gateway
	return a
}

// fail tries n times at once and is never right.
func (w *world) fail(t *testing.T, who throttle.Who, n int) {
	t.Helper()
	for range n {
		w.try(t, who, 0)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// from is somebody who tries at jeanne's account from an address.
func from(source string) throttle.Who { return throttle.Who{Subject: "u-jeanne", Source: source} }

// request is one of a browser with cookies of ours.
func request(values ...string) *http.Request {
	r := httptest.NewRequest("POST", "https://auth.test/login/otp", nil)
	for _, v := range values {
		r.AddCookie(&http.Cookie{Name: "__Host-authgw-browser", Value: v})
	}
	return r
}

// remember completes a login of a person with a browser and returns the cookie that it is left with.
func (w *world) remember(t *testing.T, subject string, r *http.Request) *http.Cookie {
	t.Helper()
	b, c, err := w.throttle.Know(r, subject)
	ok(t, err)
	ok(t, w.store.RememberBrowser(t.Context(), b.Hash, subject, w.now, b.Expires))
	return c
}

// Five failures are free, then 2 s, doubling up to five minutes and never more: a stranger can bring it about.
func TestDelayGrowsAndIsBounded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fail(t, from("192.0.2.1"), 5)
		for _, seconds := range []int{2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300} {
			d := time.Duration(seconds) * time.Second
			w.try(t, from("192.0.2.1"), d)
			w.try(t, from("198.51.100.7"), d) // from wherever
			w.now = w.now.Add(d)
			w.fail(t, from("192.0.2.1"), 1)
		}
		w.now = w.now.Add(8 * time.Hour) // forgotten the next morning
		w.fail(t, from("192.0.2.1"), 5)
	})
}

// Lesson D16: an identifier that is nobody's behaves like one that is somebody's, whatever is done with it. D17: however it is typed.
func TestD16NobodyIsDelayedLikeSomebody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		spellings := []string{"899999999999", "99999999999", "8 9999 9999 999", " 899999999999\t", "999 9999 9999"}
		for i, name := range spellings {
			w.fail(t, throttle.Who{Identifier: name, Source: fmt.Sprint("192.0.2.", i)}, 1)
		}
		for _, name := range spellings {
			w.try(t, throttle.Who{Identifier: name, Source: "192.0.2.9"}, 2*time.Second)
		}
		w.fail(t, throttle.Who{Identifier: "another", Source: "192.0.2.9"}, 1)
		w.fail(t, throttle.Who{Source: "192.0.2.9"}, 5) // D8: nothing is an identifier too
		w.try(t, throttle.Who{Source: "192.0.2.9"}, 2*time.Second)
		w.try(t, throttle.Who{Identifier: "\x00", Source: "192.0.2.9"}, 2*time.Second)
	})
}

// Lesson D4: what was typed, and at which page, does not count; the account does.
func TestD4AliasesShareTheCounter(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for _, alias := range []string{"810101234560", "jeanne.martin@mssante.example", "JMARTIN", "jmartin", ""} {
			w.fail(t, throttle.Who{Subject: "u-jeanne", Identifier: alias, Source: "192.0.2.1"}, 1)
		}
		w.try(t, from("192.0.2.1"), 2*time.Second)
		w.fail(t, throttle.Who{Subject: "u-paul", Source: "192.0.2.1"}, 5)
	})
}

// A stranger who guesses against a known RPPS, and a whole hospital behind one address, delay themselves and never the person at their
// usual browser.
func TestStrangerDoesNotDelayAKnownBrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.remember(t, "u-jeanne", request())
		usual := from("192.0.2.1")
		usual.Request = request(c.Value)
		w.fail(t, from("192.0.2.1"), 5)
		w.try(t, from("192.0.2.1"), 2*time.Second)
		for i := range 95 {
			w.fail(t, throttle.Who{Identifier: fmt.Sprint("user", i), Source: "192.0.2.1"}, 1)
		}
		w.try(t, throttle.Who{Subject: "u-paul", Source: "192.0.2.1"}, time.Second) // the address is at its limit

		w.fail(t, usual, 5)
		w.try(t, usual, 2*time.Second) // who has stolen the cookie guesses no more than others
		w.now = w.now.Add(2 * time.Second)
		ok(t, w.try(t, usual, 0).Completed(t.Context()))
		w.fail(t, usual, 5)

		// For another person it is a browser like any other.
		paul := throttle.Who{Subject: "u-paul", Source: "198.51.100.7", Request: request(c.Value)}
		w.fail(t, paul, 5)
		w.try(t, throttle.Who{Subject: "u-paul", Source: "203.0.113.1"}, 2*time.Second)
	})
}

// At a workstation that several persons use, each has a count of their own: a colleague delays nobody there either.
func TestBrowserOfTwoPersonsCountsForEach(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.remember(t, "u-jeanne", request())
		w.remember(t, "u-paul", request(c.Value))
		jeanne := throttle.Who{Subject: "u-jeanne", Source: "192.0.2.1", Request: request(c.Value)}
		paul := throttle.Who{Subject: "u-paul", Source: "192.0.2.1", Request: request(c.Value)}
		w.fail(t, jeanne, 5)
		w.try(t, jeanne, 2*time.Second)
		w.fail(t, paul, 4)
		ok(t, w.try(t, paul, 0).Completed(t.Context()))
		w.try(t, jeanne, 2*time.Second) // whose failures a right login of the other does not forgive
	})
}

func TestCookieOfABrowser(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.remember(t, "u-jeanne", request())
		if c.Name != "__Host-authgw-browser" || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 365*24*3600 {
			t.Errorf("cookie = %+v", c)
		}
		if again := w.remember(t, "u-paul", request(c.Value)); again.Value != c.Value {
			t.Error("a second person at the workstation makes it unknown to the first")
		}
		planted := strings.Repeat("A", 43) // as somebody else would put into the browser
		if got := w.remember(t, "u-jeanne", request(planted)); got.Value == planted || got.Value == c.Value {
			t.Error("a cookie that nobody has signed in with is taken over")
		}
		// What is no cookie of a known browser counts for the account: B9, E8.
		w.fail(t, from("192.0.2.1"), 5)
		for name, r := range map[string]*http.Request{
			"planted": request(planted), "two cookies": request(c.Value, c.Value), "cut": request(c.Value[:42]), "empty": request(""), "none": request(),
		} {
			who := from("192.0.2.1")
			who.Request = r
			if _, wait, err := w.throttle.Begin(t.Context(), who); err != nil || wait != 2*time.Second {
				t.Errorf("%s: wait %v, %v, want that of the account", name, wait, err)
			}
		}
		w.now = w.now.Add(365 * 24 * time.Hour)
		who := from("192.0.2.1")
		who.Request = request(c.Value)
		w.fail(t, who, 5)
		w.try(t, from("192.0.2.1"), 2*time.Second) // it is known no longer, and counts for the account
	})
}

// A person who signs in often, rightly, is never delayed.
func TestRightProofsDelayNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for range 20 {
			ok(t, w.try(t, from("192.0.2.1"), 0).Succeeded(t.Context()))
			ok(t, w.try(t, from("192.0.2.1"), 0).Unjudged(t.Context()))
			ok(t, w.try(t, from("192.0.2.1"), 0).Completed(t.Context()))
		}
		// After a wait, the right password leads on to the second factor at once.
		w.fail(t, from("192.0.2.1"), 5)
		w.now = w.now.Add(2 * time.Second)
		ok(t, w.try(t, from("192.0.2.1"), 0).Succeeded(t.Context()))
		ok(t, w.try(t, from("192.0.2.1"), 0).Completed(t.Context()))
		w.fail(t, from("192.0.2.1"), 5)
	})
}

// Whoever has the password cannot guess at the second factor for ever by giving the password in between, nor use an account of their own
// to clear their network address.
func TestRightPasswordDoesNotClearTheCounter(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		guesses := 0
		for range 5 {
			ok(t, w.try(t, from("192.0.2.1"), 0).Succeeded(t.Context()))
			w.fail(t, from("192.0.2.1"), 1)
			guesses++
		}
		w.try(t, from("192.0.2.1"), 2*time.Second)

		for i := range 95 {
			w.fail(t, throttle.Who{Identifier: fmt.Sprint("user", i), Source: "192.0.2.1"}, 1)
			if i%10 == 0 {
				ok(t, w.try(t, throttle.Who{Subject: "u-paul", Source: "192.0.2.1"}, 0).Completed(t.Context()))
			}
		}
		w.try(t, throttle.Who{Subject: "u-paul", Source: "192.0.2.1"}, time.Second)
	})
}

func TestAttemptIsGivenBackOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fail(t, from("192.0.2.1"), 3)
		a := w.try(t, from("192.0.2.1"), 0)
		ok(t, a.Succeeded(t.Context()))
		for _, again := range []error{a.Succeeded(t.Context()), a.Unjudged(t.Context()), a.Completed(t.Context())} {
			if again == nil {
				t.Error("an attempt is given back twice")
			}
		}
		w.fail(t, from("192.0.2.1"), 2)
		w.try(t, from("192.0.2.1"), 2*time.Second)
	})
}

// What is one subscriber is one source, and the others are not.
func TestSources(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 100 {
			source := fmt.Sprintf("2001:db8:1:2:%x::1", i)
			w.fail(t, throttle.Who{Identifier: fmt.Sprint("user", i), Source: source}, 1)
			w.fail(t, throttle.Who{Identifier: fmt.Sprint("user", i), Source: []string{"192.0.2.1", "::ffff:192.0.2.1"}[i%2]}, 1)
			w.fail(t, throttle.Who{Identifier: fmt.Sprint("user", i), Source: []string{"", "@", "300.1.1.1", "1.2.3.4:5"}[i%4]}, 1)
		}
		for source, want := range map[string]time.Duration{
			"2001:db8:1:2:ffff::": time.Second, "2001:db8:1:3::1": 0, "192.0.2.1": time.Second, "::ffff:c000:201": time.Second, "192.0.2.2": 0, "no address": time.Second,
		} {
			_, wait, err := w.throttle.Begin(t.Context(), throttle.Who{Identifier: "one" + source, Source: source})
			if err != nil || wait != want {
				t.Errorf("from %q: wait %v, %v, want %v", source, wait, err, want)
			}
		}
		// A flood from inside holds the others up for a minute at most, and not long afterwards.
		for i := range 30 {
			_, wait, err := w.throttle.Begin(t.Context(), throttle.Who{Identifier: fmt.Sprint("flood", i), Source: "2001:db8:1:2::1"})
			if err != nil || wait > time.Minute {
				t.Fatalf("wait %v, %v", wait, err)
			}
			w.now = w.now.Add(wait)
		}
		w.now = w.now.Add(3 * time.Minute)
		w.try(t, throttle.Who{Subject: "u-paul", Source: "2001:db8:1:2::1"}, 0)
	})
}

// The help desk clears what is about a person, and every gateway knows.
func TestUnlock(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		c := w.remember(t, "u-jeanne", request())
		usual := from("192.0.2.1")
		usual.Request = request(c.Value)
		for _, who := range []throttle.Who{usual, from("192.0.2.1")} {
			w.fail(t, who, 5)
			w.try(t, who, 2*time.Second)
		}
		if n, err := w.store.ClearAttempts(t.Context(), "u-jeanne"); n != 2 || err != nil {
			t.Fatalf("ClearAttempts = %d, %v, want 2", n, err)
		}
		w.fail(t, usual, 5)
		w.fail(t, from("192.0.2.1"), 5)
	})
}

// Of a hundred guesses at once at a known account, on two gateways, five are looked at.
func TestD3HundredGuessesAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		start, results := make(chan struct{}), make(chan bool, 100)
		for i := range cap(results) {
			go func() {
				<-start
				a, wait, err := []*throttle.Throttle{w.throttle, w.other}[i%2].Begin(t.Context(), from(fmt.Sprint("192.0.2.", i)))
				if err != nil || (a == nil) == (wait == 0) {
					t.Errorf("Begin = %v, %v, %v", a != nil, wait, err)
				}
				results <- a != nil
			}()
		}
		close(start)
		let := 0
		for range cap(results) {
			if <-results {
				let++
			}
		}
		if let != 5 {
			t.Errorf("%d are let through, want 5", let)
		}
	})
}

// late is a database in which another attempt was faster, and whose wait is over already.
type late struct{ *store.Store }

func (late) BeginAttempt(_ context.Context, _ []store.Counter, now time.Time) ([]int64, time.Time, error) {
	return nil, now.Add(-time.Millisecond), nil
}

// What was not counted is not looked at, though the next attempt may be at once.
func TestAttemptThatWasTurnedAwayWaits(t *testing.T) {
	th, err := throttle.New(late{}, make([]byte, 32), time.Now)
	ok(t, err)
	if a, wait, err := th.Begin(t.Context(), from("192.0.2.1")); a != nil || wait != time.Second || err != nil {
		t.Errorf("Begin = %v, %v, %v, want a wait of a second", a, wait, err)
	}
}

// B10: what cannot be counted is not let through.
func TestB10BrokenDatabaseLetsNobodyThrough(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		ok(t, w.store.Close())
		who := from("192.0.2.1")
		for _, r := range []*http.Request{nil, request(strings.Repeat("A", 43))} {
			who.Request = r
			if a, wait, err := w.throttle.Begin(t.Context(), who); err == nil || a != nil || wait != 0 {
				t.Errorf("Begin = %v, %v, %v, want an error alone", a, wait, err)
			}
		}
		if b, c, err := w.throttle.Know(request(strings.Repeat("A", 43)), "u-jeanne"); err == nil || c != nil || b != (store.KnownBrowser{}) {
			t.Errorf("Know = %v, %v, %v, want an error alone", b, c, err)
		}
	})
	if _, err := throttle.New(nil, make([]byte, 31), time.Now); err == nil {
		t.Error("a short key is taken")
	}
}
