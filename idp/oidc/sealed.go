package oidc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"sync/atomic"

	"promess/authgw/internal/keyring"
)

// Codes and access tokens are texts that the gateways of a database seal and open again (AES-256-GCM, NIST SP 800-38D), so that nothing is written
// for one that is given: what is written is that it was used, or revoked. To everybody else they say nothing, and there is no part of one that
// is good for anything (E8). Their keys follow from those of the ring's cookies, and are replaced with them: the one before still opens.
const (
	sealedCode   = "authorization code"
	sealedAccess = "access token"
)

// maxSealed bounds what is opened, in characters. A code has a nonce in it, which has at most maxValue bytes.
const maxSealed = 8 << 10

// sealer seals for one purpose. It is safe for concurrent use.
type sealer struct {
	ring    *keyring.Ring
	purpose string
	made    atomic.Pointer[sealers]
}

// sealers are made of the ring's keys as they were. They are not changed.
type sealers struct {
	of  *keyring.CookieKeys
	all []cipher.AEAD // the first seals
}

func (s *sealer) current() []cipher.AEAD {
	of := s.ring.Cookies()
	if made := s.made.Load(); made != nil && made.of == of {
		return made.all
	}
	made := &sealers{of: of}
	for i := 1; i < len(of.Pairs()); i += 2 {
		key, err := hkdf.Key(sha256.New, of.Pairs()[i], nil, "authgw oidc v1: "+s.purpose, 32)
		if err != nil {
			panic("oidc: " + err.Error()) // 32 bytes are fewer than the 255 hashes of RFC 5869, section 2.3
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			panic("oidc: " + err.Error()) // the key has 32 bytes
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic("oidc: " + err.Error()) // AES has blocks of 16 bytes
		}
		made.all = append(made.all, aead)
	}
	s.made.Store(made)
	return made.all
}

// seal returns a text that open makes v of again.
func (s *sealer) seal(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.current()[0].Seal(nil, nil, data, nil)), nil
}

// open reads what was sealed into v, and says whether the text was sealed here, wholly, for this purpose.
func (s *sealer) open(text string, v any) bool {
	if len(text) > maxSealed {
		return false
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || base64.RawURLEncoding.EncodeToString(data) != text { // Decode passes over line ends
		return false
	}
	for _, aead := range s.current() {
		if plain, err := aead.Open(nil, nil, data, nil); err == nil {
			return json.Unmarshal(plain, v) == nil
		}
	}
	return false
}
