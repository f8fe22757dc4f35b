package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	lib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// exchange is one request for tokens, of a client that has proved itself, as the library's functions see it. What they do not call is nil and
// would panic, which ends the request. It is used by one goroutine.
type exchange struct {
	op.Exchanger

	p      *Provider
	client *client.Client
	key    keyring.Key
	source string // network address

	grant   store.Grant
	body    granted            // of the grant
	device  token.Hash         // device code that is used; zero: none
	old     store.RefreshToken // that is used
	session store.Session
	heard   uint64    // generation of the cache before anything was read
	expires time.Time // of the access token that was made
	fault   error     // why the request failed, when the library would say less
}

// why returns the reason of an error of the library: ours, if there was one.
func (x *exchange) why(err error) error {
	if x.fault != nil {
		return x.fault
	}
	return err
}

// fail notes why the request fails.
func (x *exchange) fail(err error) error {
	x.fault = err
	return err
}

// badGrant is all that a client learns of a code or a refresh token that is not good for it.
func badGrant(reason string) error {
	return &denial{code: invalidGrant, description: "the code or refresh token is unknown, expired, used, or another client's", reason: reason}
}

// given is a request for tokens that is based on a grant.
type given struct {
	granted
	client string
	scopes []string
}

// GetACR implements the interfaces of the library, as the methods below do.
func (g *given) GetACR() string { return g.ACR }

// GetAMR is that of the session at the time.
func (g *given) GetAMR() []string { return g.AMR }

// GetAudience is the client alone.
func (g *given) GetAudience() []string { return []string{g.client} }

// GetAuthTime is that of the session at the time.
func (g *given) GetAuthTime() time.Time { return time.Unix(g.AuthTime, 0) }

// GetClientID is whose it is.
func (g *given) GetClientID() string { return g.client }

// GetScopes is what this request gets.
func (g *given) GetScopes() []string { return g.scopes }

// GetSubject is the person as the client knows them.
func (g *given) GetSubject() string { return g.Subject }

// byCode is one with a code.
type byCode struct{ given }

var _ op.AuthRequest = (*byCode)(nil)

// GetID names nothing: the library has nothing to delete.
func (*byCode) GetID() string { return "" }

// GetCodeChallenge is always S256.
func (b *byCode) GetCodeChallenge() *lib.CodeChallenge {
	return &lib.CodeChallenge{Challenge: b.Challenge, Method: lib.CodeChallengeMethodS256}
}

// GetNonce is what the client has sent.
func (b *byCode) GetNonce() string { return b.Nonce }

// GetRedirectURI is where the code was sent.
func (b *byCode) GetRedirectURI() string { return b.RedirectURI }

// GetResponseType is the one that there is.
func (*byCode) GetResponseType() lib.ResponseType { return lib.ResponseTypeCode }

// GetResponseMode plays no part any more.
func (*byCode) GetResponseMode() lib.ResponseMode { return "" }

// GetState plays none either.
func (*byCode) GetState() string { return "" }

// Done says that the person has signed in.
func (*byCode) Done() bool { return true }

// byRefresh is one with a refresh token.
type byRefresh struct{ given }

var _ op.RefreshTokenRequest = (*byRefresh)(nil)

// SetCurrentScopes narrows what the request gets.
func (b *byRefresh) SetCurrentScopes(scopes []string) { b.scopes = scopes }

// proven is a client that has proved itself before the library asks: there is nothing left to prove.
type proven struct{ party }

// AuthMethod says so.
func (proven) AuthMethod() lib.AuthMethod { return lib.AuthMethodNone }

// Storage implements op.Exchanger.
func (x *exchange) Storage() op.Storage { return storage{exchange: x} }

// Crypto implements op.Exchanger.
func (x *exchange) Crypto() op.Crypto { return opaque{} }

// opaque hands out the id of a token as it is: it is a token of ours, which says nothing.
type opaque struct{ op.Crypto }

// Encrypt returns the id that the library puts before the subject.
func (opaque) Encrypt(s string) (string, error) {
	id, _, _ := strings.Cut(s, ":")
	return id, nil
}

// storage is an exchange as op.Storage.
type storage struct {
	op.Storage
	*exchange
}

// GetClientByClientID returns the client that has proved itself, and no other.
func (s storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.client.ID {
		return nil, s.fail(errors.New("another client is asked for")) // unreachable
	}
	return proven{party{s.client}}, nil
}

