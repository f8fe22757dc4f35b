package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Bounds of a client's keys.
const (
	maxKeys    = 10
	maxJWKS    = 64 << 10
	minRSABits = 2048
	maxRSABits = 8192
)

// jwk is what is read of a key (RFC 7517, section 4; RFC 7518, section 6). Members that are not here say nothing about it that matters.
type jwk struct {
	Kty string   `json:"kty"`
	Kid string   `json:"kid"`
	Use string   `json:"use"`
	Ops []string `json:"key_ops"`
	Alg string   `json:"alg"`
	Crv string   `json:"crv"`
	X   string   `json:"x"`
	Y   string   `json:"y"`
	N   string   `json:"n"`
	E   string   `json:"e"`

	// What a public key does not have.
	D json.RawMessage `json:"d"`
	P json.RawMessage `json:"p"`
	Q json.RawMessage `json:"q"`
	K json.RawMessage `json:"k"`
	// Where one would be fetched from, which nobody does (F10).
	X5U json.RawMessage `json:"x5u"`
}

// parseKeys reads a JWK set of public keys, each with an id of its own.
func parseKeys(data []byte) (map[string]Key, error) {
	if len(data) > maxJWKS {
		return nil, fmt.Errorf("a JWK set of at most %d bytes expected, one of %d given", maxJWKS, len(data))
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, errors.New(`a JWK set {"keys":[…]} expected, something else given`) // not err: it may quote a private key
	}
	if len(set.Keys) == 0 || len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("a JWK set of 1 to %d keys expected, one of %d given", maxKeys, len(set.Keys))
	}
	keys := map[string]Key{}
	for i, k := range set.Keys {
		key, err := k.public()
		switch _, twice := keys[k.Kid]; {
		case err != nil:
			return nil, fmt.Errorf("key %d of the JWK set: %w", i+1, err)
		case twice:
			return nil, fmt.Errorf("key %d of the JWK set: a kid of its own expected, %s given twice", i+1, quote(k.Kid))
		}
		keys[k.Kid] = key
	}
	return keys, nil
}

func (k jwk) public() (Key, error) {
	switch {
	case k.D != nil || k.P != nil || k.Q != nil || k.K != nil:
		return Key{}, errors.New("a public key expected, a private or shared one given: it is not secret any more, make another, and give its public part")
	case k.X5U != nil:
		return Key{}, errors.New("x5u is in it, and nothing is fetched: take it out")
	case k.Kid == "" || len(k.Kid) > 200:
		return Key{}, errors.New("a kid of 1 to 200 characters expected, by which the key is found")
	case k.Use != "" && k.Use != "sig" || k.Ops != nil && !slices.Contains(k.Ops, "verify"):
		return Key{}, errors.New("a key for signatures expected, one for something else given")
	}
	switch k.Kty {
	case "EC":
		return k.elliptic()
	case "RSA":
		return k.rsa()
	}
	return Key{}, fmt.Errorf("kty EC or RSA expected, %s given", quote(k.Kty))
}

func (k jwk) elliptic() (Key, error) {
	x, errX := base64.RawURLEncoding.Strict().DecodeString(k.X)
	y, errY := base64.RawURLEncoding.Strict().DecodeString(k.Y)
	if k.Crv != "P-256" || k.Alg != "" && k.Alg != "ES256" || errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
		return Key{}, errors.New("a key on the curve P-256, for ES256, expected, something else given")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return Key{}, errors.New("a point of the curve P-256 expected, another given")
	}
	return Key{"ES256", public}, nil
}

func (k jwk) rsa() (Key, error) {
	n, errN := base64.RawURLEncoding.Strict().DecodeString(k.N)
	e, errE := base64.RawURLEncoding.Strict().DecodeString(k.E)
	alg := k.Alg
	if alg == "" {
		alg = "RS256"
	}
	if errN != nil || errE != nil || len(e) == 0 || len(e) > 4 || alg != "RS256" && alg != "PS256" {
		return Key{}, errors.New("an RSA key, for RS256 or PS256, expected, something else given")
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	switch bits := public.N.BitLen(); {
	case bits < minRSABits || bits > maxRSABits:
		return Key{}, fmt.Errorf("an RSA key of %d to %d bits expected, one of %d given", minRSABits, maxRSABits, bits)
	case public.E < 65537 || public.E&1 == 0 || public.N.Bit(0) == 0:
		return Key{}, errors.New("an RSA key with an odd exponent from 65537 on expected, another given")
	}
	return Key{alg, public}, nil
}
