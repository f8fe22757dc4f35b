package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
)

// ErrNotOpened says that a text was not sealed with these keys for this purpose and owner, or was changed since.
var ErrNotOpened = errors.New("not sealed with a key of the key file for this purpose")

// Sealed texts and codes are version.id.base64url.
const version = "1"

// Seal encrypts a secret with the current key, for a purpose and for whom it belongs to (a subject, say): in the record of another, or
// in another column, it does not open. AES-256-GCM with a random nonce (NIST SP 800-38D, section 8.2.2), which holds for 2^32 texts of a
// key and a purpose.
func (k *Keys) Seal(purpose, owner string, secret []byte) string {
	one := k.current()
	sealed := one.aead(purpose).Seal(nil, nil, secret, bound(one.id, owner))
	return encode(one.id, sealed)
}

// Open returns what was sealed, or ErrNotOpened.
func (k *Keys) Open(purpose, owner, sealed string) ([]byte, error) {
	one, data, ok := k.decode(sealed)
	if !ok {
		return nil, ErrNotOpened
	}
	secret, err := one.aead(purpose).Open(nil, nil, data, bound(one.id, owner))
	if err != nil {
		return nil, ErrNotOpened // the cause is always the same
	}
	return secret, nil
}

// Stale says whether a text that opens was sealed with a key that is no longer the current one, and should be sealed anew.
func (k *Keys) Stale(sealed string) bool {
	one, _, ok := k.decode(sealed)
	return ok && one.id != k.current().id
}

// MAC returns a keyed hash of some texts in their order (HMAC-SHA256), for what has too few values to be hashed without a key: codes.
func (k *Keys) MAC(purpose string, texts ...string) string {
	one := k.current()
	return encode(one.id, one.mac(purpose, texts))
}

// Derive returns 32 bytes that only who has the current key can have, the same each time: a key for what several gateways must share.
func (k *Keys) Derive(purpose string) []byte { return k.current().derive(forDeriving, purpose) }

// CheckMAC says, in a time that does not depend on where they differ, whether mac is that of some texts under any of the keys.
func (k *Keys) CheckMAC(purpose, mac string, texts ...string) bool {
	one, data, ok := k.decode(mac)
	return ok && hmac.Equal(data, one.mac(purpose, texts))
}

func (k key) aead(purpose string) cipher.AEAD {
	block, err := aes.NewCipher(k.derive(forSealing, purpose))
	if err != nil {
		panic("seal: " + err.Error()) // the key has 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("seal: " + err.Error()) // AES has blocks of 16 bytes
	}
	return aead
}

func (k key) mac(purpose string, texts []string) []byte {
	h := hmac.New(sha256.New, k.derive(forMAC, purpose))
	h.Write(bound(texts...))
	return h.Sum(nil)
}

// bound joins texts so that no two lists of them give the same bytes: each has its length in front.
func bound(texts ...string) []byte {
	var b []byte
	for _, text := range texts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

func encode(id string, data []byte) string {
	return version + "." + id + "." + base64.RawURLEncoding.EncodeToString(data)
}

func (k *Keys) decode(text string) (key, []byte, bool) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != version || strings.ContainsAny(parts[2], "\r\n") { // which the decoder skips, strict or not
		return key{}, nil, false
	}
	one, ok := k.find(parts[1])
	if !ok {
		return key{}, nil, false
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(parts[2])
	return one, data, err == nil
}
