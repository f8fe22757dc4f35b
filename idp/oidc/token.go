package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	lib "github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
)

// How long what a client is given lasts; never longer than the session.
const (
	accessLife   = 10 * time.Minute
	refreshLife  = 30 * time.Minute // without use
	refreshGrace = 10 * time.Second // for which a refresh token is taken again whose answer was lost
)

// token gives a client tokens for a code, for the refresh token that came with others (RFC 6749, sections 4.1.3 and 6), or for the device code that a
// person has approved (RFC 8628, section 3.4). There is no other grant by which anybody gets in (F16).
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	c, err := p.authenticate(r)
	if err != nil {
		p.deny(w, r, err)
		return
	}
	var response *lib.AccessTokenResponse
	switch grant := r.PostForm.Get("grant_type"); lib.GrantType(grant) {
	case lib.GrantTypeCode:
		response, err = p.exchangeCode(r, c)
	case lib.GrantTypeRefreshToken:
		response, err = p.exchangeRefresh(r, c)
	case lib.GrantTypeDeviceCode:
		response, err = p.exchangeDevice(r, c)
	case "":
		err = &denial{code: invalidRequest, description: "grant_type is missing"}
	default:
		err = &denial{code: unsupportedGrant, description: "grant_type is not supported"}
	}
	if err != nil {
		p.deny(w, r, ofClient(err, c))
		return
	}
	reply(w, http.StatusOK, response)
}

// ofClient returns the error of a client that has proved itself, with its name.
func ofClient(err error, c *client.Client) error {
	var d *denial
	var l *lib.Error
	switch {
	case errors.As(err, &d):
		named := *d
		named.client = c.ID
		return &named
	case errors.As(err, &l) && l.ErrorType != lib.ServerError:
		return &denial{code: string(l.ErrorType), description: l.Description, client: c.ID}
	}
	return err
}

func (p *Provider) exchangeCode(r *http.Request, c *client.Client) (*lib.AccessTokenResponse, error) {
	form := r.PostForm
	if !form.Has("code") {
		return nil, &denial{code: invalidRequest, description: "code is missing"}
	}
	if !isVerifier(form.Get("code_verifier")) {
		return nil, &denial{code: invalidRequest, description: "code_verifier is missing, or not 43 to 128 characters of RFC 7636", reason: "no_verifier"}
	}
	ctx := op.ContextWithIssuer(r.Context(), p.Issuer)
	x, err := p.newExchange(r, c)
	if err != nil {
		return nil, err
	}
	request, party, err := op.ValidateAccessTokenRequest(ctx, &lib.AccessTokenRequest{
		Code: form.Get("code"), RedirectURI: form.Get("redirect_uri"), CodeVerifier: form.Get("code_verifier"), ClientID: c.ID,
	}, x)
	if err != nil {
		err = x.why(err)
		// Whatever else is wrong, one that was used before ends what was given for it.
		if again, fault := (storage{exchange: x}).replayed(ctx, form.Get("code")); fault != nil {
			err = fault
		} else if again {
			err = badGrant("code_replayed")
		}
		return nil, err
	}
	return x.issue(ctx, request, party, "")
}

func (p *Provider) exchangeRefresh(r *http.Request, c *client.Client) (*lib.AccessTokenResponse, error) {
	form := r.PostForm
	ctx := op.ContextWithIssuer(r.Context(), p.Issuer)
	x, err := p.newExchange(r, c)
	if err != nil {
		return nil, err
	}
	request, party, err := op.ValidateRefreshTokenRequest(ctx, &lib.RefreshTokenRequest{
		RefreshToken: form.Get("refresh_token"), Scopes: scopeOf(form), ClientID: c.ID,
	}, x)
	if err != nil {
		return nil, x.why(err)
	}
	return x.issue(ctx, request, party, form.Get("refresh_token"))
}

func scopeOf(form url.Values) lib.SpaceDelimitedArray { return strings.Fields(form.Get("scope")) }

// isVerifier says whether a text is a code verifier (RFC 7636, section 4.1).
func isVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("-._~", c)
	})
}

// issue makes the tokens of a request that was found good, and writes them.
func (x *exchange) issue(ctx context.Context, request op.IDTokenRequest, party op.Client, refresh string) (*lib.AccessTokenResponse, error) {
	response, err := op.CreateTokenResponse(ctx, request, party, x, true, "", refresh)
	if err != nil {
		return nil, x.why(err)
	}
	response.ExpiresIn = uint64(max(0, x.expires.Sub(x.p.Now())/time.Second)) // by our clock
	if !slices.Contains(request.GetScopes(), lib.ScopeOpenID) {
		response.IDToken = "" // a refresh asked for less
	}
	return response, nil
}

// newExchange prepares one. The key comes first: when it is not to be had, no code is used up.
func (p *Provider) newExchange(r *http.Request, c *client.Client) (*exchange, error) {
	key, err := p.Ring.Signing(r.Context(), c.Signing)
	if err != nil {
		return nil, err
	}
	return &exchange{p: p, client: c, key: key, source: idp.Source(r)}, nil
}
