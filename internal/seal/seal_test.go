package seal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"promess/authgw/internal/seal"
)

// line is a line of a key file, as the documented command writes it.
func line(t testing.TB, id string) string {
	t.Helper()
	secret := make([]byte, 32)
	rand.Read(secret)
	return id + " " + base64.StdEncoding.EncodeToString(secret) + "\n"
}

func parse(t testing.TB, file string) *seal.Keys {
	t.Helper()
	k, err := seal.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyFileThatIsRefused(t *testing.T) {
	good := line(t, "k1")
	secret := strings.Fields(good)[1]
	for _, tt := range []struct{ name, file, want string }{
		{"empty", "", "no key in it"},
		{"comments alone", "# k1\n\n", "no key in it"},
		{"a key without an id", secret + "\n", "line 1: an id and a key"},
		{"an id without a key", "k1\n", "line 1: an id and a key"},
		{"three words", "k1 " + secret + " old\n", "line 1: an id and a key"},
		{"a capital in the id", "K1 " + secret + "\n", "line 1: an id of 1 to 32"},
		{"a dot in the id", "k.1 " + secret + "\n", "line 1: an id of 1 to 32"},
		{"a short key", "k1 " + base64.StdEncoding.EncodeToString(make([]byte, 31)) + "\n", "line 1: 32 bytes"},
		{"a long key", "k1 " + base64.StdEncoding.EncodeToString(make([]byte, 33)) + "\n", "line 1: 32 bytes"},
		{"hexadecimal", "k1 " + strings.Repeat("ab", 32) + "\n", "line 1: 32 bytes"},
		{"an id twice", good + line(t, "k1"), `line 2: a second key with the id "k1"`},
		{"a key under two ids", good + "k2 " + secret + "\n", `line 2: the key "k2" has the secret of "k1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := seal.Parse([]byte(tt.file))
			if k != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Parse = %v, %v, want an error with %q", k, err, tt.want)
			}
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestSealedTextOpens(t *testing.T) {
	k := parse(t, "# of this gateway\n\n"+line(t, "k1"))
	for _, secret := range []string{"", "a", strings.Repeat("seed", 1000)} {
		sealed := k.Seal("totp", "u-jeanne", []byte(secret))
		if len(secret) > 8 && strings.Contains(sealed, secret) { // a letter is in any text
			t.Errorf("the sealed text %q holds the secret", sealed)
		}
		got, err := k.Open("totp", "u-jeanne", sealed)
		if err != nil || string(got) != secret {
			t.Errorf("Open = %q, %v, want %q", got, err, secret)
		}
		if again := k.Seal("totp", "u-jeanne", []byte(secret)); again == sealed {
			t.Error("a text sealed twice looks the same, which tells that it is")
		}
	}
}

func TestSealedTextOpensNowhereElse(t *testing.T) {
	k := parse(t, line(t, "k1"))
	sealed := k.Seal("totp", "u-jeanne", []byte("seed"))
	version, rest, _ := strings.Cut(sealed, ".")
	id, data, _ := strings.Cut(rest, ".")
	raw, err := base64.RawURLEncoding.DecodeString(data)
	if err != nil || id != "k1" {
		t.Fatalf("sealed text %q, want version, key id and base64url", sealed)
	}
	raw[len(raw)-1] ^= 1
	for _, tt := range []struct {
		name                   string
		keys                   *seal.Keys
		purpose, owner, sealed string
	}{
		{"another purpose", k, "refresh", "u-jeanne", sealed},
		{"the record of another", k, "totp", "u-paul", sealed},
		{"the border between purpose and owner moved", k, "totpu", "-jeanne", sealed},
		{"another key of the same id", parse(t, line(t, "k1")), "totp", "u-jeanne", sealed},
		{"a key that is not there", parse(t, line(t, "k2")), "totp", "u-jeanne", sealed},
		{"one bit changed", k, "totp", "u-jeanne", "1.k1." + base64.RawURLEncoding.EncodeToString(raw)},
		{"cut", k, "totp", "u-jeanne", sealed[:len(sealed)-4]},
		{"with a line break", k, "totp", "u-jeanne", sealed + "\n"},
		{"another version", k, "totp", "u-jeanne", "2" + strings.TrimPrefix(sealed, version)},
		{"a MAC", k, "totp", "u-jeanne", k.MAC("totp", "u-jeanne")},
		{"empty", k, "totp", "u-jeanne", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.keys.Open(tt.purpose, tt.owner, tt.sealed)
			if got != nil || !errors.Is(err, seal.ErrNotOpened) {
				t.Errorf("Open = %q, %v, want ErrNotOpened", got, err)
			}
		})
	}
}

func TestRotationSealsWithTheNewKeyAndOpensTheOld(t *testing.T) {
	old, next := line(t, "k1"), line(t, "k2")
	before := parse(t, old)
	sealed, mac := before.Seal("totp", "u", []byte("seed")), before.MAC("code", "u", "12345678")

	after := parse(t, next+old)
	if got, err := after.Open("totp", "u", sealed); err != nil || string(got) != "seed" {
		t.Errorf("Open of what the old key sealed = %q, %v", got, err)
	}
	if !after.CheckMAC("code", mac, "u", "12345678") {
		t.Error("a MAC of the old key is not taken")
	}
	if !after.Stale(sealed) || after.Stale(after.Seal("totp", "u", nil)) {
		t.Error("Stale does not tell the old key from the new")
	}
	if _, err := before.Open("totp", "u", after.Seal("totp", "u", []byte("seed"))); !errors.Is(err, seal.ErrNotOpened) {
		t.Errorf("the old key opens what was sealed after the rotation: %v", err)
	}
	if _, err := parse(t, next).Open("totp", "u", sealed); !errors.Is(err, seal.ErrNotOpened) {
		t.Errorf("without the old key: %v, want ErrNotOpened", err)
	}
}

// Lesson D3: a code is good for one purpose, one person, one session.
func TestD3MACHoldsForItsTextsAlone(t *testing.T) {
	k := parse(t, line(t, "k1"))
	mac := k.MAC("code", "u-jeanne", "s-1", "12345678")
	if !k.CheckMAC("code", mac, "u-jeanne", "s-1", "12345678") {
		t.Fatal("the MAC does not hold for what it was made of")
	}
	if strings.Contains(mac, "12345678") {
		t.Error("the MAC shows the code")
	}
	for _, tt := range []struct {
		name, purpose, mac string
		texts              []string
	}{
		{"another code", "code", mac, []string{"u-jeanne", "s-1", "12345679"}},
		{"another session", "code", mac, []string{"u-jeanne", "s-2", "12345678"}},
		{"another purpose", "login", mac, []string{"u-jeanne", "s-1", "12345678"}},
		{"borders moved", "code", mac, []string{"u-jeannes", "-1", "12345678"}},
		{"texts joined", "code", mac, []string{"u-jeannes-112345678"}},
		{"nothing", "code", "", nil},
		{"no hash", "code", "1.k1.", []string{"u-jeanne", "s-1", "12345678"}},
	} {
		if k.CheckMAC(tt.purpose, tt.mac, tt.texts...) {
			t.Errorf("%s: taken", tt.name)
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	l := line(t, "k1")
	k := parse(t, l)
	var b bytes.Buffer
	slog.New(slog.NewTextHandler(&b, nil)).Info("start", "keys", k)
	fmt.Fprintf(&b, "%v %+v %#v %s", k, k, k, k)
	secret, err := base64.StdEncoding.DecodeString(strings.Fields(l)[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{strings.Fields(l)[1], fmt.Sprint(secret), fmt.Sprintf("%#v", secret), string(secret)} {
		if strings.Contains(b.String(), shown) {
			t.Error("a key is printed")
		}
	}
}

// table is a database of proofs.
type table struct {
	proofs map[string][]byte
	adding func() // is called before a proof is added
}

func (d *table) SealProofs(context.Context) (map[string][]byte, error) {
	return maps.Clone(d.proofs), nil
}

func (d *table) AddSealProof(_ context.Context, id string, proof []byte) error {
	if d.adding != nil {
		d.adding()
	}
	if _, ok := d.proofs[id]; !ok {
		d.proofs[id] = proof
	}
	return nil
}

func TestWrongKeysRefuseToStart(t *testing.T) {
	k1, k2, k3 := line(t, "k1"), line(t, "k2"), line(t, "k3")
	for _, tt := range []struct {
		name    string
		before  string // file of an earlier start, empty: there was none
		now     string // empty: no key file
		refused string // part of the message; empty: it starts
	}{
		{"no keys were ever used", "", "", ""},
		{"the first keys", "", k1, ""},
		{"the same keys", k1, k1, ""},
		{"a new key in front", k1, k2 + k1, ""},
		{"an old key taken out after the rotation", k2 + k1, k2, ""},
		{"a new key in front and the oldest taken out", k2 + k1, k3 + k2, ""},
		{"other random bytes under the same id", k1, line(t, "k1"), `the key "k1" of the key file is not the one`},
		{"one of two is another", k2 + k1, k2 + line(t, "k1"), `the key "k1" of the key file is not the one`},
		{"all keys replaced at once", k2 + k1, k3, "has none of the keys that the database was used with (k1, k2)"},
		{"the key file left out of the configuration", k1, "", "(its keys: k1)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			db := &table{proofs: map[string][]byte{}}
			if tt.before != "" {
				if err := seal.VerifyKeys(t.Context(), parse(t, tt.before), db); err != nil {
					t.Fatal(err)
				}
			}
			var keys *seal.Keys
			if tt.now != "" {
				keys = parse(t, tt.now)
			}
			known := len(db.proofs)
			err := seal.VerifyKeys(t.Context(), keys, db)
			switch {
			case tt.refused == "" && err != nil:
				t.Errorf("VerifyKeys = %v", err)
			case tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)):
				t.Errorf("VerifyKeys = %v, want an error with %q", err, tt.refused)
			case tt.refused != "" && len(db.proofs) != known:
				t.Error("keys that were refused are known to the database now")
			}
		})
	}
}

func TestTwoGatewaysThatIntroduceDifferentKeysAtOnce(t *testing.T) {
	db := &table{proofs: map[string][]byte{}}
	other := parse(t, line(t, "k1"))
	db.adding = func() { // the other gateway is faster, once
		db.adding = nil
		if err := seal.VerifyKeys(t.Context(), other, db); err != nil {
			t.Error(err)
		}
	}
	if err := seal.VerifyKeys(t.Context(), parse(t, line(t, "k1")), db); err == nil || !strings.Contains(err.Error(), `the key "k1"`) {
		t.Errorf("VerifyKeys = %v, want that k1 is another gateway's", err)
	}
}

func FuzzOpen(f *testing.F) {
	k := parse(f, "k1 "+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)))
	good := k.Seal("p", "o", []byte("secret"))
	f.Add(good)
	f.Add(k.MAC("p", "o"))
	f.Add("1.k1.")
	f.Fuzz(func(t *testing.T, sealed string) {
		if got, err := k.Open("p", "o", sealed); err == nil && (sealed != good || string(got) != "secret") {
			t.Errorf("%q opens as %q", sealed, got)
		} else if err != nil && got != nil {
			t.Errorf("%q gives %q beside an error", sealed, got)
		}
		if k.CheckMAC("p", sealed, "never made") {
			t.Errorf("%q is taken for a MAC", sealed)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("k1 " + base64.StdEncoding.EncodeToString(make([]byte, 32))))
	f.Add([]byte("# nothing\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, err := seal.Parse(file)
		if (k == nil) == (err == nil) {
			t.Fatalf("Parse = %v, %v", k, err)
		}
		if err == nil {
			if got, err := k.Open("p", "o", k.Seal("p", "o", []byte("x"))); err != nil || string(got) != "x" {
				t.Errorf("keys that were read do not open what they seal: %v", err)
			}
		}
	})
}

func BenchmarkMAC(b *testing.B) {
	k := parse(b, line(b, "k1"))
	b.ReportAllocs()
	for b.Loop() {
		k.MAC("code", "u-jeanne", "s-1", "12345678")
	}
}