// AuthRequestByCode opens a code. That it was not used before, its use says.
func (s storage) AuthRequestByCode(ctx context.Context, text string) (op.AuthRequest, error) {
	var c code
	switch {
	case !s.p.codes.open(text, &c):
		return nil, s.fail(badGrant("code_unknown"))
	case c.Client != s.client.ID:
		return nil, s.fail(badGrant("other_client"))
	case !s.p.Now().Before(time.UnixMilli(c.Until)):
		return nil, s.fail(badGrant("code_over"))
	}
	body, err := json.Marshal(c.granted)
	if err == nil {
		err = s.agreed(ctx, c.granted)
	}
	if err == nil {
		err = s.open(ctx, store.Grant{ID: grantOfCode(text), Client: c.Client, Session: c.SID, SID: c.SID, Body: body}, c.granted)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	// What the client may have is looked at again: it may be less than a minute ago (E5).
	return &byCode{given{granted: c.granted, client: c.Client, scopes: allowed(s.client, c.Scopes)}}, nil
}

// agreed refuses what the person has agreed to and withdrawn since the code was given.
func (s storage) agreed(ctx context.Context, g granted) error {
	if !s.client.Consent {
		return nil
	}
	c, err := s.p.Store.ConsentTo(ctx, g.Account, s.client.ID)
	if errors.Is(err, store.ErrNotFound) || err == nil && slices.ContainsFunc(g.Scopes, func(scope string) bool { return !slices.Contains(c.Scopes, scope) }) {
		return badGrant("consent_withdrawn")
	}
	return err
}

// grantOfCode is the id of the grant that the use of a code makes: another for each code, and the same for each use of one.
func grantOfCode(text string) string {
	sum := sha256.Sum256([]byte("authorization code\x00" + text))
	return hex.EncodeToString(sum[:16])
}

// replayed ends what a code was used for before, if it was, and says whether it was (RFC 6749, section 4.1.2).
func (s storage) replayed(ctx context.Context, text string) (bool, error) {
	var c code
	if !s.p.codes.open(text, &c) || c.Client != s.client.ID {
		return false, nil
	}
	g, err := s.p.Store.GrantByID(ctx, grantOfCode(text))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.p.endFamily(ctx, s.source, g, "code_replayed")
}

// open notes what is given on, whose session must be open.
func (s storage) open(ctx context.Context, g store.Grant, body granted) error {
	s.heard = s.p.back.cache.now()
	v, err := s.p.Server.Sessions.ByID(ctx, g.Session, true) // the client asks because the person is there
	if errors.Is(err, idp.ErrNoSession) {
		return badGrant("session_over")
	}
	if err == nil && !admitted(s.client.Rule, body, v) {
		return badGrant("not_admitted")
	}
	if g.Expires.IsZero() {
		g.Expires = v.ExpiresAt
	}
	s.grant, s.body, s.session = g, body, v
	return err
}

// TokenRequestByRefreshToken finds the grant of a refresh token, one that was used before included: using it tells.
func (s storage) TokenRequestByRefreshToken(ctx context.Context, text string) (op.RefreshTokenRequest, error) {
	hash, ok := token.Of(token.Refresh, text)
	if !ok {
		return nil, s.fail(badGrant("refresh_unknown"))
	}
	t, g, err := s.p.Store.GrantByRefresh(ctx, hash, s.p.Now())
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, s.fail(badGrant("refresh_unknown"))
	case err != nil:
		return nil, s.fail(err)
	case g.Client != s.client.ID:
		return nil, s.fail(badGrant("other_client"))
	}
	body, err := grantedOf(g)
	if err == nil {
		err = s.open(ctx, g, body)
	}
	if err != nil {
		return nil, s.fail(err)
	}
	s.old = t
	return &byRefresh{given{granted: body, client: g.Client, scopes: allowed(s.client, strings.Fields(t.Scope))}}, nil // it may ask for less than it did
}

