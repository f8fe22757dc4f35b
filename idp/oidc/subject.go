package oidc

import (
	"promess/authgw/internal/client"
	"promess/authgw/internal/keyring"
)

// subject returns what a client knows an account by (OpenID Connect Core 1.0, section 8). It never holds a colon: the library cuts its own
// tokens there.
func (p *Provider) subject(c *client.Client, account string) string {
	return subjectOf(p.Ring, c, account)
}

func subjectOf(ring *keyring.Ring, c *client.Client, account string) string {
	if c.Subject == client.PairwiseSubject {
		return ring.Pairwise(c.Sector, account)
	}
	return account
}
