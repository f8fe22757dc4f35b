package oidc

import (
	"context"
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
	code    token.Hash
	device  token.Hash       // device code that is used; zero: none
	old     store.GrantToken // refresh token that is used
	oldHash token.Hash
	session store.Session
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

// AuthRequestByCode finds the grant of a code. A code that was used before ends all that was given with it (RFC 6749, section 4.1.2).
func (s storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	hash, ok := token.Of(token.Grant, code)
	if !ok {
		return nil, s.fail(badGrant("code_unknown"))
	}
	g, err := s.p.Store.GrantByCode(ctx, hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, s.fail(badGrant("code_unknown"))
	case err != nil:
		return nil, s.fail(err)
	case g.Client != s.client.ID:
		return nil, s.fail(badGrant("other_client"))
	case g.CodeUsed:
		return nil, s.fail(s.replayed(ctx, g))
	case g.Ended, !s.p.Now().Before(g.CodeUntil):
		return nil, s.fail(badGrant("code_over"))
	}
	v, err := s.open(ctx, g)
	if err != nil {
		return nil, s.fail(err)
	}
	s.code = hash
	return &byCode{given{granted: v, client: g.Client, scopes: v.Scopes}}, nil
}

// replayed ends the family of a code that is used a second time.
func (s storage) replayed(ctx context.Context, g store.Grant) error {
	if err := s.p.endFamily(ctx, s.source, g, "code_replayed"); err != nil {
		return err
	}
	return badGrant("code_replayed")
}

// open reads a grant, whose session must be open.
func (s storage) open(ctx context.Context, g store.Grant) (granted, error) {
	v, err := s.p.Server.Sessions.ByID(ctx, g.Session, true) // the client asks because the person is there
	if errors.Is(err, idp.ErrNoSession) {
		return granted{}, badGrant("session_over")
	}
	if err != nil {
		return granted{}, err
	}
	s.grant, s.session = g, v
	return grantedOf(g)
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
	v, err := s.open(ctx, g)
	if err != nil {
		return nil, s.fail(err)
	}
	s.old, s.oldHash = t, hash
	scopes := slices.DeleteFunc(strings.Fields(t.Scope), func(scope string) bool {
		return scope != lib.ScopeOpenID && !slices.Contains(s.client.Scopes, scope) // it may ask for less than it did
	})
	return &byRefresh{given{granted: v, client: g.Client, scopes: scopes}}, nil
}

// CreateAccessToken uses up the code for an access token.
func (s storage) CreateAccessToken(ctx context.Context, r op.TokenRequest) (id string, expires time.Time, err error) {
	access, id := s.newToken(token.Access, store.AccessToken, r.GetScopes(), accessLife)
	return id, access.Expires, s.useCode(ctx, access)
}

// CreateAccessAndRefreshTokens uses up the code, or the refresh token, for both.
func (s storage) CreateAccessAndRefreshTokens(ctx context.Context, r op.TokenRequest, refresh string) (id, next string, expires time.Time, err error) {
	access, id := s.newToken(token.Access, store.AccessToken, r.GetScopes(), accessLife)
	if refresh == "" {
		after, next := s.newToken(token.Refresh, store.RefreshToken, r.GetScopes(), refreshLife)
		return id, next, access.Expires, s.useCode(ctx, access, after)
	}
	// RFC 6749, section 6: "the refresh token scope MUST be identical to that of the refresh token included by the client in the request".
	after, next := s.newToken(token.Refresh, store.RefreshToken, strings.Fields(s.old.Scope), refreshLife)
	err = s.p.Store.RotateRefresh(ctx, store.Rotation{Old: s.oldHash, Client: s.client.ID, Access: access, Next: after, Grace: refreshGrace}, s.p.Now())
	switch {
	case errors.Is(err, store.ErrReused):
		s.p.back.cache.dropGrant(s.grant.ID)
		s.p.recordEnd(s.source, s.grant, "refresh_reused")
		err = badGrant("refresh_reused")
	case errors.Is(err, store.ErrNotFound):
		err = badGrant("refresh_unknown")
	}
	if err != nil {
		return "", "", time.Time{}, s.fail(err)
	}
	return id, next, access.Expires, nil
}

// newToken makes a token of the grant.
func (s storage) newToken(kind token.Kind, stored store.TokenKind, scopes []string, life time.Duration) (store.GrantToken, string) {
	now := s.p.Now()
	text := token.New()
	hash, _ := token.Of(kind, text) // a new token is one
	t := store.GrantToken{Hash: hash, Kind: stored, Scope: strings.Join(scopes, " "), Created: now, Expires: earliest(now.Add(life), s.grant.Expires, s.session.ExpiresAt)}
	if kind == token.Access {
		s.expires = t.Expires
	}
	return t, text
}

func (s storage) useCode(ctx context.Context, tokens ...store.GrantToken) error {
	if s.device != (token.Hash{}) {
		return s.useDevice(ctx, tokens)
	}
	err := s.p.Store.UseGrantCode(ctx, s.code, s.client.ID, tokens, s.p.Now())
	if errors.Is(err, store.ErrNotFound) { // since it was looked at: somebody else was faster, or the session is over
		err = s.replayed(ctx, s.grant)
	}
	if err != nil {
		return s.fail(err)
	}
	return nil
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
