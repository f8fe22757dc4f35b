package oidc

import (
	"context"
	"encoding/json"
	"net/url"

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
