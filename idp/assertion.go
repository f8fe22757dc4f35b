package idp

import (
	"crypto"
	"crypto/ecdsa"
	_ "crypto/sha256" // RFC 7638 thumbprints
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

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

// signer signs assertions. Its key is made at start and lives in memory: services fetch the public half by its id, and an
// assertion outlives no restart by more than a minute. It is safe for concurrent use.
type signer struct {
	issuer string
	jws    jose.Signer
	public []byte // JWK set
	now    func() time.Time

	mu    sync.Mutex
	cache map[[2]string]cachedAssertion // by session and service
}

type cachedAssertion struct {
	jwt   string
	until time.Time
}

func newSigner(issuer string, key *ecdsa.PrivateKey, now func() time.Time) (*signer, error) {
	public := jose.JSONWebKey{Key: key.Public(), Algorithm: string(jose.ES256), Use: "sig"}
	thumb, err := public.Thumbprint(crypto.SHA256) // RFC 7638
	if err != nil {
		return nil, fmt.Errorf("name assertion key: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public}})
	if err != nil {
		return nil, fmt.Errorf("write key set: %w", err)
	}
	jws, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("make assertion signer: %w", err)
	}
	return &signer{issuer: issuer, jws: jws, public: set, now: now, cache: map[[2]string]cachedAssertion{}}, nil
}

// assertion returns a JWT for service about session, signed at most once in assertionFresh.
func (s *signer) assertion(v store.Session, service string) (string, error) {
	key := [2]string{v.ID, service}
	now := s.now()
	s.mu.Lock()
	c, ok := s.cache[key]
	s.mu.Unlock()
	if ok && now.Before(c.until) {
		return c.jwt, nil
	}
	signed, err := s.sign(v, service, now)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.cache) >= maxAssertions {
		clear(s.cache) // all are signed again as they are asked for
	}
	s.cache[key] = cachedAssertion{jwt: signed, until: now.Add(assertionFresh)}
	return signed, nil
}

func (s *signer) sign(v store.Session, service string, now time.Time) (string, error) {
	a := v.Account
	signed, err := jwt.Signed(s.jws).Claims(Claims{
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

// serveKeys answers /oauth/keys: the JWK set (RFC 7517) that verifies assertions.
func (s *signer) serveKeys(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/jwk-set+json")
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Write(s.public)
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
