package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// few are limits of the tests: three failures are free, then 2 s, doubling to 10 s; one is forgotten each minute.
var few = store.AttemptLimits{Free: 3, First: 2 * time.Second, Most: 10 * time.Second, Fade: time.Minute}

func counter(key string) store.Counter {
	return store.Counter{Key: key, Subject: "u-" + key, Limits: few}
}

// begin fails unless an attempt at some counters has to wait so long, and returns what it is given back with.
func begin(t *testing.T, s *store.Store, at time.Time, wait time.Duration, counters ...store.Counter) []int64 {
	t.Helper()
	turns, open, err := s.BeginAttempt(t.Context(), counters, at)
	if err != nil {
		t.Fatal(err)
	}
	got := time.Duration(0)
	if turns == nil {
		got = open.Sub(at)
	}
	if got != wait || (turns == nil) == (wait == 0) {
		t.Fatalf("at %v the wait is %v, want %v", at.Sub(noon), got, wait)
	}
	return turns
}

func giveBack(t *testing.T, s *store.Store, at time.Time, turns []int64, counters ...store.Counter) {
	t.Helper()
	check(t, "GiveAttemptBack", s.GiveAttemptBack(t.Context(), counters, turns, at), nil)
}

func TestFailuresDelayTheNextAttempt(t *testing.T) { each(t, testFailuresDelayTheNextAttempt) }

func testFailuresDelayTheNextAttempt(t *testing.T, s *store.Store) {
	c := counter("a")
	for range 3 {
		begin(t, s, noon, 0, c)
	}
	begin(t, s, noon, 2*time.Second, c)
	begin(t, s, noon.Add(1500*time.Millisecond), 500*time.Millisecond, c) // what is turned away is not counted
	at := noon.Add(2 * time.Second)
	for _, d := range []time.Duration{4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second, 10 * time.Second} {
		begin(t, s, at, 0, c)
		begin(t, s, at, d, c)
		at = at.Add(d)
	}
	begin(t, s, at, 0, counter("b")) // another counter
}

// A failure is forgotten after a minute, from wherever the count is; none is kept for longer than what the longest delay needs.
func TestFailuresFade(t *testing.T) { each(t, testFailuresFade) }

func testFailuresFade(t *testing.T, s *store.Store) {
	c := counter("a")
	for range 3 {
		begin(t, s, noon, 0, c)
	}
	at := noon.Add(61 * time.Second) // two are left
	begin(t, s, at, 0, c)
	begin(t, s, at, 2*time.Second, c)

	for range 50 { // far beyond the longest delay
		at = at.Add(10 * time.Second)
		begin(t, s, at, 0, c)
	}
	at = at.Add(8 * time.Minute)
	for range 3 {
		begin(t, s, at, 0, c)
	}
	begin(t, s, at, 2*time.Second, c)
}

func TestAttemptThatIsGivenBackDelaysNobody(t *testing.T) {
	each(t, testAttemptThatIsGivenBackDelaysNobody)
}

func testAttemptThatIsGivenBackDelaysNobody(t *testing.T, s *store.Store) {
	c := counter("a")
	for range 20 {
		giveBack(t, s, noon, begin(t, s, noon, 0, c), c)
	}
	for range 2 {
		begin(t, s, noon, 0, c)
	}
	giveBack(t, s, noon, begin(t, s, noon, 0, c), c) // the third is right, so the next is at once
	begin(t, s, noon, 0, c)
	begin(t, s, noon, 2*time.Second, c)

	// Of two attempts at once, that the first was right does not undo the delay of the second.
	at := noon.Add(2 * time.Second)
	first := begin(t, s, at, 0, c)
	at = at.Add(4 * time.Second)
	begin(t, s, at, 0, c)
	giveBack(t, s, at, first, c)
	begin(t, s, at, 8*time.Second, c)
}

// When one counter allows nothing, none counts.
func TestAttemptCountsEverywhereOrNowhere(t *testing.T) {
	each(t, testAttemptCountsEverywhereOrNowhere)
}

func testAttemptCountsEverywhereOrNowhere(t *testing.T, s *store.Store) {
	source, person := counter("source"), counter("person")
	for range 3 {
		begin(t, s, noon, 0, person)
	}
	for range 10 {
		begin(t, s, noon, 2*time.Second, source, person)
	}
	for range 3 {
		begin(t, s, noon, 0, source)
	}
}

