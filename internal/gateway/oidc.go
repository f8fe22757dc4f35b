package gateway

import (
	"promess/authgw/idp"
	"promess/authgw/idp/oidc"
)

// oidc makes the OpenID provider of an auth host and mounts it there; nil without a key file: a client's secrets and what it is given are to
// outlive a start, and to be the same on every gateway.
func (g *Gateway) oidc(c Config, server *idp.Server) (*oidc.Provider, error) {
	if c.Materials.SealKeys == nil {
		return nil, nil
	}
	certOrigin := ""
	if name := c.Gateway.Hosts.ClientCert; name != "" {
		certOrigin = c.Gateway.Origin(name)
	}
	p, err := oidc.New(oidc.Config{
		Server: server, Issuer: server.Origin, Clients: g.clients, Ring: g.ring, Store: g.store, Pages: server.Pages, Log: c.Log, Now: c.Now,
		ClientCertOrigin: certOrigin,
	})
	if err != nil {
		return nil, err
	}
	server.Mount(p)
	return p, nil
}

// release lets go of what parts hear of, when they are not, or no longer, in force.
func (p *parts) release() {
	if p.oidc != nil {
		p.oidc.Close()
	}
}
