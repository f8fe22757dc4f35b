package password_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"promess/authgw/internal/password"
)

// weak is the cheapest that is taken.
var weak = password.Params{Memory: 7 << 10, Time: 5, Threads: 1}

const secret = "cheval pile agrafe correcte"

func hasher(t testing.TB, p password.Params) *password.Hasher {
	t.Helper()
	h, err := password.NewHasher(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// reference computes a hash with the program of the authors of Argon2.
func reference(t testing.TB, secret, salt string, p password.Params, length int) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "argon2", salt, "-id", "-e", "-t", fmt.Sprint(p.Time), "-k", fmt.Sprint(p.Memory), "-p", fmt.Sprint(p.Threads), "-l", fmt.Sprint(length))
	cmd.Stdin = strings.NewReader(secret)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the argon2 command (Debian package argon2): %v", err)
	}
	return strings.TrimSpace(string(out))
}

func verify(t testing.TB, h *password.Hasher, stored, password string, want bool) {
	t.Helper()
	got, err := h.Verify(t.Context(), stored, password)
	if err != nil || got != want {
		t.Errorf("Verify(%q, %q) = %t, %v, want %t", stored, password, got, err, want)
	}
}

func TestHashesOfAnotherImplementation(t *testing.T) {
	h := hasher(t, password.Default)
	for _, tt := range []struct {
		salt   string
		params password.Params
		length int
	}{
		{"saltsaltsaltsalt", password.Default, 32},
		{"somesalt", password.Params{Memory: 64 << 10, Time: 1, Threads: 4}, 32},
		{"a salt of another length", password.Params{Memory: 256, Time: 3, Threads: 2}, 24},
	} {
		stored := reference(t, secret, tt.salt, tt.params, tt.length)
		verify(t, h, stored, secret, true)
		verify(t, h, stored, secret+" ", false)
		verify(t, h, stored, "", false)
		again, p, err := password.ParsedForTest(stored)
		if err != nil || again != stored || p != tt.params {
			t.Errorf("%q is read as %+v and written again as %q, %v", stored, p, again, err)
		}
	}
}

// What we hash has the form and the value that the other implementation gives it.
func TestHash(t *testing.T) {
	h := hasher(t, weak)
	one, err := h.Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.Hash(t.Context(), secret)
	if err != nil || one == other {
		t.Errorf("the second hash of a password = %q, %v, want another salt than %q", other, err, one)
	}
	if want := "$argon2id$v=19$m=7168,t=5,p=1$"; !strings.HasPrefix(one, want) || len(one) != len(want)+22+1+43 {
		t.Errorf("hash %q, want it to begin with %q and to have 16 bytes of salt and 32 of hash", one, want)
	}
	verify(t, h, one, secret, true)
	verify(t, h, one, "Cheval pile agrafe correcte", false)
	for _, none := range []string{"", strings.Repeat("a", 1025), "tab\tinside", "\xff"} {
		if got, err := h.Hash(t.Context(), none); err == nil {
			t.Errorf("Hash(%.20q) = %q", none, got)
		}
	}
}

// RFC 8265, section 4.2: one password, whatever system the keys are on.
func TestSamePasswordOnAnotherSystem(t *testing.T) {
	h := hasher(t, weak)
	stored, err := h.Hash(t.Context(), "caf\u00e9 \u0153uvre 25\u00b2")
	if err != nil {
		t.Fatal(err)
	}
	verify(t, h, stored, "cafe\u0301\u00a0\u0153uvre 25\u00b2", true) // two characters for é, and a no-break space
	verify(t, h, stored, "caf\u00e9 \u0153uvre 252", false)           // other keys
	verify(t, h, stored, "cafe \u0153uvre 25\u00b2", false)
}