// CreateAccessToken uses up the code for an access token.
func (s storage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (id string, expires time.Time, err error) {
	if err := s.useCode(ctx, nil); err != nil {
		return "", time.Time{}, s.fail(err)
	}
	id, err = s.newAccess(r.GetScopes())
	return id, s.expires, err
}

// CreateAccessAndRefreshTokens uses up the code, or the refresh token, for both.
func (s storage) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, refresh string) (id, next string, expires time.Time, err error) {
	scopes := r.GetScopes()
	if refresh != "" {
		// RFC 6749, section 6: "the refresh token scope MUST be identical to that of the refresh token included by the client in the request".
		scopes = strings.Fields(s.old.Scope)
	}
	next = token.New()
	after := store.RefreshToken{Scope: strings.Join(scopes, " "), Created: s.p.Now(), Expires: earliest(s.p.Now().Add(refreshLife), s.grant.Expires, s.session.ExpiresAt)}
	after.Hash, _ = token.Of(token.Refresh, next) // a new token is one
	if refresh == "" {
		err = s.useCode(ctx, &after)
	} else {
		err = s.rotate(ctx, after)
	}
	if err != nil {
		return "", "", time.Time{}, s.fail(err)
	}
	id, err = s.newAccess(r.GetScopes())
	return id, next, s.expires, err
}

// rotate uses up the refresh token for another.
func (s storage) rotate(ctx context.Context, next store.RefreshToken) error {
	err := s.p.Store.RotateRefresh(ctx, store.Rotation{Old: s.old.Hash, Client: s.client.ID, Next: next, Grace: refreshGrace}, s.p.Now())
	switch {
	case errors.Is(err, store.ErrReused):
		s.p.back.cache.dropGrant(s.grant.ID)
		s.p.recordEnd(s.source, s.grant, "refresh_reused")
		return badGrant("refresh_reused")
	case errors.Is(err, store.ErrNotFound):
		return badGrant("refresh_unknown")
	}
	return err
}

// useCode uses up the code, of a device too, for a refresh token or none.
func (s storage) useCode(ctx context.Context, refresh *store.RefreshToken) error {
	if s.device != (token.Hash{}) {
		return s.useDevice(ctx, refresh)
	}
	s.grant.Created = s.p.Now()
	err := s.p.Store.AddGrant(ctx, s.grant, refresh, s.p.Now())
	switch {
	case errors.Is(err, store.ErrExists): // somebody else was faster, or it is used again
		if err := s.p.endFamily(ctx, s.source, s.grant, "code_replayed"); err != nil {
			return err
		}
		return badGrant("code_replayed")
	case errors.Is(err, store.ErrNotFound):
		return badGrant("session_over")
	}
	return err
}

// accessToken is what is sealed in an access token.
type accessToken struct {
	Grant   string `json:"g"`
	Scope   string `json:"s"`
	Created int64  `json:"c"` // Unix milliseconds, as the next
	Expires int64  `json:"e"`
}

// newAccess makes an access token of the grant, and keeps it in memory: the client comes back with it at once.
func (s storage) newAccess(scopes []string) (string, error) {
	now := s.p.Now()
	s.expires = earliest(now.Add(accessLife), s.grant.Expires, s.session.ExpiresAt)
	t := accessToken{Grant: s.grant.ID, Scope: strings.Join(scopes, " "), Created: now.UnixMilli(), Expires: s.expires.UnixMilli()}
	text, err := s.p.accessTokens.seal(t)
	if err != nil {
		return "", s.fail(err)
	}
	s.p.remember(text, t, s.grant, s.body, s.session, s.heard)
	return text, nil
}

// DeleteAuthRequest has nothing to delete.
func (storage) DeleteAuthRequest(context.Context, string) error { return nil }

// SetUserinfoFromScopes is the old form of SetUserinfoFromRequest.
func (storage) SetUserinfoFromScopes(context.Context, *lib.UserInfo, string, string, []string) error {
	return nil
}

// SetUserinfoFromRequest gives an ID token, of a refresh too, what the library leaves out. Everything else is at userinfo (OpenID Connect Core
// 1.0, section 5.4).
func (s storage) SetUserinfoFromRequest(_ context.Context, u *lib.UserInfo, r op.IDTokenRequest, _ []string) error {
	u.Subject = r.GetSubject()
	u.AppendClaims("sid", s.grant.SID)
	if g, ok := r.(interface{ GetACR() string }); ok {
		u.AppendClaims("acr", g.GetACR())
	}
	return nil
}

var _ op.CanSetUserinfoFromRequest = storage{}

// SigningKey is the key of the client's algorithm.
func (s storage) SigningKey(context.Context) (op.SigningKey, error) { return signingKey{s.key}, nil }

// signingKey is a key of the ring as the library sees it.
type signingKey struct{ key keyring.Key }

// SignatureAlgorithm is the key's own.
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm {
	return jose.SignatureAlgorithm(k.key.Alg)
}

// Key is what signs.
func (k signingKey) Key() any { return k.key.Signer }

// ID is its kid.
func (k signingKey) ID() string { return k.key.ID }
