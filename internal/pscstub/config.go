package pscstub

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"
)

// Path is the path of the issuer, that of PSC's.
const Path = "/auth/realms/esante-wallet"

// The endpoints below the issuer. AuthorizePath is where the wallet sends the person on, and no part of the discovery document.
const (
	DiscoveryPath = "/.well-known/wallet-openid-configuration"
	AuthorizePath = "/protocol/openid-connect/auth"
	TokenPath     = "/protocol/openid-connect/token"
	UserinfoPath  = "/protocol/openid-connect/userinfo"
	LogoutPath    = "/protocol/openid-connect/logout"
	KeysPath      = "/protocol/openid-connect/certs"

	// WalletPath is where the authorization endpoint is, on the wallet's host.
	WalletPath = "/auth"

	ChoicePath = "/login-actions/authenticate" // of the page that shows the choice
)

// The lifetimes of PSC.
const (
	AccessLifetime  = 2 * time.Minute
	RefreshLifetime = 30 * time.Minute // since the last refresh
	SessionLifetime = 4 * time.Hour    // since the person signed in
)

// Client is a relying party. With neither Secret nor CertificateSubject nobody can be it.
type Client struct {
	ID           string
	Secret       string // client_secret_basic or client_secret_post
	RedirectURIs []string
	LogoutURIs   []string // where a person may come back to after a logout

	// CertificateSubject makes the client prove itself by a TLS certificate with this subject, as Certificate.Subject.String writes it,
	// under CertificateRoots, and by nothing else (RFC 8705, section 2.1).
	CertificateSubject string
	CertificateRoots   *x509.CertPool
}

// Config is what a Provider needs. Issuer, Wallet and Clients are required.
type Config struct {
	Issuer  string // https URL whose path is Path
	Wallet  string // https URL of the authorization endpoint whose path is WalletPath; it may be on another host
	Clients []Client
	People  []Person         // default: People()
	Key     *rsa.PrivateKey  // default: a new one
	Now     func() time.Time // default: time.Now
}

// check says what is wrong with a configuration, and sets its defaults.
func (c *Config) check() error {
	for _, place := range []struct{ name, value, path string }{{"Issuer", c.Issuer, Path}, {"Wallet", c.Wallet, WalletPath}} {
		u, err := url.Parse(place.value)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != place.path || u.RawQuery != "" {
			return fmt.Errorf("pscstub: %s: %q is not https://host%s", place.name, place.value, place.path)
		}
	}
	if len(c.Clients) == 0 {
		return errors.New("pscstub: Clients: nobody could sign in")
	}
	for _, client := range c.Clients {
		if (client.CertificateSubject == "") != (client.CertificateRoots == nil) {
			return fmt.Errorf("pscstub: client %q: CertificateSubject and CertificateRoots go together", client.ID)
		}
	}
	if c.People == nil {
		c.People = People()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Key == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return fmt.Errorf("pscstub: make key: %w", err)
		}
		c.Key = key
	}
	return nil
}

func (c *Config) client(id string) *Client {
	i := slices.IndexFunc(c.Clients, func(k Client) bool { return k.ID == id })
	if i < 0 {
		return nil
	}
	return &c.Clients[i]
}

func (c *Config) person(key string) *Person {
	i := slices.IndexFunc(c.People, func(p Person) bool { return p.Key == key })
	if i < 0 {
		return nil
	}
	return &c.People[i]
}
