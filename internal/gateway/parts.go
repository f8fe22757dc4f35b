package gateway

import (
	"promess/authgw/certs"
	"promess/authgw/idp"
	"promess/authgw/idp/card"
	"promess/authgw/internal/config"
	"promess/authgw/internal/metrics"
	"promess/authgw/internal/vhost"
)

// parts are what follows from a configuration and the files that it names. They are not changed: a configuration that is read again makes
// others. What outlives them is in Gateway.
type parts struct {
	config       *config.Gateway
	materials    Materials
	verdicts     *verdicts
	card         *card.Method
	hosts        vhost.Config
	certificates []metrics.Certificate
	registration *idp.Registration // nil: no messages can be sent
}

// build makes parts, and changes nothing of what is in force.
func (g *Gateway) build(c Config) (*parts, error) {
	v, err := newVerdicts(certs.Config{
		AllowTest: c.Gateway.Card.AllowTest, InsecureSkipRevocation: c.Gateway.Card.InsecureSkipRevocation, Now: c.Now,
	}, c.Materials)
	if err != nil {
		return nil, err
	}
	provider, err := g.provider(c)
	if err != nil {
		return nil, err
	}
	p := &parts{config: c.Gateway, materials: c.Materials, verdicts: v, registration: provider.Registration}
	p.card = card.New(card.Config{
		Server: provider, Verifier: g.judge.verifier, Gateway: c.Gateway.Name, AgentPort: c.Gateway.AgentPort,
		BrowserOrigin: browserOrigin(c.Gateway), EndOnRemoval: c.Gateway.Card.EndOnRemoval, Store: g.store, Log: c.Log, Now: c.Now,
	})
	hosts := []vhost.Host{
		{Name: c.Gateway.Hosts.Auth, Handler: provider.Handler(p.card)},
		{Name: c.Gateway.Hosts.Card, Client: vhost.CardOfAgent, Handler: p.card.CardHost()},
	}
	if name := c.Gateway.Hosts.BrowserCard; name != "" {
		hosts = append(hosts, vhost.Host{Name: name, Client: vhost.CardOfBrowser, Handler: p.card.BrowserCardHost()})
	}
	for _, s := range provider.Services {
		h, err := g.serviceHost(c, provider.Gate(s))
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, h)
	}
	p.hosts = vhost.Config{
		Hosts: hosts, Certificates: c.Materials.Certificates, CardIssuers: cardIssuers(c.Materials.Trust),
		PublicPort: c.Gateway.PublicPort, Log: c.Log, HandshakeFailed: g.metrics.HandshakeFailed,
	}
	p.certificates = firstToExpire(p.hosts)
	return p, nil
}

// firstToExpire returns, of each host, the end of the certificate that expires first: those who get it are turned away then.
func firstToExpire(c vhost.Config) []metrics.Certificate {
	var all []metrics.Certificate
	for _, h := range c.Hosts {
		first := metrics.Certificate{Host: h.Name}
		for _, cert := range c.Certificates {
			if cert.Leaf != nil && cert.Leaf.VerifyHostname(h.Name) == nil && (first.NotAfter.IsZero() || cert.Leaf.NotAfter.Before(first.NotAfter)) {
				first.NotAfter = cert.Leaf.NotAfter
			}
		}
		if !first.NotAfter.IsZero() {
			all = append(all, first)
		}
	}
	return all
}
