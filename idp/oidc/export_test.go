package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"promess/authgw/internal/keyring"
	"promess/authgw/internal/store"
)

// Claims are those of a person, as the client of a grant's body gets them.
func (p *Provider) Claims(ctx context.Context, v store.Session, body []byte, scopes ...string) (map[string]any, error) {
	var g granted
	if err := json.Unmarshal(body, &g); err != nil {
		return nil, err
	}
	return p.claims(ctx, v, g, scopes)
}

// ParseParameters reads a query or a form.
func ParseParameters(text string) (url.Values, error) { return parseParameters(text) }

// ReadUserCode returns a user code as it is shown, of what somebody typed.
func ReadUserCode(typed string) (string, bool) { return readUserCode(typed) }

// What telling a client is decided by.
var (
	Delay   = delay
	MayDial = mayDial
)

// Code returns a code, of a grant's body, that a client has until a time.
func (p *Provider) Code(body []byte, client string, until time.Time) (string, error) {
	c := code{Client: client, Until: until.UnixMilli()}
	if err := json.Unmarshal(body, &c.granted); err != nil {
		return "", err
	}
	return p.codes.seal(c)
}

// Use writes the grant that the use of a code writes.
func (p *Provider) Use(ctx context.Context, text string) (store.Grant, error) {
	var c code
	if !p.codes.open(text, &c) {
		return store.Grant{}, errors.New("no code of ours")
	}
	body, err := json.Marshal(c.granted)
	if err != nil {
		return store.Grant{}, err
	}
	v, err := p.Server.Sessions.ByID(ctx, c.SID, false)
	if err != nil {
		return store.Grant{}, err
	}
	g := store.Grant{ID: grantOfCode(text), Client: c.Client, Session: c.SID, SID: c.SID, Body: body, Created: p.Now(), Expires: v.ExpiresAt}
	return g, p.Store.AddGrant(ctx, g, nil, p.Now())
}

// Sealer seals for a purpose.
type Sealer struct{ s *sealer }

// NewSealer returns one.
func NewSealer(ring *keyring.Ring, purpose string) Sealer {
	return Sealer{&sealer{ring: ring, purpose: purpose}}
}

// Seal seals a value.
func (s Sealer) Seal(v any) (string, error) { return s.s.seal(v) }

// Open opens a text into a value.
func (s Sealer) Open(text string, v any) bool { return s.s.open(text, v) }
