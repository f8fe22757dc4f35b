package oidc

import (
	"errors"
	"net/http"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// revoke ends a token of the client's own: an access token alone, with a refresh token all that was given with it (RFC 7009). What is none ends
// likewise.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	c, err := p.authenticate(r)
	if err == nil && !r.PostForm.Has("token") {
		err = &denial{code: invalidRequest, description: "token is missing", client: c.ID}
	}
	if err == nil {
		err = p.end(r, c, r.PostForm.Get("token"))
	}
	if err != nil {
		p.deny(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
}

// end ends a token. Which kind it is, the store knows better than a hint does.
func (p *Provider) end(r *http.Request, c *client.Client, text string) error {
	ctx, now := r.Context(), p.Now()
	others := &denial{code: invalidGrant, description: "the token was issued to another client", reason: "other_client", client: c.ID} // RFC 7009, section 2.1
	var t accessToken
	if p.accessTokens.open(text, &t) {
		g, err := p.Store.GrantOfAccess(ctx, t.Grant, hashOfAccess(text), now)
		switch {
		case err == nil && g.Client != c.ID:
			return others
		case err == nil:
			err = p.Store.EndAccess(ctx, hashOfAccess(text), g.ID, time.UnixMilli(t.Expires), now)
			p.back.cache.dropGrant(g.ID)
			if err == nil {
				p.recordEnd(idp.Source(r), g, "token_revoked")
			}
		}
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	hash, ok := token.Of(token.Refresh, text)
	if !ok {
		return nil
	}
	_, g, err := p.Store.GrantByRefresh(ctx, hash, now)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil // RFC 7009, section 2.2: the purpose is achieved
	case err != nil:
		return err
	case g.Client != c.ID:
		return others
	}
	return p.endFamily(ctx, idp.Source(r), g, "revoked")
}
