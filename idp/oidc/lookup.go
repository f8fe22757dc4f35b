package oidc

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
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
	hash := hashOfAccess(text)
	if p.Server.Sessions.Hears() {
		if e := p.back.cache.get(hash, p.Now()); e != nil {
			return e, nil
		}
	}
	var t accessToken
	if !p.accessTokens.open(text, &t) || !p.Now().Before(time.UnixMilli(t.Expires)) {
		return nil, errInactive
	}
	generation := p.back.cache.now()
	g, err := p.Store.GrantOfAccess(ctx, t.Grant, hash, p.Now())
	if errors.Is(err, store.ErrNotFound) {
		return nil, errInactive
	}
	if err != nil {
		return nil, err
	}
	v, err := p.Server.Sessions.ByID(ctx, g.Session, false)
	var c *client.Client
	if err == nil {
		c, err = p.Clients.Client(ctx, g.Client) // one that the configuration no longer has is not told to anybody
	}
	if errors.Is(err, idp.ErrNoSession) || errors.Is(err, client.ErrUnknown) {
		return nil, errInactive
	}
	if err != nil {
		return nil, err
	}
	body, err := grantedOf(g)
	if err != nil {
		return nil, err
	}
	if !admitted(c.Rule, body, v) {
		return nil, errInactive
	}
	t.Scope = strings.Join(allowed(c, strings.Fields(t.Scope)), " ")
	return p.remember(text, t, g, body, v, generation), nil
}

// hashOfAccess is by what an access token is known here.
func hashOfAccess(text string) token.Hash { return sha256.Sum256([]byte("access token\x00" + text)) }

// remember returns an access token as it is kept in memory, and keeps it there when what ends is heard of.
func (p *Provider) remember(text string, t accessToken, g store.Grant, body granted, v store.Session, generation uint64) *entry {
	e := &entry{grant: g.ID, client: g.Client, session: g.Session, granted: body, scopes: strings.Fields(t.Scope), created: time.UnixMilli(t.Created)}
	e.expires = earliest(time.UnixMilli(t.Expires), g.Expires, v.ExpiresAt)
	e.until = earliest(e.expires, p.Now().Add(freshFor))
	e.answer = sync.OnceValues(func() ([]byte, error) {
		return json.Marshal(map[string]any{ // RFC 7662, section 2.2
			"active": true, "token_type": "Bearer", "iss": p.Issuer, "client_id": e.client, "aud": e.client, "sub": body.Subject, "sid": body.SID,
			"scope": t.Scope, "iat": e.created.Unix(), "exp": e.expires.Unix(), "acr": body.ACR, "amr": body.AMR, "auth_time": body.AuthTime,
		})
	})
	if p.Server.Sessions.Hears() {
		p.back.cache.put(hashOfAccess(text), e, generation)
	}
	return e
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
