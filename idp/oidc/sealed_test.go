package oidc_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"promess/authgw/idp/oidc"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/seal"
)

// E8: a sealed text opens as a whole, in its one spelling, for its purpose, and with the keys that there are.
func TestE8SealedTextsOpenWhole(t *testing.T) {
	f := newFront(t)
	code, access := oidc.NewSealer(f.ring, "authorization code"), oidc.NewSealer(f.ring, "access token")
	type said struct{ A string }
	text, err := code.Seal(said{"b"})
	if err != nil {
		t.Fatal(err)
	}
	var got said
	if !code.Open(text, &got) || got.A != "b" {
		t.Fatalf("%q opens as %+v", text, got)
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || strings.Contains(string(raw), "b\"}") {
		t.Fatalf("%q, %v: want base64url of what nobody reads", text, err)
	}
	other, err := code.Seal(said{"b"})
	if err != nil || other == text {
		t.Errorf("%q twice, %v", other, err)
	}
	raw[len(raw)/2] ^= 1
	for name, bad := range map[string]string{
		"empty": "", "cut": text[:len(text)-1], "cut in front": text[1:], "longer": text + "A", "padded": text + "=", "with a line end": text[:9] + "\n" + text[9:],
		"altered": base64.RawURLEncoding.EncodeToString(raw), "half of two": text[:len(text)/2] + other[len(other)/2:], "huge": strings.Repeat("A", 1<<20),
	} {
		if code.Open(bad, &got) {
			t.Errorf("%s: it opens", name)
		}
	}
	if access.Open(text, &got) {
		t.Error("a code is an access token")
	}
}

// G7: what comes back from outside is believed when it was sealed here, with keys that no other installation has.
func TestG7SealedTextsAreOfOneInstallation(t *testing.T) {
	here, there := newFront(t), newFront(t)
	for _, purpose := range []string{"authorization code", "access token"} {
		text, err := oidc.NewSealer(there.ring, purpose).Seal("theirs")
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if oidc.NewSealer(here.ring, purpose).Open(text, &got) {
			t.Errorf("a text of another installation opens as %s", purpose)
		}
		if !oidc.NewSealer(there.ring, purpose).Open(text, &got) || got != "theirs" {
			t.Errorf("%s: it does not open where it was made", purpose)
		}
	}
}

// Texts of before a rotation open after it; after one because of a compromise, they do not.
func TestSealedTextsFollowTheKeysOfTheRing(t *testing.T) {
	f := newFront(t)
	keys, err := seal.Parse([]byte("k1 " + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), f.Store, keys, f.Now)
	if err != nil {
		t.Fatal(err)
	}
	s := oidc.NewSealer(ring, "authorization code")
	before, err := s.Seal("before")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Rotate(t.Context(), keyring.Cookie, false); err != nil {
		t.Fatal(err)
	}
	f.Advance(keyring.Lead)
	if err := ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := s.Seal("after")
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, text := range []string{before, after} {
		if !s.Open(text, &got) {
			t.Errorf("%q does not open", text)
		}
	}
	if _, err := ring.Rotate(t.Context(), keyring.Cookie, true); err != nil {
		t.Fatal(err)
	}
	if err := ring.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{before, after} {
		if s.Open(text, &got) {
			t.Error("a text of a key that was withdrawn opens")
		}
	}
}
