package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"promess/authgw/certs"
	"promess/authgw/idp"
	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
	"promess/authgw/internal/seal"
)

// Materials are the certificates, keys and images that a configuration names in files.
type Materials struct {
	Certificates []tls.Certificate // of the listener, each with its Leaf
	Trust        *certs.Trust
	// CRLs reads the revocation lists as they are now; it is called again whenever they may have changed.
	CRLs func() (*certs.CRLs, error)
	// Changed says whether the lists may have changed since its last call. Nil: they never do.
	Changed func() bool
	// BackendRoots are the authorities of https backends, by name of the service. A service that is not here has those of the system.
	BackendRoots map[string]*x509.CertPool
	Logos        map[string]*idp.Logo // of services on the portal, by name; a service may have none

	SealKeys     *seal.Keys     // nil: there are none
	MailRoots    *x509.CertPool // of the mail server's certificate; nil: those of the system
	MailPassword string         // empty: the mail server asks for none

	PSCSecret      string           // empty: the client has none
	PSCCertificate *tls.Certificate // of the client; nil: it has none
	PSCRoots       *x509.CertPool   // of its servers' certificates; nil: those of the system
	PSCButton      *idp.Logo        // nil: it has no image

	Clients []*client.Client // of the configuration, with their secrets

	files *fileWatch // all other files, that of the configuration included; nil: they are not watched
}

// Load reads a configuration file and the materials that it names.
func Load(file string) (*config.Gateway, Materials, error) {
	before := newFileWatch(file) // what changes while it is read has changed after
	c, err := config.LoadGateway(file)
	if err != nil {
		return nil, Materials{}, err
	}
	m, err := LoadMaterials(c)
	if err != nil {
		return nil, Materials{}, err
	}
	m.files.join(before)
	return c, m, nil
}

// LoadMaterials reads them. A file that is missing, empty or holds anything else is an error, never a reason to go on without it (A1).
func LoadMaterials(c *config.Gateway) (Materials, error) {
	m := Materials{BackendRoots: map[string]*x509.CertPool{}, Logos: map[string]*idp.Logo{}, files: newFileWatch(namedFiles(c)...)}
	for _, pair := range c.TLS {
		cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key) // fills in Leaf
		if err != nil {
			return Materials{}, fmt.Errorf("server certificate %s with key %s: %w", pair.Cert, pair.Key, err)
		}
		m.Certificates = append(m.Certificates, cert)
	}
	trust, err := certs.LoadTrust(c.Card.Trust, c.Card.Issuers)
	if err != nil {
		return Materials{}, err
	}
	m.Trust = trust
	m.Changed = newFileWatch(c.Card.CRLs...).changed
	m.CRLs = func() (*certs.CRLs, error) { return certs.LoadCRLs(trust, c.Card.CRLs) }
	for _, s := range c.Services {
		if s.BackendCA == "" {
			continue
		}
		pem, err := os.ReadFile(s.BackendCA)
		if err != nil {
			return Materials{}, fmt.Errorf("authorities of the backend of %q: %w", s.Name, err)
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return Materials{}, fmt.Errorf("authorities of the backend of %q: %s holds no certificate in PEM", s.Name, s.BackendCA)
		}
		m.BackendRoots[s.Name] = pool
	}
	for _, s := range c.Services {
		if s.Logo == "" {
			continue
		}
		mediaType, image, err := config.LoadLogo(s.Logo)
		if err != nil {
			return Materials{}, fmt.Errorf("logo %s of %q: %w", s.Logo, s.Name, err)
		}
		m.Logos[s.Name] = idp.NewLogo(mediaType, image)
	}
	if err := m.loadSecrets(c); err != nil {
		return Materials{}, err
	}
	if err := m.loadPSC(c.PSC); err != nil {
		return Materials{}, err
	}
	if m.Clients, err = c.LoadClients(); err != nil {
		return Materials{}, err
	}
	return m, nil
}

// namedFiles are the files of a configuration whose change is a reason to read it again, but the revocation lists: those are read alone.
func namedFiles(c *config.Gateway) []string {
	files := []string{c.Card.Trust}
	if c.File != "" {
		files = append(files, c.File)
	}
	for _, pair := range c.TLS {
		files = append(files, pair.Cert, pair.Key)
	}
	for _, s := range c.Services {
		if s.BackendCA != "" {
			files = append(files, s.BackendCA)
		}
		if s.Logo != "" {
			files = append(files, s.Logo)
		}
	}
	for _, one := range c.Clients {
		for _, name := range []string{one.SecretFile, one.JWKSFile} {
			if name != "" {
				files = append(files, name)
			}
		}
	}
	for _, name := range []string{
		c.SealKeys, c.Mail.CA, c.Mail.PasswordFile, c.Passwords.Breached,
		c.PSC.ClientSecretFile, c.PSC.ClientCert, c.PSC.ClientKey, c.PSC.CA, c.PSC.ButtonImage,
	} {
		if name != "" {
			files = append(files, name)
		}
	}
	return files
}
