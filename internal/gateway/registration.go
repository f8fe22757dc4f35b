package gateway

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/config"
	"promess/authgw/internal/mail"
	"promess/authgw/internal/seal"
)

// loadSecrets reads the keys of seal_keys, what the mail server's certificate is judged by, and the password for it.
func (m *Materials) loadSecrets(c *config.Gateway) (err error) {
	if m.SealKeys, err = config.LoadSealKeys(c.SealKeys); err != nil {
		return fmt.Errorf("keys %s: %w", c.SealKeys, err)
	}
	if m.MailPassword, err = c.Mail.Password(); err != nil {
		return err
	}
	if c.Mail.CA == "" {
		return nil
	}
	pem, err := os.ReadFile(c.Mail.CA)
	if err != nil {
		return fmt.Errorf("authorities of the mail server: %w", err)
	}
	m.MailRoots = x509.NewCertPool()
	if !m.MailRoots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("authorities of the mail server: %s holds no certificate in PEM", c.Mail.CA)
	}
	return nil
}

// keysTimeout bounds how long a start or a reload waits for the database to say which keys it was used with.
const keysTimeout = 10 * time.Second

// registration is how ordinary addresses are asked for: nil when no messages can be sent. Keys that are not those of the database are
// refused here, so at the start and at each reload.
func (g *Gateway) registration(c Config, product string) (*idp.Registration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), keysTimeout)
	defer cancel()
	if err := seal.VerifyKeys(ctx, c.Materials.SealKeys, g.store); err != nil {
		return nil, fmt.Errorf("keys of seal_keys: %w", err)
	}
	m := c.Gateway.Mail
	if m.Host == "" || c.Materials.SealKeys == nil {
		return nil, nil
	}
	sender, err := mail.New(mail.Config{
		Host: m.Host, Port: m.Port, ImplicitTLS: m.TLS == "tls", InsecureNoTLS: m.InsecureNoTLS, Roots: c.Materials.MailRoots,
		User: m.User, Password: c.Materials.MailPassword, Timeout: m.Timeout, From: m.From, Product: product,
		Origin: c.Gateway.Origin(c.Gateway.Hosts.Auth), SupportPhone: c.Gateway.Support.Phone, SupportMail: c.Gateway.Support.Mail, Now: c.Now,
	})
	if err != nil {
		return nil, err
	}
	return &idp.Registration{
		Mail: sender, Outbox: g.outbox, Keys: c.Materials.SealKeys, Protected: m.ProtectedDomains, AtFirstLogin: c.Gateway.Accounts.Register,
	}, nil
}
