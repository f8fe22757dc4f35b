package oidc

import (
	"context"
	"time"

	"promess/authgw/internal/client"
)

// Hint returns whom an ID token of ours means.
func (p *Provider) Hint(ctx context.Context, text string) (subject string, err error) {
	claims, err := p.hint(ctx, text)
	if err != nil {
		return "", err
	}
	return claims.Subject, nil
}

// Proves says whether an assertion proves that a client is one, at a time.
func Proves(c *client.Client, text string, audiences []string, now time.Time) bool {
	a, reason := readAssertion(c, text)
	return reason == "" && a.wrong(c.ID, audiences, now) == ""
}
