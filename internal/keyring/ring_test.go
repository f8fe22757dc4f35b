package keyring_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"slices"
	"testing"

	"promess/authgw/internal/keyring"
	"promess/authgw/internal/store"
)

// Several gateways that start at once on an empty database end with the same keys, and each verifies what another signs.
func TestGatewaysThatStartAtOnceHaveTheSameKeys(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		const n = 4
		file, c := line("k1"), newClock()
		keys := keyFile(t, file)
		var stores [n]*store.Store
		for i := range stores {
			stores[i] = database(t, name)
		}
		begin, opened := make(chan struct{}), make(chan *keyring.Ring, n)
		for _, s := range stores {
			go func() {
				<-begin
				r, err := keyring.Open(t.Context(), s, keys, c.now)
				if err != nil {
					t.Error(err)
				}
				opened <- r
			}()
		}
		close(begin)
		var rings []*keyring.Ring
		for range n {
			rings = append(rings, <-opened)
		}
		if t.Failed() {
			return
		}
		for i, r := range rings[1:] {
			if !bytes.Equal(r.JWKS(), rings[0].JWKS()) {
				t.Errorf("gateway %d publishes other keys than gateway 0", i+1)
			}
			if !verifies(t, published(t, rings[0]), sign(t, r, keyring.ES256)) {
				t.Errorf("what gateway %d signs is not verified by the keys of gateway 0", i+1)
			}
			if !slices.EqualFunc(r.Cookies().Pairs(), rings[0].Cookies().Pairs(), bytes.Equal) {
				t.Errorf("gateway %d has other cookie keys than gateway 0", i+1)
			}
			if r.Pairwise("mail.example", "u") != rings[0].Pairwise("mail.example", "u") {
				t.Errorf("gateway %d knows a person by another pairwise subject than gateway 0", i+1)
			}
		}
		// The key of RS256 is made when it is needed, by one of those that need it at once.
		ids := make(chan string, n)
		for _, r := range rings {
			go func() {
				k, err := r.Signing(t.Context(), keyring.RS256)
				if err != nil {
					t.Error(err)
				}
				ids <- k.ID
			}()
		}
		first := <-ids
		for range n - 1 {
			if id := <-ids; id != first {
				t.Errorf("two gateways sign with RS256 keys %q and %q", id, first)
			}
		}
		rows, err := stores[0].Keys(t.Context())
		if err != nil || len(rows) != 4 {
			t.Errorf("the database has %d keys, %v, want one of each kind", len(rows), err)
		}
	})
}

func TestKeysAreWhatStandardsAskFor(t *testing.T) {
	each(t, func(t *testing.T, name string) {
		r := open(t, database(t, name), keyFile(t, line("k1")), newClock())
		if k, ok := signing(t, r, keyring.ES256).Signer.Public().(*ecdsa.PublicKey); !ok || k.Params().Name != "P-256" { // RFC 7518, section 3.4
			t.Errorf("ES256 signs with %T", k)
		}
		if len(published(t, r).Keys) != 1 {
			t.Error("a key of RS256 is there before anybody needs it: it takes long to make")
		}
		if k, ok := signing(t, r, keyring.RS256).Signer.Public().(*rsa.PublicKey); !ok || k.N.BitLen() != 3072 { // NIST SP 800-57: 128 bits
			t.Errorf("RS256 signs with %T", k)
		}
		for _, alg := range []string{"", "none", "HS256", "PS256", keyring.Cookie, keyring.Pairwise} {
			if _, err := r.Signing(t.Context(), alg); !errors.Is(err, keyring.ErrNoKey) {
				t.Errorf("Signing(%q) = %v, want ErrNoKey", alg, err)
			}
		}
		for _, alg := range []string{keyring.ES256, keyring.RS256} {
			if !verifies(t, published(t, r), sign(t, r, alg)) {
				t.Errorf("the key set does not verify what is signed with %s", alg)
			}
		}
		set := published(t, r)
		for _, k := range set.Keys {
			thumb, err := k.Thumbprint(crypto.SHA256)
			if err != nil || !k.IsPublic() || k.Use != "sig" || k.KeyID != base64url(thumb) {
				t.Errorf("published key %q: public %t, use %q, %v", k.KeyID, k.IsPublic(), k.Use, err)
			}
		}
		if len(r.Public()) != 2 {
			t.Errorf("Public has %d keys, want 2", len(r.Public()))
		}
		for _, pair := range slices.Collect(slices.Chunk(r.Cookies().Pairs(), 2)) {
			if len(pair) != 2 || len(pair[0]) != 32 || len(pair[1]) != 32 || bytes.Equal(pair[0], pair[1]) { // AES-256, and an HMAC key of its own (G5)
				t.Error("cookie keys are not two different ones of 32 bytes")
			}
		}
	})
}
