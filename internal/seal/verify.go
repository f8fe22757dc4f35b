package seal

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Proofs is where a database keeps which keys it was used with.
type Proofs interface {
	// SealProofs returns the proofs by the ids of their keys.
	SealProofs(ctx context.Context) (map[string][]byte, error)
	// AddSealProof notes a key, unless its id is there.
	AddSealProof(ctx context.Context, id string, proof []byte) error
}

// VerifyKeys refuses keys that are not those of a database, before anything is sealed that nobody opens again, and makes new ones known
// to it. keys is nil where there is no key file: a database that was never used with one needs none.
func VerifyKeys(ctx context.Context, keys *Keys, db Proofs) error {
	known, err := db.SealProofs(ctx)
	if err != nil {
		return err
	}
	if keys == nil {
		if len(known) > 0 {
			return fmt.Errorf("the database holds texts that were sealed with a key file (its keys: %s) and the configuration names none: "+
				"set seal_keys to that file", list(known))
		}
		return nil
	}
	recognised := len(known) == 0
	for _, one := range keys.all {
		proof, ok := known[one.id]
		if !ok {
			continue
		}
		if !hmac.Equal(proof, one.proof()) {
			return wrongKey(one.id)
		}
		recognised = true
	}
	if !recognised {
		return fmt.Errorf("the key file has none of the keys that the database was used with (%s): give the right file, or keep an old key "+
			"behind the new one", list(known))
	}
	return keys.introduce(ctx, known, db)
}

// introduce makes the keys known that are not. Another gateway may do the same with a file of its own, so what is there in the end counts.
func (k *Keys) introduce(ctx context.Context, known map[string][]byte, db Proofs) error {
	for _, one := range k.all {
		if _, ok := known[one.id]; ok {
			continue
		}
		if err := db.AddSealProof(ctx, one.id, one.proof()); err != nil {
			return err
		}
	}
	known, err := db.SealProofs(ctx)
	if err != nil {
		return err
	}
	for _, one := range k.all {
		if !hmac.Equal(known[one.id], one.proof()) {
			return wrongKey(one.id)
		}
	}
	return nil
}

func wrongKey(id string) error {
	return fmt.Errorf("the key %q of the key file is not the one that the database was used with: give the right file; a new key needs a new id", id)
}

// proof tells a key from others and says nothing of it.
func (k key) proof() []byte {
	h := hmac.New(sha256.New, k.derive(forProof, ""))
	h.Write([]byte(k.id))
	return h.Sum(nil)
}

// list names keys, in order.
func list(known map[string][]byte) string { return strings.Join(slices.Sorted(maps.Keys(known)), ", ") }
