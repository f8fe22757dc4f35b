package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"promess/authgw/idp"
	"promess/authgw/idp/psc"
	"promess/authgw/internal/config"
)

// loadPSC reads what the section psc names.
func (m *Materials) loadPSC(c config.PSC) (err error) {
	if m.PSCSecret, err = c.Secret(); err != nil {
		return err
	}
	if c.ClientCert != "" {
		cert, err := tls.LoadX509KeyPair(c.ClientCert, c.ClientKey)
		if err != nil {
			return fmt.Errorf("client certificate %s of psc with key %s: %w", c.ClientCert, c.ClientKey, err)
		}
		m.PSCCertificate = &cert
	}
	if c.CA != "" {
		pem, err := os.ReadFile(c.CA)
		if err != nil {
			return fmt.Errorf("authorities of psc: %w", err)
		}
		m.PSCRoots = x509.NewCertPool()
		if !m.PSCRoots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("authorities of psc: %s holds no certificate in PEM", c.CA)
		}
	}
	if c.ButtonImage != "" {
		mediaType, image, err := config.LoadLogo(c.ButtonImage)
		if err != nil {
			return fmt.Errorf("button_image %s of psc: %w", c.ButtonImage, err)
		}
		m.PSCButton = idp.NewLogo(mediaType, image)
	}
	return nil
}

// psc makes the login with Pro Santé Connect; nil: it is not offered.
func (g *Gateway) psc(c Config, provider *idp.Server) *psc.Method {
	p, m := c.Gateway.PSC, c.Materials
	if p.ClientID == "" || m.SealKeys == nil {
		return nil
	}
	var before *psc.Method
	if old := g.parts.Load(); old != nil {
		before = old.psc
	}
	return psc.New(psc.Config{
		Server: provider, Store: g.store, Keys: m.SealKeys, Issuer: p.Issuer, Hosts: p.Hosts, ClientID: p.ClientID, Auth: psc.ClientAuth(p.ClientAuth),
		Secret: m.PSCSecret, Certificate: m.PSCCertificate, Roots: m.PSCRoots, ACR: p.ACR, Sandbox: p.Environment == "sandbox", Scopes: p.Scopes, Timeout: p.Timeout, Button: m.PSCButton,
		Before: before, Log: c.Log, Now: c.Now, Observe: g.metrics.PSCRequest,
	})
}

// pscOrigins are where the form of the button may end up.
func pscOrigins(p config.PSC) []string {
	var all []string
	for _, host := range p.Hosts {
		all = append(all, "https://"+host)
	}
	return all
}

// runPSC runs what belongs to the login that is in force, until ctx ends.
func (g *Gateway) runPSC(ctx context.Context) {
	for ctx.Err() == nil {
		inner, cancel := context.WithCancel(ctx)
		done := make(chan struct{})
		m := g.parts.Load().psc
		go func() { // ends with inner
			defer close(done)
			if m != nil {
				m.Run(inner)
			}
		}()
		select {
		case <-ctx.Done():
		case <-g.replaced:
		}
		cancel()
		<-done
	}
}
