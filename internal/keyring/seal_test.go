package keyring_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/keyring"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// A database that is used with another key file gives its keys to nobody, and gets none that its gateways could not open.
func TestWrongKeyFileIsRefused(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		c, s, right := newClock(), database(t, name), line("k1")
		open(t, s, keyFile(t, right), c)
		before := rows(t, s)
		for what, wrong := range map[string]string{"another key of the same name": line("k1"), "a key of another name": line("k2")} {
			_, err := keyring.Open(t.Context(), s, keyFile(t, wrong), c.now)
			if err == nil || !strings.Contains(err.Error(), "keys of seal_keys: the key") {
				t.Errorf("%s: Open = %v, want an error that says seal_keys", what, err)
				continue
			}
			if strings.Contains(err.Error(), strings.Fields(wrong)[1]) || strings.Contains(err.Error(), strings.Fields(right)[1]) {
				t.Errorf("%s: the error shows a key", what)
			}
		}
		if after := rows(t, s); !slices.Equal(after, before) {
			t.Error("the keys of the database were changed")
		}
	})
}

func rows(t *testing.T, s *store.Store) []store.Key {
	t.Helper()
	all, err := s.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A new line in front of the key file seals what is new, and what there is at the next start; the keys themselves stay, also for gateways that
// do not have the new line yet.
func TestKeyFileIsReplaced(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		c, s, first, second := newClock(), database(t, name), line("k1"), line("k2")
		old := open(t, s, keyFile(t, first), c)
		old2 := open(t, database(t, name), keyFile(t, first), c)
		token := sign(t, old, keyring.ES256)

		if err := old.Use(t.Context(), keyFile(t, second, first)); err != nil {
			t.Fatal(err)
		}
		for _, row := range rows(t, s) {
			if !strings.HasPrefix(row.Sealed, "1.k2.") {
				t.Errorf("the %s key is still sealed with the old line", row.Alg)
			}
		}
		refresh(t, old2)
		alone := open(t, database(t, name), keyFile(t, second), c)
		for what, r := range map[string]*keyring.Ring{"that took the new line": old, "without the new line": old2, "with the new line alone": alone} {
			if !verifies(t, published(t, r), token) || signing(t, r, keyring.ES256).ID != signing(t, old, keyring.ES256).ID {
				t.Errorf("a gateway %s has other keys than before", what)
			}
			if r.Pairwise("s", "u") != old.Pairwise("s", "u") || !slices.EqualFunc(r.Cookies().Pairs(), old.Cookies().Pairs(), bytes.Equal) {
				t.Errorf("a gateway %s has another pairwise secret or other cookie keys", what)
			}
		}

		// What is new is sealed with the new line. A gateway without it says so, goes on with what it has, and signs with nothing withdrawn.
		rotate(t, alone, keyring.ES256, false)
		if err := old2.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "sealed with a key that the key file does not have") {
			t.Errorf("Refresh of a key that does not open = %v", err)
		}
		if !verifies(t, published(t, alone), sign(t, old2, keyring.ES256)) {
			t.Error("the gateway without the new line signs with another key than the one that is published")
		}
		rotate(t, alone, keyring.ES256, true)
		if err := old2.Refresh(t.Context()); err == nil {
			t.Error("Refresh says nothing of the key that does not open")
		}
		if k, err := old2.Signing(t.Context(), keyring.ES256); err == nil {
			t.Errorf("the gateway without the new line signs with %q, which is withdrawn", k.ID)
		}
		if len(old2.Public()) != 0 {
			t.Error("the gateway without the new line publishes withdrawn keys")
		}
		if err := old2.Use(t.Context(), keyFile(t, second, first)); err != nil {
			t.Fatal(err)
		}
		if !verifies(t, published(t, alone), sign(t, old2, keyring.ES256)) {
			t.Error("given the new line, it does not sign with the new key")
		}
	})
}

// What has expired need not open: the line that sealed it may be gone.
func TestExpiredKeyNeedNotOpen(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		c, s, file := newClock(), database(t, name), line("k1")
		r := open(t, s, keyFile(t, file), c)
		old := rotate(t, r, keyring.ES256, true).Old
		tamper(t, s, old, "1.k1.AAAA")
		open(t, s, keyFile(t, file), c)
	})
}

// tamper changes what a row has sealed, as who can write to the database and has no key file.
func tamper(t *testing.T, s *store.Store, id, sealed string) {
	t.Helper()
	for _, row := range rows(t, s) {
		if row.ID == id {
			if err := s.ResealKey(t.Context(), id, row.Sealed, sealed); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// G5, F5: a key is for one use. Who can write to the database and does not have the key file cannot make a key serve for another use, or have a
// public key of theirs published.
func TestG5KeyServesForOneUseAlone(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		c, s, file := newClock(), database(t, name), line("k1")
		r := open(t, s, keyFile(t, file), c)
		rotate(t, r, keyring.ES256, false)
		all := rows(t, s)
		for _, a := range all {
			for _, b := range all {
				if a.ID == b.ID {
					continue
				}
				tamper(t, s, a.ID, b.Sealed)
				if _, err := keyring.Open(t.Context(), s, keyFile(t, file), c.now); err == nil || !strings.Contains(err.Error(), a.ID) {
					t.Errorf("the sealed text of the %s key %q in the row of the %s key %q: %v, want it refused", b.Alg, b.ID, a.Alg, a.ID, err)
				}
				tamper(t, s, a.ID, a.Sealed)
			}
		}
		open(t, s, keyFile(t, file), c)

		// Nor does who has the key file give an algorithm a key of another kind, or another id (RFC 7638).
		keys := keyFile(t, file)
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		small, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			t.Fatal(err)
		}
		p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		for what, forged := range map[string]store.Key{
			"an RSA key for ES256":       forge(t, keys, keyring.ES256, rsaKey, ""),
			"P-384 for ES256":            forge(t, keys, keyring.ES256, p384, ""),
			"a key on a curve for RS256": forge(t, keys, keyring.RS256, p256, ""),
			"1024 bits for RS256":        forge(t, keys, keyring.RS256, small, ""),
			"another id":                 forge(t, keys, keyring.ES256, p256, "mine"),
		} {
			fresh := database(t, store.Memory)
			if err := fresh.AddFirstKey(t.Context(), forged); err != nil {
				t.Fatal(err)
			}
			if _, err := keyring.Open(t.Context(), fresh, keys, c.now); err == nil || !strings.Contains(err.Error(), "is none") {
				t.Errorf("%s: Open = %v, want it refused", what, err)
			}
		}
	})
}

