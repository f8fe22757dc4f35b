package gateway

import (
	"context"

	"promess/authgw/idp/oidc"
)

// newBackChannel makes what tells clients of the OpenID provider that sessions are over. It outlives each configuration: what a command or another
// gateway ends is told of too, and what is left from before this start.
func (g *Gateway) newBackChannel(c Config) *oidc.BackChannel {
	return oidc.NewBackChannel(oidc.BackChannelConfig{
		Issuer: c.Gateway.Origin(c.Gateway.Hosts.Auth), Sessions: g.sessions, Clients: g.clients, Ring: g.ring, Store: g.store, Audit: g.audit,
		Log: c.Log, Now: c.Now, Outcome: func(o oidc.Outcome) { g.metrics.LogoutTold(string(o)) }, Roots: c.ClientRoots,
	})
}

// LogoutsWaiting implements metrics.Source.
func (o observed) LogoutsWaiting() (int, bool) {
	ctx, done := context.WithTimeout(context.Background(), databasePatience)
	defer done()
	n, err := o.store.CountLogouts(ctx)
	return n, err == nil
}
