package keyring

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha256" // RFC 7638 thumbprints
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// What keys are for. A key is used for one of these alone (G5, F5).
const (
	ES256    = "ES256"
	RS256    = "RS256"
	Cookie   = "cookie"
	Pairwise = "pairwise"
)

// purpose is what keys are sealed for; each for its own use and id, so that a row cannot be given another's secret.
const purpose = "keyring"

const (
	rsaBits    = 3072 // as strong as P-256: NIST SP 800-57 part 1, table 2
	rsaLeast   = 2048 // RFC 7518, section 3.3
	secretSize = 32
	pairSize   = 2 * secretSize // of a cookie: what authenticates it, and what encrypts it
)

// Key signs. It does not print.
type Key struct {
	ID     string        // kid: the thumbprint of RFC 7638
	Alg    string        // ES256 or RS256
	Signer crypto.Signer `json:"-"`
}

// LogValue keeps the private half out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.ID) }

// String and GoString keep it out of errors and of what tests print.
func (k Key) String() string   { return "key " + k.ID }
func (k Key) GoString() string { return k.String() }

// held is a key in memory. Its secret is not changed; times are, by a new one.
type held struct {
	id, alg                  string
	created, active, expires time.Time // expires: zero for the newest

	signer crypto.Signer   // of keys that sign
	public jose.JSONWebKey // of these too
	jwk    []byte          // public, as JSON
	secret []byte          // of the others

	volatile bool // it is in no database
}

// at returns the key with the times of its row.
func (h *held) at(row store.Key) *held {
	k := *h
	k.created, k.active, k.expires = row.Created, row.Active, row.Expires
	return &k
}

// over returns the key as one that something takes the place of now, unless it has happened.
func (h *held) over(now time.Time) *held {
	if !h.expires.IsZero() {
		return h
	}
	old := *h
	old.expires = now.Add(Overlap)
	return &old
}

func signs(alg string) bool { return alg == ES256 || alg == RS256 }

// generate makes a new key. The newest is active at once.
func generate(alg string, now time.Time) (*held, error) {
	h := &held{alg: alg, created: now, active: now}
	var err error
	switch alg {
	case ES256:
		h.signer, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		h.signer, err = rsa.GenerateKey(rand.Reader, rsaBits)
	case Cookie:
		h.id, h.secret = "cookie-"+strings.ToLower(rand.Text()), random(pairSize)
		return h, nil
	case Pairwise:
		h.id, h.secret = Pairwise, random(secretSize) // there is one, for ever
		return h, nil
	default:
		return nil, fmt.Errorf("no keys are made for %q", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return h, h.name()
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// name makes the public half of a key that signs, with the id that follows from it.
func (h *held) name() error {
	public := jose.JSONWebKey{Key: h.signer.Public(), Algorithm: h.alg, Use: "sig"}
	thumb, err := public.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return fmt.Errorf("name key: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	h.id, h.public = public.KeyID, public
	if h.jwk, err = json.Marshal(public); err != nil {
		return fmt.Errorf("write public key: %w", err)
	}
	return nil
}

// row seals a key for the database.
func (h *held) row(keys *seal.Keys) (store.Key, error) {
	secret := h.secret
	if signs(h.alg) {
		var err error
		if secret, err = x509.MarshalPKCS8PrivateKey(h.signer); err != nil {
			return store.Key{}, errors.New("write private key: PKCS #8 does not take it") // unreachable: generate makes what it takes
		}
	}
	return store.Key{
		ID: h.id, Alg: h.alg, Sealed: keys.Seal(purpose, owner(h.alg, h.id), secret), Created: h.created, Active: h.active, Expires: h.expires,
	}, nil
}

func owner(alg, id string) string { return alg + " " + id }

// open reads a row of the database. Its errors say which key, and nothing of it.
func open(row store.Key, keys *seal.Keys) (*held, error) {
	secret, err := keys.Open(purpose, owner(row.Alg, row.ID), row.Sealed)
	if err != nil {
		return nil, fmt.Errorf("the %s key %q of the database was sealed with a key that the key file does not have, or was changed since: "+
			"give the old key back, behind the new one, and start a gateway: it seals anew: %w", row.Alg, row.ID, err)
	}
	h := &held{id: row.ID, alg: row.Alg, created: row.Created, active: row.Active, expires: row.Expires}
	if !h.take(secret) {
		return nil, fmt.Errorf("the %s key %q of the database is none", row.Alg, row.ID)
	}
	return h, nil
}

// take says whether a secret is one for what the key is for, and gives it to it.
func (h *held) take(secret []byte) bool {
	switch h.alg {
	case Cookie:
		h.secret = secret
		return len(secret) == pairSize
	case Pairwise:
		h.secret = secret
		return len(secret) == secretSize
	}
	private, err := x509.ParsePKCS8PrivateKey(secret)
	if err != nil {
		return false
	}
	switch k := private.(type) {
	case *ecdsa.PrivateKey:
		h.signer = k
		if h.alg != ES256 || k.Curve != elliptic.P256() {
			return false
		}
	case *rsa.PrivateKey:
		h.signer = k
		if h.alg != RS256 || k.N.BitLen() < rsaLeast {
			return false
		}
	default:
		return false
	}
	id := h.id
	return h.name() == nil && h.id == id
}