func TestFailureFillsACounterOnce(t *testing.T) { each(t, testFailureFillsACounterOnce) }

func testFailureFillsACounterOnce(t *testing.T, s *store.Store) {
	c := store.Counter{Key: "a", Subject: "u-a", Limits: store.AttemptLimits{Free: 3, First: time.Hour, Most: time.Hour, Fade: time.Hour}}
	count := func(at time.Time, want bool) {
		t.Helper()
		if full, err := s.CountFailure(t.Context(), c, at); full != want || err != nil {
			t.Errorf("at %v CountFailure = %t, %v, want %t", at.Sub(noon), full, err, want)
		}
	}
	for _, want := range []bool{false, false, true, false, false} {
		count(noon, want)
	}
	count(noon.Add(59*time.Minute), false)
	count(noon.Add(time.Hour), true) // two were left
	count(noon.Add(time.Hour), false)
	count(noon.Add(24*time.Hour), false)

	// Of a hundred at once, one.
	c.Key = "b"
	results := make(chan bool, 100)
	for range cap(results) {
		go func() {
			full, err := s.CountFailure(t.Context(), c, noon)
			if err != nil {
				t.Error(err)
			}
			results <- full
		}()
	}
	fills := 0
	for range cap(results) {
		if <-results {
			fills++
		}
	}
	if fills != 1 {
		t.Errorf("%d fill the counter, want 1", fills)
	}
}

// No check before an act: of a hundred guesses at once, on two gateways, no more are looked at than of a hundred in turn (D3).
func TestD3HundredAttemptsAtOnceAreThree(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		gateways := []*store.Store{open(t, name), open(t, name)}
		counters := []store.Counter{{Key: "source", Limits: store.AttemptLimits{Free: 1000, First: time.Second, Most: time.Second, Fade: time.Second}}, counter("a")}
		for _, round := range []struct {
			at   time.Time
			want int
		}{{noon, 3}, {noon.Add(time.Second), 0}, {noon.Add(2 * time.Second), 1}, {noon.Add(4 * time.Minute), 3}} {
			start := make(chan struct{})
			results := make(chan error, 100)
			held := errors.New("held")
			for i := range cap(results) {
				go func() {
					<-start
					turns, open, err := gateways[i%2].BeginAttempt(t.Context(), counters, round.at)
					if err == nil && turns == nil {
						err = held
						if !open.After(round.at) {
							err = errors.New("held until now")
						}
					}
					results <- err
				}()
			}
			close(start)
			let := 0
			for range cap(results) {
				switch err := <-results; {
				case err == nil:
					let++
				case !errors.Is(err, held):
					t.Error(err)
				}
			}
			if let != round.want {
				t.Errorf("%v after noon, %d of a hundred are let through, want %d", round.at.Sub(noon), let, round.want)
			}
		}
	})
}

// However many attempts are begun and given back at once, nothing is left in the end.
func TestAttemptsAtOnceAreGivenBackWhole(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		many := store.Counter{Key: "a", Limits: store.AttemptLimits{Free: 100, First: time.Second, Most: time.Minute, Fade: time.Hour}}
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				turns, _, err := s.BeginAttempt(t.Context(), []store.Counter{many}, noon)
				if err != nil || turns == nil {
					t.Errorf("BeginAttempt = %v, %v", turns, err)
					return
				}
				if err := s.GiveAttemptBack(t.Context(), []store.Counter{many}, turns, noon); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		strict := counter("a")
		strict.Limits.Fade = time.Hour
		for range 3 {
			begin(t, s, noon, 0, strict)
		}
		begin(t, s, noon, 2*time.Second, strict)
	})
}

