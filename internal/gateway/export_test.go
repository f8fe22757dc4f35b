package gateway

import (
	"context"

	"promess/authgw/internal/client"
)

// Refresh does what the gateway does every few seconds, without waiting for what has changed to be still.
func (g *Gateway) Refresh() { g.poll(true) }

// CloseStore takes the database away.
func (g *Gateway) CloseStore() error { return g.store.Close() }

// Client looks for a client of the OpenID provider, as its endpoints do.
func (g *Gateway) Client(ctx context.Context, id string) (*client.Client, error) {
	return g.clients.Client(ctx, id)
}
