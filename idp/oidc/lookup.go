package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
)

// errInactive says that an access token opens nothing, for whatever reason.
var errInactive = errors.New("inactive")

// access returns what an access token stands for, from memory where that can be believed, or errInactive. Nothing that is not wholly one is
// (E8): no store is asked about it.
func (p *Provider) access(ctx context.Context, text string) (*entry, error) {
	hash, ok := token.Of(token.Access, text)
	if !ok {
		return nil, errInactive
	}
	heard := p.Server.Sessions.Hears()
	if heard {
		if e := p.back.cache.get(hash, p.Now()); e != nil {
			return e, nil
		}
	}
	generation := p.back.cache.now()
	t, g, err := p.Store.GrantByToken(ctx, store.AccessToken, hash, p.Now())
	if errors.Is(err, store.ErrNotFound) {
		return nil, errInactive
	}
	if err != nil {
		return nil, err
	}
	v, err := p.Server.Sessions.ByID(ctx, g.Session, false)
	if err == nil {
		_, err = p.Clients.Client(ctx, g.Client) // one that the configuration no longer has is not told to anybody
	}
	if errors.Is(err, idp.ErrNoSession) || errors.Is(err, client.ErrUnknown) {
		return nil, errInactive
	}
	if err != nil {
		return nil, err
	}
	e, err := p.newEntry(t, g, v)
	if err == nil && heard {
		p.back.cache.put(hash, e, generation)
	}
	return e, err
}

func (p *Provider) newEntry(t store.GrantToken, g store.Grant, v store.Session) (*entry, error) {
	e := &entry{grant: g.ID, client: g.Client, session: g.Session, scopes: strings.Fields(t.Scope), created: t.Created}
	e.expires = earliest(t.Expires, g.Expires, v.ExpiresAt)
	e.until = earliest(e.expires, p.Now().Add(freshFor))
	var err error
	if e.granted, err = grantedOf(g); err != nil {
		return nil, err
	}
	e.answer, err = json.Marshal(map[string]any{ // RFC 7662, section 2.2
		"active": true, "token_type": "Bearer", "iss": p.Issuer, "client_id": g.Client, "aud": g.Client, "sub": e.granted.Subject, "sid": g.SID,
		"scope": t.Scope, "iat": t.Created.Unix(), "exp": e.expires.Unix(), "acr": e.granted.ACR, "amr": e.granted.AMR, "auth_time": e.granted.AuthTime,
	})
	return e, err
}

// grantedOf reads what a grant was given on.
func grantedOf(g store.Grant) (granted, error) {
	var v granted
	if err := json.Unmarshal(g.Body, &v); err != nil {
		return v, fmt.Errorf("read grant: %w", err) // it has no secrets
	}
	return v, nil
}

func earliest(first time.Time, rest ...time.Time) time.Time {
	for _, t := range rest {
		if t.Before(first) {
			first = t
		}
	}
	return first
}
