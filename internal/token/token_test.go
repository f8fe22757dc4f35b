package token_test

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"testing"

	"promess/authgw/internal/token"
)

func TestTokenIs256RandomBits(t *testing.T) {
	// E8: ids come from a CSPRNG and hold at least 128 bits.
	seen := map[string]bool{}
	for range 1000 {
		s := token.New()
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(raw) != 32 {
			t.Fatalf("New() = %q: %d bytes, error %v; want 32 bytes of base64url", s, len(raw), err)
		}
		if seen[s] {
			t.Fatalf("New() gave %q twice", s)
		}
		seen[s] = true
	}
}

func TestHashIsSHA256OfKindAndBytes(t *testing.T) {
	s := base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	got, ok := token.Of(token.Session, s)
	want := sha256.Sum256([]byte("session\x00" + strings.Repeat("k", 32)))
	if !ok || got != token.Hash(want) {
		t.Errorf("Of(session, kkk…) = %x, %v; want %x", got, ok, want)
	}
}

func TestKindsNeverMeet(t *testing.T) {
	// E2: a temporary record can never be used as a session id.
	s := token.New()
	kinds := []token.Kind{token.Session, token.Browser, token.Handle, token.Code, token.Watch, token.Entry, token.State, token.Known, token.Phone, token.Invite,
		token.Request, token.Refresh, token.Device, token.Secret, token.Leave}
	seen := map[token.Hash]token.Kind{}
	for _, k := range kinds {
		h, ok := token.Of(k, s)
		if !ok {
			t.Fatalf("Of(%s) refused a fresh token", k)
		}
		if other, dup := seen[h]; dup {
			t.Errorf("Of(%s) and Of(%s) agree on one token", k, other)
		}
		seen[h] = k
	}
}

func TestOfRefusesWhatIsNotWhole(t *testing.T) {
	// E8: truncated or altered tokens are refused, never compared by a prefix.
	whole := token.New()
	for name, s := range map[string]string{
		"empty":                    "",
		"one character short":      whole[:42],
		"one character long":       whole + "A",
		"padding":                  whole[:42] + "=",
		"standard base64":          strings.Repeat("+", 43),
		"a space":                  whole[:42] + " ",
		"a line end inside":        whole[:20] + "\n" + whole[21:],
		"non-canonical last digit": strings.Repeat("A", 42) + "B",
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok := token.Of(token.Session, s); ok {
				t.Errorf("Of(%q) took it", s)
			}
		})
	}
}

func FuzzOf(f *testing.F) {
	f.Add(token.New())
	f.Add(strings.Repeat("A", 43))
	f.Fuzz(func(t *testing.T, s string) {
		h, ok := token.Of(token.Code, s)
		if !ok {
			if h != (token.Hash{}) {
				t.Errorf("Of(%q) refused and still gave a hash", s)
			}
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != s {
			t.Errorf("Of(%q) took a spelling that is not the canonical one", s)
		}
	})
}
