package gateway

import (
	"promess/authgw/certs"
	"promess/authgw/idp"
	"promess/authgw/idp/card"
	"promess/authgw/idp/oidc"
	"promess/authgw/idp/passkey"
	"promess/authgw/idp/psc"
	"promess/authgw/idp/qr"
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
	phone        *qr.Method     // nil: phones approve no logins
	psc          *psc.Method    // nil: Pro Santé Connect is not offered
	oidc         *oidc.Provider // nil: there can be no clients
	hosts        vhost.Config
	certificates []metrics.Certificate
	registration *idp.Registration // nil: no messages can be sent
}

// build makes parts, and changes nothing of what is in force.
func (g *Gateway) build(c Config) (p *parts, err error) {
	defer func() {
		if err != nil && p != nil {
			p.release()
			p = nil
		}
	}()
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
	p = &parts{config: c.Gateway, materials: c.Materials, verdicts: v, registration: provider.Registration}
	p.card = card.New(card.Config{
		Server: provider, Verifier: g.judge.verifier, Gateway: c.Gateway.Name, AgentPort: c.Gateway.AgentPort,
		BrowserOrigin: browserOrigin(c.Gateway), EndOnRemoval: c.Gateway.Card.EndOnRemoval, Store: g.store, Log: c.Log, Now: c.Now,
	})
	methods, err := g.methods(c, p, provider)
	if err != nil {
		return p, err
	}
	if p.oidc, err = g.oidc(c, provider); err != nil {
		return p, err
	}
	hosts := []vhost.Host{
		{Name: c.Gateway.Hosts.Auth, Handler: provider.Handler(methods...)},
		{Name: c.Gateway.Hosts.Card, Client: vhost.CardOfAgent, Handler: p.card.CardHost()},
	}
	if name := c.Gateway.Hosts.BrowserCard; name != "" {
		hosts = append(hosts, vhost.Host{Name: name, Client: vhost.CardOfBrowser, Handler: p.card.BrowserCardHost()})
	}
	if name := c.Gateway.Hosts.ClientCert; name != "" && p.oidc != nil {
		hosts = append(hosts, vhost.Host{Name: name, Client: vhost.AnyCertificate, Handler: p.oidc.ClientCertHost()})
	}
	for _, s := range provider.Services {
		h, err := g.serviceHost(c, provider.Gate(s))
		if err != nil {
			return p, err
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

// methods are the ways to sign in, in the order of the login page.
func (g *Gateway) methods(c Config, p *parts, provider *idp.Server) ([]idp.Method, error) {
	all := []idp.Method{p.card}
	if c.Gateway.OTP.Enabled {
		m, err := g.otp(c, provider)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	keyed, err := g.keyed(c, p, provider)
	if err != nil {
		return nil, err
	}
	all = append(all, keyed...)
	if p.psc = g.psc(c, provider); p.psc != nil {
		all = append(all, p.psc)
	}
	return all, nil
}

// keyed are the ways to sign in with a key of the workstation or of a phone.
func (g *Gateway) keyed(c Config, p *parts, provider *idp.Server) (all []idp.Method, err error) {
	if !c.Gateway.Passkeys.Enabled && !c.Gateway.Phone.Enabled {
		return all, nil
	}
	keys, err := passkey.NewCredentials(passkey.Config{Server: provider, Product: product, Store: provider.Store, Log: c.Log, Now: c.Now})
	if err != nil {
		return nil, err
	}
	if c.Gateway.Passkeys.Enabled {
		all = append(all, passkey.New(keys))
	}
	if c.Gateway.Phone.Enabled {
		p.phone = qr.New(qr.Config{
			Server: provider, Credentials: keys, Keys: c.Materials.SealKeys, Networks: c.Gateway.Phone.Networks, Store: provider.Store, Log: c.Log, Now: c.Now,
		})
		all = append(all, p.phone)
	}
	return all, nil
}

// stop lets go of requests that wait for longer than a server that stops does. It is called once.
func (p *parts) stop() {
	p.card.Stop()
	p.release()
	if p.phone != nil {
		p.phone.Stop()
	}
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