// A text of the database that is no hash, or costs too much, opens nothing, and is not computed.
func TestStoredTextsThatAreRefused(t *testing.T) {
	h := hasher(t, weak)
	const salt, sum = "c2FsdHNhbHRzYWx0c2FsdA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, stored := range map[string]string{
		"gigabytes":                  "$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + sum,
		"a thousand passes":          "$argon2id$v=19$m=8192,t=1000,p=1$" + salt + "$" + sum,
		"much of both":               "$argon2id$v=19$m=262144,t=16,p=1$" + salt + "$" + sum,
		"a number that wraps":        "$argon2id$v=19$m=4294975488,t=1,p=1$" + salt + "$" + sum,
		"lanes that wrap":            "$argon2id$v=19$m=8192,t=1,p=257$" + salt + "$" + sum,
		"no passes":                  "$argon2id$v=19$m=8192,t=0,p=1$" + salt + "$" + sum,
		"no lanes":                   "$argon2id$v=19$m=8192,t=1,p=0$" + salt + "$" + sum,
		"less memory than lanes":     "$argon2id$v=19$m=15,t=1,p=2$" + salt + "$" + sum,
		"another order":              "$argon2id$v=19$t=1,m=8192,p=1$" + salt + "$" + sum,
		"a leading zero":             "$argon2id$v=19$m=08192,t=1,p=1$" + salt + "$" + sum,
		"a sign":                     "$argon2id$v=19$m=+8192,t=1,p=1$" + salt + "$" + sum,
		"Argon2i":                    "$argon2i$v=19$m=8192,t=1,p=1$" + salt + "$" + sum,
		"the version before":         "$argon2id$v=16$m=8192,t=1,p=1$" + salt + "$" + sum,
		"no version":                 "$argon2id$m=8192,t=1,p=1$" + salt + "$" + sum,
		"padding":                    "$argon2id$v=19$m=8192,t=1,p=1$" + salt + "==$" + sum,
		"a line end":                 "$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$" + sum + "\n",
		"no hash":                    "$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$",
		"a hash of one byte":         "$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$AA",
		"no salt":                    "$argon2id$v=19$m=8192,t=1,p=1$$" + sum,
		"something behind":           "$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$" + sum + "$",
		"the password itself":        secret,
		"spaces":                     " ",
		"a hash that is very long":   "$argon2id$v=19$m=8192,t=1,p=1$" + salt + "$" + strings.Repeat("A", 400),
		"bits behind the last digit": "$argon2id$v=19$m=8192,t=1,p=1$" + salt[:21] + "B$" + sum,
	} {
		t.Run(name, func(t *testing.T) {
			ok, err := h.Verify(t.Context(), stored, secret)
			if ok || err == nil {
				t.Errorf("Verify = %t, %v, want an error", ok, err)
			}
			if err != nil && strings.Contains(err.Error(), salt) {
				t.Errorf("the error repeats the hash: %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$argon2id$v=19$m=,t=,p=$$")
	f.Fuzz(func(t *testing.T, text string) {
		again, p, err := password.ParsedForTest(text)
		if err != nil {
			return
		}
		if again != text {
			t.Errorf("%q is written again as %q", text, again)
		}
		if p.Memory > 256<<10 || uint64(p.Memory)*uint64(p.Time) > 1<<20 || p.Time == 0 || p.Threads == 0 {
			t.Errorf("%q asks for %+v", text, p)
		}
	})
}

func TestParamsOutOfBounds(t *testing.T) {
	for _, p := range []password.Params{
		{}, {Memory: 19 << 10, Time: 2}, {Memory: 6 << 10, Time: 16, Threads: 1}, {Memory: 1 << 20, Time: 1, Threads: 1},
		{Memory: 19 << 10, Time: 17, Threads: 1}, {Memory: 19 << 10, Time: 2, Threads: 17}, {Memory: 7 << 10, Time: 4, Threads: 1},
		{Memory: 256 << 10, Time: 5, Threads: 1},
	} {
		if h, err := password.NewHasher(p, 0); err == nil {
			t.Errorf("NewHasher(%+v) = %v", p, h)
		}
	}
	// The choices of OWASP's Password Storage Cheat Sheet.
	for _, p := range []password.Params{
		{Memory: 47104, Time: 1, Threads: 1}, {Memory: 19456, Time: 2, Threads: 1}, {Memory: 12288, Time: 3, Threads: 1},
		{Memory: 9216, Time: 4, Threads: 1}, {Memory: 7168, Time: 5, Threads: 1},
	} {
		if _, err := password.NewHasher(p, 0); err != nil {
			t.Errorf("NewHasher(%+v): %v", p, err)
		}
	}
}

func TestNeedsRehash(t *testing.T) {
	h := hasher(t, password.Default)
	for _, tt := range []struct {
		name   string
		params string
		want   bool
	}{
		{"the same", "m=19456,t=2,p=1", false},
		{"fewer passes", "m=19456,t=1,p=1", true},
		{"less memory, and more passes", "m=12288,t=4,p=1", true},
		{"more of both", "m=65536,t=3,p=4", false},
		{"more memory, and as much work", "m=47104,t=1,p=1", false},
	} {
		stored := "$argon2id$v=19$" + tt.params + "$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		if got := h.NeedsRehash(stored); got != tt.want {
			t.Errorf("%s: NeedsRehash = %t, want %t", tt.name, got, tt.want)
		}
	}
	if h.NeedsRehash("") || h.NeedsRehash("x") {
		t.Error("what is no hash is hashed anew")
	}
}

// Lesson D16: no account, an account without a password, a wrong password, one too long, and an old hash cost the same. The memory that is
// written is what costs, and can be counted exactly where time cannot.
func TestD16EveryRefusalCostsTheSame(t *testing.T) {
	h := hasher(t, password.Default)
	stored, err := h.Hash(t.Context(), secret)
	if err != nil {
		t.Fatal(err)
	}
	half := reference(t, secret, "saltsaltsaltsalt", password.Params{Memory: 19456, Time: 1, Threads: 1}, 32)
	written := func(stored, password string, passes uint64) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		verify(t, h, stored, password, false)
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) * passes >> 20
	}
	for _, tt := range []struct {
		name, stored, password string
		passes                 uint64 // over the memory that is asked for
	}{
		{"no account", "", secret, 2},
		{"a wrong password", stored, "wrong password", 2},
		{"an empty password", stored, "", 2},
		{"no account and an empty password", "", "", 2},
		{"a long password", stored, strings.Repeat("a", 2000), 2},
	} {
		if got := written(tt.stored, tt.password, tt.passes); got < 37 || got > 40 {
			t.Errorf("%s: %d MiB written, want 38", tt.name, got)
		}
	}
	// One pass over 19 MiB, and then two over the half of it, which are missing to 38.
	if got := written(half, "wrong password", 1); got < 27 || got > 30 {
		t.Errorf("an old hash: %d MiB asked for, want 19 and 9.5", got)
	}
}

func TestFloodIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hasher(t, password.Default)
		h.FillForTest()
		results := make(chan error, password.QueueForTest)
		for range password.QueueForTest {
			go func() { results <- h.EnterForTest(t.Context()) }()
		}
		synctest.Wait()
		began := time.Now()
		if _, err := h.Verify(t.Context(), "", secret); !errors.Is(err, password.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("Verify with the queue full = %v after %v, want %v at once", err, time.Since(began), password.ErrBusy)
		}
		if _, err := h.Hash(t.Context(), secret); !errors.Is(err, password.ErrBusy) {
			t.Errorf("Hash with the queue full = %v, want %v", err, password.ErrBusy)
		}
		h.LeaveForTest()
		if err := <-results; err != nil {
			t.Errorf("who waited when a place was free: %v", err)
		}
		for range password.QueueForTest - 1 {
			if err := <-results; !errors.Is(err, password.ErrBusy) {
				t.Errorf("who waited too long got %v, want %v", err, password.ErrBusy)
			}
		}
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("the last waited %v, want 3s", waited)
		}
	})
}

// A place that had a wrong password rests, so that a flood of them leaves the processors to others; right ones have all of it.
func TestFloodOfWrongPasswordsHasAnEighthOfTheTime(t *testing.T) {
	const zeros = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, tt := range []struct {
		name   string
		takes  time.Duration // a hash
		stored string        // zeros: what the place says the hash is
		right  bool
		most   int // that are looked at in 16 s
	}{
		{"wrong", 20 * time.Millisecond, "", false, 100},
		{"right", 20 * time.Millisecond, zeros, true, 800},
		{"wrong, and each is dear", time.Second, "", false, 8}, // no rest is longer than a second
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, err := password.NewHasher(password.Default, 1)
				if err != nil {
					t.Fatal(err)
				}
				h.TakeForTest(tt.takes)
				ctx, end := context.WithTimeout(t.Context(), 16*time.Second-time.Millisecond)
				defer end()
				var judged, crowd atomic.Int64
				for range 10 {
					crowd.Add(1)
					go func() {
						defer crowd.Add(-1)
						for ctx.Err() == nil {
							right, err := h.Verify(ctx, tt.stored, secret)
							if err == nil && right == tt.right {
								judged.Add(1)
							}
						}
					}()
				}
				<-ctx.Done()
				if n := int(judged.Load()); n < tt.most-1 || n > tt.most {
					t.Errorf("%d passwords were looked at, want %d", n, tt.most)
				}
				time.Sleep(10 * time.Second) // the last ones, and the last rest
				if n := crowd.Load(); n != 0 {
					t.Errorf("%d still wait", n)
				}
			})
		})
	}
}

func TestWhoLeavesTheQueueIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := hasher(t, password.Default)
		h.FillForTest()
		ctx, leave := context.WithCancel(t.Context())
		result := make(chan error)
		go func() {
			_, err := h.Verify(ctx, "", secret)
			result <- err
		}()
		synctest.Wait()
		leave()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("Verify = %v, want %v", err, context.Canceled)
		}
		h.LeaveForTest()
		if _, err := h.Verify(ctx, "", secret); !errors.Is(err, context.Canceled) {
			t.Errorf("Verify for somebody who has gone = %v, want %v", err, context.Canceled)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	h := hasher(b, password.Default)
	stored, err := h.Hash(b.Context(), secret)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := h.Verify(b.Context(), stored, secret); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
