package oidc

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// inactive is all that is said of a token that opens nothing, or is none of the asker's business (RFC 7662, section 2.2).
var inactive = []byte(`{"active":false}`)

// introspect says what a token of the asking client is good for, or of any client to one that may ask that: a resource server (RFC 7662). It
// says what the token gives, and of the person nothing but by what name the token's client knows them (F12).
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	c, err := p.authenticate(r)
	if err == nil && c.Auth == client.Public { // RFC 7662, section 2.1: "must also require some form of authorization"
		err = unproved(c.ID, "public_client")
	}
	if err == nil && !r.PostForm.Has("token") {
		err = &denial{code: invalidRequest, description: "token is missing", client: c.ID}
	}
	if err != nil {
		p.deny(w, r, err)
		return
	}
	text := r.PostForm.Get("token")
	body := inactive
	switch e, err := p.access(r.Context(), text); {
	case err == nil:
		if e.client == c.ID || c.Introspect {
			if body, err = e.answer(); err != nil {
				p.deny(w, r, err)
				return
			}
		}
	case errors.Is(err, errInactive):
		if body, err = p.introspectRefresh(r, c, text); err != nil {
			p.deny(w, r, err)
			return
		}
	default:
		p.deny(w, r, err)
		return
	}
	replyJSON(w, http.StatusOK, body)
}

// introspectRefresh answers about a refresh token, which is its client's alone.
func (p *Provider) introspectRefresh(r *http.Request, c *client.Client, text string) ([]byte, error) {
	hash, ok := token.Of(token.Refresh, text)
	if !ok {
		return inactive, nil
	}
	t, g, err := p.Store.GrantByRefresh(r.Context(), hash, p.Now())
	if errors.Is(err, store.ErrNotFound) || err == nil && (g.Client != c.ID || !t.Used.IsZero()) {
		return inactive, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := p.Server.Sessions.ByID(r.Context(), g.Session, false)
	if errors.Is(err, idp.ErrNoSession) {
		return inactive, nil
	}
	if err != nil {
		return nil, err
	}
	body, err := grantedOf(g)
	if err != nil {
		return nil, err
	}
	if !admitted(c.Rule, body, v) {
		return inactive, nil
	}
	return json.Marshal(map[string]any{
		"active": true, "iss": p.Issuer, "client_id": g.Client, "sub": body.Subject, "scope": strings.Join(strings.Fields(t.Scope), " "), "iat": t.Created.Unix(),
		"exp": earliest(t.Expires, g.Expires, v.ExpiresAt).Unix(),
	})
}
