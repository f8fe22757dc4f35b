package oidc

import (
	"slices"
	"time"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"promess/authgw/internal/client"
)

// idTokenLife is how long an ID token says that it is good: a client looks at it once, when it gets it.
const idTokenLife = 10 * time.Minute

// party is a client as the library sees it.
type party struct{ *client.Client }

var _ op.Client = party{}

// GetID implements op.Client, as the methods below do.
func (p party) GetID() string { return p.ID }

// RedirectURIs shadows the field of the client.
func (p party) RedirectURIs() []string { return p.Client.RedirectURIs }

// PostLogoutRedirectURIs are those of the client.
func (p party) PostLogoutRedirectURIs() []string { return p.AfterLogout }

// ApplicationType says whether loopback addresses and schemes of their own are good.
func (p party) ApplicationType() op.ApplicationType {
	if p.Native {
		return op.ApplicationTypeNative
	}
	return op.ApplicationTypeWeb
}

// AuthMethod is how the client proves itself.
func (p party) AuthMethod() lib.AuthMethod {
	switch p.Auth {
	case client.SharedSecret:
		return lib.AuthMethodBasic
	case client.PrivateKeyJWT:
		return lib.AuthMethodPrivateKeyJWT
	}
	return lib.AuthMethodNone
}

// ResponseTypes is the one that there is.
func (p party) ResponseTypes() []lib.ResponseType { return []lib.ResponseType{lib.ResponseTypeCode} }

// GrantTypes are those that the client may use.
func (p party) GrantTypes() []lib.GrantType {
	var all []lib.GrantType
	if len(p.Client.RedirectURIs) > 0 {
		all = append(all, lib.GrantTypeCode)
	}
	if p.Refresh {
		all = append(all, lib.GrantTypeRefreshToken)
	}
	if p.Device {
		all = append(all, lib.GrantTypeDeviceCode)
	}
	return all
}

// LoginURL is not used: the library's handlers are not.
func (p party) LoginURL(string) string { return "" }

// AccessTokenType says that access tokens say nothing.
func (p party) AccessTokenType() op.AccessTokenType { return op.AccessTokenTypeBearer }

// IDTokenLifetime is the same for all.
func (p party) IDTokenLifetime() time.Duration { return idTokenLife }

// DevMode would let anything through.
func (p party) DevMode() bool { return false }

// RestrictAdditionalIdTokenScopes returns all: what an ID token has is decided elsewhere.
func (p party) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// RestrictAdditionalAccessTokenScopes returns all, likewise.
func (p party) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// IsScopeAllowed says whether the client may ask for a scope.
func (p party) IsScopeAllowed(scope string) bool { return slices.Contains(p.Scopes, scope) }

// IDTokenUserinfoClaimsAssertion is false: who has an access token asks userinfo (OpenID Connect Core 1.0, section 5.4).
func (p party) IDTokenUserinfoClaimsAssertion() bool { return false }

// ClockSkew is none: issued now is issued now.
func (p party) ClockSkew() time.Duration { return 0 }