// forge seals a key as the ring would, for an alg and under an id, or its own.
func forge(t *testing.T, keys *seal.Keys, alg string, k crypto.Signer, id string) store.Key {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	if id == "" {
		thumb, err := (&jose.JSONWebKey{Key: k.Public()}).Thumbprint(crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		id = base64url(thumb)
	}
	return store.Key{ID: id, Alg: alg, Sealed: keys.Seal("keyring", alg+" "+id, der), Created: newClock().now(), Active: newClock().now()}
}

// Nothing that may be printed shows a secret: rings, keys, errors, rows, what Run logs.
func TestNoKeyIsPrinted(t *testing.T) {
	c, s, file := newClock(), database(t, t.TempDir()+"/authgw.db"), line("k1")
	keys := keyFile(t, file)
	r := open(t, s, keys, c)
	k := signing(t, r, keyring.ES256)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	text := slog.New(slog.NewTextHandler(&out, nil))
	cookies := r.Cookies()
	for _, v := range []any{r, k, &k, cookies, []keyring.Key{k}, struct{ Key keyring.Key }{k}, map[string]keyring.Key{"k": k}} {
		fmt.Fprintf(&out, "%v %+v %#v\n", v, v, v)
		log.Info("x", "v", v)
		text.Info("x", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	rotate(t, open(t, s, keys, c), keyring.ES256, true)
	for _, row := range rows(t, s) {
		if row.Alg == keyring.ES256 && row.Expires.IsZero() {
			tamper(t, s, row.ID, "1.k1.AAAA")
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		r.Run(ctx, log)
	}()
	r.Changed()
	for end := time.Now().Add(30 * time.Second); len(r.Public()) > 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) { // between two looks
	}
	stop()
	<-done
	if !strings.Contains(out.String(), "keys not read again") {
		t.Error("Run says nothing of a key that does not open")
	}
	if len(r.Public()) != 0 {
		t.Error("Run did not take the withdrawal")
	}
	private, ok := k.Signer.(*ecdsa.PrivateKey)
	if !ok {
		t.Fatalf("the key that signs is a %T", k.Signer)
	}
	d, err := private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{d, cookies.Pairs()[0], cookies.Pairs()[1]} {
		// As decimal numbers, bytes in brackets, hexadecimal and base64.
		for _, shown := range []string{
			new(big.Int).SetBytes(secret).String(), strings.Trim(fmt.Sprint(secret[:8]), "[]"), fmt.Sprintf("%x", secret[:8]), fmt.Sprintf("%#v", secret[:4])[len("[]byte{"):20],
			base64.StdEncoding.EncodeToString(secret)[:10], base64url(secret)[:10],
		} {
			if strings.Contains(out.String(), shown) {
				t.Errorf("a secret is printed")
			}
		}
	}
}

// Section 8.1 of OpenID Connect Core: the same person is another at each sector, and the same for ever at one.
func TestPairwiseSubjects(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		c, s, file := newClock(), database(t, name), line("k1")
		r := open(t, s, keyFile(t, file), c)
		sub := r.Pairwise("mail.example", "u-jeanne")
		if b, err := base64.RawURLEncoding.Strict().DecodeString(sub); err != nil || len(b) != 32 {
			t.Errorf("%q is not base64url of 256 bits", sub)
		}
		for _, other := range [][2]string{{"agenda.example", "u-jeanne"}, {"mail.example", "u-paul"}, {"mail.example", "u-jeann"}, {"mail.exampleu", "-jeanne"}, {"", "mail.exampleu-jeanne"}} {
			if r.Pairwise(other[0], other[1]) == sub {
				t.Errorf("%q is the subject of %q too", sub, other)
			}
		}
		rotate(t, r, keyring.ES256, true)
		rotate(t, r, keyring.Cookie, true)
		c.advance(10 * 365 * 24 * time.Hour)
		if err := s.Sweep(t.Context(), c.now()); err != nil {
			t.Fatal(err)
		}
		if again := open(t, s, keyFile(t, line("k2"), file), c).Pairwise("mail.example", "u-jeanne"); again != sub {
			t.Errorf("after ten years and a new key file the subject is %q, want %q", again, sub)
		}
	})
	other, err := keyring.InMemory(newClock().now)
	if err != nil {
		t.Fatal(err)
	}
	if another, err := keyring.InMemory(newClock().now); err != nil || another.Pairwise("s", "u") == other.Pairwise("s", "u") {
		t.Error("two gateways without a key file have the same subjects: the secret is none")
	}
}

// BenchmarkSigning is what each assertion and token asks for.
func BenchmarkSigning(b *testing.B) {
	r, err := keyring.InMemory(time.Now)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Signing(b.Context(), keyring.ES256); err != nil {
			b.Fatal(err)
		}
	}
}