func TestHelpDeskClearsWhatIsAboutAnAccount(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s, other := open(t, name), open(t, name)
		mine, browser, theirs := counter("a"), counter("b"), counter("c")
		browser.Subject = "u-a"
		nobody := counter("d")
		nobody.Subject = ""
		for _, c := range []store.Counter{mine, browser, theirs, nobody} {
			for range 3 {
				begin(t, s, noon, 0, c)
			}
		}
		if n, err := other.ClearAttempts(t.Context(), "u-a"); err != nil || n != 2 {
			t.Errorf("ClearAttempts = %d, %v, want 2", n, err)
		}
		if n, err := other.ClearAttempts(t.Context(), ""); err == nil {
			t.Errorf("ClearAttempts of nobody = %d", n)
		}
		begin(t, s, noon, 0, mine)
		begin(t, s, noon, 0, browser)
		begin(t, s, noon, 2*time.Second, theirs)
		begin(t, s, noon, 2*time.Second, nobody)
		check(t, "ClearCounter", s.ClearCounter(t.Context(), "c"), nil)
		begin(t, s, noon, 0, theirs)
	})
}

func TestKnownBrowsers(t *testing.T) { each(t, testKnownBrowsers) }

func testKnownBrowsers(t *testing.T, s *store.Store) {
	a := account(t, s)
	browser, other := hash(t, token.Known), hash(t, token.Known)
	knows := func(h token.Hash, subject string, at time.Time, person, anybody bool) {
		t.Helper()
		p, any, err := s.KnowsBrowser(t.Context(), h, subject, at)
		if err != nil || p != person || any != anybody {
			t.Errorf("KnowsBrowser = %t, %t, %v, want %t, %t", p, any, err, person, anybody)
		}
	}
	knows(browser, a.Subject, noon, false, false)
	check(t, "RememberBrowser", s.RememberBrowser(t.Context(), browser, a.Subject, noon, noon.Add(time.Hour)), nil)
	knows(browser, a.Subject, noon, true, true)
	knows(browser, "u-other", noon, false, true)
	knows(browser, "", noon, false, true)
	knows(other, a.Subject, noon, false, false)
	knows(browser, a.Subject, noon.Add(time.Hour), false, false) // E9
	check(t, "RememberBrowser", s.RememberBrowser(t.Context(), browser, a.Subject, noon, noon.Add(2*time.Hour)), nil)
	knows(browser, a.Subject, noon.Add(time.Hour), true, true)
	if err := s.RememberBrowser(t.Context(), browser, "u-nobody", noon, noon.Add(time.Hour)); err == nil {
		t.Error("a browser is known to nobody")
	}
}

func TestSweepForgetsAttemptsAndBrowsers(t *testing.T) {
	eachShared(t, func(t *testing.T, e engine) {
		name := e.fresh(t)
		s := open(t, name)
		a := account(t, s)
		begin(t, s, noon, 0, counter("old"))
		begin(t, s, noon.Add(time.Hour), 0, counter("new"))
		check(t, "RememberBrowser", s.RememberBrowser(t.Context(), hash(t, token.Known), a.Subject, noon, noon.Add(time.Minute)), nil)
		check(t, "RememberBrowser", s.RememberBrowser(t.Context(), hash(t, token.Known), a.Subject, noon, noon.Add(2*time.Hour)), nil)
		check(t, "Sweep", s.Sweep(t.Context(), noon.Add(time.Hour)), nil)
		for _, table := range []string{"attempts", "known_browsers"} {
			var n int
			e.scan(t, name, "SELECT count(*) FROM "+table, &n)
			if n != 1 {
				t.Errorf("%d rows of %s are left, want 1", n, table)
			}
		}
	})
}

// BenchmarkBeginAttempt: the first is the attempt of somebody who signs in, the second one that a flood is turned away with.
func BenchmarkBeginAttempt(b *testing.B) {
	s := newStore(b)
	counters := []store.Counter{
		{Key: "source", Limits: store.AttemptLimits{Free: 100, First: time.Second, Most: time.Minute, Fade: 20 * time.Second}},
		{Key: "account", Limits: few},
	}
	b.Run("right", func(b *testing.B) {
		for b.Loop() {
			turns, _, err := s.BeginAttempt(context.Background(), counters, noon)
			if err == nil {
				err = s.GiveAttemptBack(context.Background(), counters, turns, noon)
			}
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("turned away", func(b *testing.B) {
		for range 3 {
			s.BeginAttempt(context.Background(), counters, noon)
		}
		for b.Loop() {
			if turns, _, err := s.BeginAttempt(context.Background(), counters, noon); turns != nil || err != nil {
				b.Fatal(turns, err)
			}
		}
	})
}
