package idp

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/internal/keyring"
	"promess/authgw/internal/store"
)

// assertionLife is how long an assertion is good for; assertionFresh how long it is given out again. The difference is the least
// that a service has to use it.
const (
	assertionLife  = 60 * time.Second
	assertionFresh = 30 * time.Second
)

// maxAssertions bounds the memory of assertions given out.
const maxAssertions = 10_000

// Claims are the claims of an assertion: a JWT (RFC 7519) that tells one service who the person behind a request is.
type Claims struct {
	jwt.Claims
	AuthTime   int64    `json:"auth_time"`
	ACR        string   `json:"acr"`
	AMR        []string `json:"amr"`
	SessionID  string   `json:"sid"`
	Name       string   `json:"name"`
	NationalID string   `json:"national_id"`
	IDType     string   `json:"national_id_type"`
	Profession string   `json:"profession,omitempty"`
	CardType   string   `json:"card_type,omitempty"`
	Email      string   `json:"email,omitempty"`

	Situation json.RawMessage `json:"situation,omitempty"` // an object: in which of several the person works
}

// signer signs assertions with the current key of a ring. It is safe for concurrent use.
type signer struct {
	issuer string
	ring   *keyring.Ring
	now    func() time.Time

	mu    sync.Mutex
	key   string // id of the key that jws signs with, and that signed what is in cache
	jws   jose.Signer
	cache map[[2]string]cachedAssertion // by session and service
}

type cachedAssertion struct {
	jwt   string
	until time.Time
}

func newSigner(issuer string, ring *keyring.Ring, now func() time.Time) *signer {
	return &signer{issuer: issuer, ring: ring, now: now, cache: map[[2]string]cachedAssertion{}}
}

// assertion returns a JWT for service about session, signed at most once in assertionFresh by a key.
func (s *signer) assertion(ctx context.Context, v store.Session, service string) (string, error) {
	key, err := s.ring.Signing(ctx, keyring.ES256)
	if err != nil {
		return "", fmt.Errorf("sign assertion: %w", err)
	}
	of := [2]string{v.ID, service}
	now := s.now()
	jws, c, err := s.use(key, of)
	if err != nil {
		return "", err
	}
	if now.Before(c.until) {
		return c.jwt, nil
	}
	signed, err := s.sign(jws, v, service, now)
	if err != nil {
		return "", err
	}
	s.keep(key, of, cachedAssertion{jwt: signed, until: now.Add(assertionFresh)})
	return signed, nil
}

// use returns what signs with a key, and what it has signed already.
func (s *signer) use(key keyring.Key, of [2]string) (jose.Signer, cachedAssertion, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != key.ID {
		jws, err := jose.NewSigner(
			jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key.Signer, KeyID: key.ID}},
			(&jose.SignerOptions{}).WithType("JWT"))
		if err != nil {
			return nil, cachedAssertion{}, fmt.Errorf("make assertion signer: %w", err)
		}
		s.key, s.jws = key.ID, jws
		clear(s.cache) // the key before may have been withdrawn
	}
	return s.jws, s.cache[of], nil
}

func (s *signer) keep(key keyring.Key, of [2]string, c cachedAssertion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.key != key.ID {
		return // it was replaced meanwhile
	}
	if len(s.cache) >= maxAssertions {
		clear(s.cache) // all are signed again as they are asked for
	}
	s.cache[of] = c
}

func (s *signer) sign(jws jose.Signer, v store.Session, service string, now time.Time) (string, error) {
	a := v.Account
	signed, err := jwt.Signed(jws).Claims(Claims{
		Claims: jwt.Claims{
			Issuer: s.issuer, Subject: a.Subject, Audience: jwt.Audience{service}, ID: newID(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(assertionLife)),
		},
		AuthTime: v.AuthTime.Unix(), ACR: v.ACR, AMR: v.AMR, SessionID: v.ID,
		Name: displayName(a), NationalID: a.NationalID, IDType: a.IDType, Profession: a.Profession, CardType: v.CardType, Email: a.Mailbox,
		Situation: json.RawMessage(v.Situation),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign assertion: %w", err)
	}
	return signed, nil
}

// serveKeys answers /oauth/keys: the JWK set (RFC 7517) that verifies assertions, and whatever else the gateway signs.
func (s *Server) serveKeys(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", fmt.Sprintf("public, max-age=%d", keyring.CacheTime/time.Second))
	w.Write(s.Keys.ring.JWKS())
}

func displayName(a store.Account) string {
	switch {
	case a.GivenName == "":
		return a.FamilyName
	case a.FamilyName == "":
		return a.GivenName
	}
	return a.GivenName + " " + a.FamilyName
}
