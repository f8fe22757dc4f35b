package oidc

import (
	"context"

	"promess/authgw/internal/store"
)

// claims returns what scopes reveal of the person of a session: the answer of userinfo.
func (p *Provider) claims(_ context.Context, _ store.Session, g granted, _ []string) (map[string]any, error) {
	return map[string]any{"sub": g.Subject}, nil
}
