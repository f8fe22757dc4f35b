package gateway

import (
	"context"

	"promess/authgw/idp"
	"promess/authgw/internal/keyring"
	"promess/authgw/internal/seal"
	"promess/authgw/internal/store"
)

// openRing opens the keys that all gateways of the database have in common, and hears of their changes. They outlive the parts: services find
// the key of an assertion that they were just given, whatever was reloaded since.
func (g *Gateway) openRing(c Config) (err error) {
	ctx, done := context.WithTimeout(context.Background(), keysTimeout)
	defer done()
	if g.ring, err = keyring.Open(ctx, g.store, c.Materials.SealKeys, c.Now); err != nil {
		return err
	}
	g.keys = idp.NewKeys(c.Gateway.Origin(c.Gateway.Hosts.Auth), g.ring, c.Now)
	g.sessions.OnChange(store.KeysChanged, func(string) { g.ring.Changed() })
	return nil
}

// useSealKeys gives the ring the keys of a key file that was read again.
func (g *Gateway) useSealKeys(keys *seal.Keys) error {
	ctx, done := context.WithTimeout(context.Background(), keysTimeout)
	defer done()
	return g.ring.Use(ctx, keys)
}
