package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"promess/authgw/internal/client"
)

// maxJWKS bounds the file of a client's keys, in bytes.
const maxJWKS = 64 << 10

// Client is a service that sends its users here to sign in. What its settings mean, package client says; LoadGateway has asked it.
type Client struct {
	client.Settings        // JWKS is what was in JWKSFile
	SecretFile      string // of auth client_secret: the one line is the secret
	JWKSFile        string // of auth private_key_jwt: a JWK set of public keys
}

// Own returns the hosts that no client is answered at: those of the gateway itself.
func (h Hosts) Own() []string {
	return slices.DeleteFunc([]string{h.Auth, h.Card, h.BrowserCard, h.ClientCert}, func(name string) bool { return name == "" })
}

// Own returns what is the gateway's and no client's.
func (g *Gateway) Own() client.Own {
	own := client.Own{Hosts: g.Hosts.Own()}
	for _, s := range g.Services {
		own.Services = append(own.Services, s.Name)
	}
	return own
}

// readClients reads the section clients. hosts, services and seal_keys have been read.
func readClients(top *section, g *Gateway) {
	ids := &claims{what: "client id"}
	g.Clients = list(top, "clients", func(v value) (Client, error) {
		s, err := v.section()
		if err != nil {
			return Client{}, err
		}
		c := readClient(s, g.Own())
		ids.add(c.ID, s.at("id"))
		return c, nil
	})
	if (len(g.Clients) > 0 || g.Hosts.ClientCert != "") && g.SealKeys == "" {
		if keys := top.at("seal_keys"); keys.node == nil || isOff(keys) {
			keys.reportf("missing: the file of keys for the tokens of clients, which is made with  printf 'k1 %%s\\n' \"$(openssl rand -base64 32)\"")
		}
	}
}

// places is where the parts of a client's settings stand, by their keys.
type places map[string]value

func readClient(s *section, own client.Own) Client {
	at := places{}
	c := Client{Settings: client.Settings{
		ID:          required(s, "id", "the client_id that the service sends", value.text),
		Title:       required(s, "title", "its name, as people are shown it", value.text),
		Description: optional(s, "description", "", value.text), Home: optional(s, "home", "", value.text),
		Native: optional(s, "native", false, value.boolean),

		RedirectURIs: at.texts(s, "redirect_uris", ""), PostLogoutRedirectURIs: at.texts(s, "post_logout_redirect_uris", ""),

		Scopes: at.texts(s, "scopes", ""), Refresh: optional(s, "refresh", false, value.boolean), Device: optional(s, "device", false, value.boolean),
		Consent: optional(s, "consent", false, value.boolean), Introspect: optional(s, "introspect", false, value.boolean),

		Allow:  readClientAllow(s.sub("allow"), at),
		MaxAge: optional(s, "max_age", "", value.text), Subject: optional(s, "subject", string(client.PublicSubject), value.text),
		Sector: optional(s, "sector", "", value.text), Signing: optional(s, "signing", "ES256", value.text),

		BackchannelLogoutURI: optional(s, "backchannel_logout_uri", "", value.text), BackchannelNetworks: at.texts(s, "backchannel_networks", ""),
		FrontchannelLogoutURI: optional(s, "frontchannel_logout_uri", "", value.text),

		Auth: optional(s, "auth", string(client.SharedSecret), value.text), Certificates: at.texts(s, "certificates", ""),
	}}
	c.SecretFile = optional(s, "secret_file", "", orOff(clientSecretFile))
	c.JWKSFile = optional(s, "jwks_file", "", orOff(jwksFile))
	if c.JWKSFile != "" {
		c.JWKS, _ = ReadJWKS(c.JWKSFile) // what cannot be read was reported
	}
	s.close()
	c.check(s, own, at)
	return c
}

// check reports what is wrong with settings that could be read.
func (c *Client) check(s *section, own client.Own, at places) {
	secret := s.at("secret_file")
	given := secret.node != nil && !isOff(secret)
	if c.Auth == string(client.SharedSecret) && !given {
		secret.reportf("missing: the file with the client's secret, which auth: client_secret needs. %s", makeSecret)
	} else if c.Auth != string(client.SharedSecret) && given {
		secret.reportf("auth: client_secret expected beside it; leave it out, or set auth")
	}
	_, err := c.Settings.Client(own)
	var refused *client.Refused
	if !errors.As(err, &refused) {
		return
	}
	for _, p := range refused.Problems {
		base, _, _ := strings.Cut(p.Key, "[")
		v, exact := at[p.Key]
		if p.Key == "jwks" {
			base = "jwks_file"
		}
		switch here := s.at(base); {
		case exact:
			v.reportf("%s", p.Text)
		case slices.Contains([]string{"id", "title"}, base) && (here.node == nil || !isText(here)):
			// reported as missing, or as no text
		case base == "jwks_file" && c.JWKSFile == "" && here.node != nil && !isOff(here):
			// reported as a file that cannot be read
		default:
			here.reportf("%s", p.Text)
		}
	}
}

func isText(v value) bool {
	_, err := v.text()
	return err == nil
}

// readClientAllow reads who may sign in to a client.
func readClientAllow(s *section, at places) client.Allow {
	a := client.Allow{
		Level: optional(s, "level", "", value.text), Methods: at.texts(s, "methods", "allow."), Professions: at.texts(s, "professions", "allow."),
		CardTypes: at.texts(s, "card_types", "allow."), Structures: at.texts(s, "structures", "allow."),
	}
	at["allow.level"] = s.at("level")
	for _, key := range []string{"methods", "professions", "card_types", "structures"} {
		if v := s.at(key); v.node != nil {
			if values, err := v.list(); err == nil && len(values) == 0 { // would be everybody, and looks like nobody
				v.reportf("at least one value expected, an empty list given (leave the key out to allow everybody)")
			}
		}
	}
	s.close()
	return a
}

// texts reads a list of texts and notes where each stands.
func (p places) texts(s *section, key, under string) []string {
	p[under+key] = s.at(key)
	var all []string
	for _, v := range optional(s, key, nil, value.list) {
		text, err := v.text()
		if err != nil {
			v.report(err)
			continue
		}
		p[fmt.Sprintf("%s%s[%d]", under, key, len(all))] = v
		all = append(all, text)
	}
	return all
}

// makeSecret says how a secret is made that nobody can guess.
const makeSecret = "It is made with  (umask 077; openssl rand -base64 32 | tr +/ -_ | tr -d = > FILE)"

// clientSecretFile reads the path of a file with the secret of a client, which only its owner may read.
func clientSecretFile(v value) (string, error) {
	name, err := regular("the secret of a client", maxPassword)(v)
	if err == nil {
		err = ownersOnly(name, "the secret of a client")
	}
	if err != nil {
		return "", err
	}
	if _, err := readSecret(name); err != nil {
		return "", fmt.Errorf("the secret of a client expected at %s: %w. %s", quote(name), err, makeSecret)
	}
	return name, nil
}

// readSecret returns the hash of a secret in a file.
func readSecret(name string) ([32]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return [32]byte{}, errors.New(reason(err))
	}
	return client.HashSecret(strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"))
}

// jwksFile reads the path of a file with the public keys of a client.
func jwksFile(v value) (string, error) {
	name, err := regular("a JWK set", maxJWKS)(v)
	if err != nil {
		return "", err
	}
	if _, err := ReadJWKS(name); err != nil {
		return "", fmt.Errorf("a JWK set expected at %s: %w", quote(name), err)
	}
	return name, nil
}

// ReadJWKS reads the file of a client's keys. What is in it, package client says.
func ReadJWKS(name string) (json.RawMessage, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, errors.New(reason(err))
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJWKS))
	switch {
	case err != nil:
		return nil, errors.New(reason(err))
	case !json.Valid(data):
		return nil, errors.New("it holds no JSON")
	}
	return data, nil
}

// LoadClients returns the clients of the configuration, with the secrets that their files hold now.
func (g *Gateway) LoadClients() ([]*client.Client, error) {
	var all []*client.Client
	for _, s := range g.Clients {
		c, err := s.Settings.Client(g.Own())
		if err != nil {
			return nil, fmt.Errorf("client %q: %w", s.ID, err)
		}
		if c.Auth == client.SharedSecret {
			hash, err := readSecret(s.SecretFile)
			if err != nil {
				return nil, fmt.Errorf("read the secret of client %q: %s: %w", s.ID, s.SecretFile, err)
			}
			c.SecretHashes = [][32]byte{hash}
		}
		all = append(all, c)
	}
	return all, nil
}

func (d *dump) clients(all []Client) {
	if len(all) == 0 {
		return
	}
	d.open("clients")
	for _, c := range all {
		d.client(c)
	}
	d.close()
}

func (d *dump) client(c Client) {
	d.item()
	d.text("id", c.ID)
	d.text("title", c.Title)
	d.text("description", c.Description)
	d.text("home", c.Home)
	d.set("native", c.Native)
	d.texts("redirect_uris", c.RedirectURIs)
	d.texts("post_logout_redirect_uris", c.PostLogoutRedirectURIs)
	d.texts("scopes", c.Scopes)
	d.set("refresh", c.Refresh)
	d.set("device", c.Device)
	d.set("consent", c.Consent)
	d.set("introspect", c.Introspect)
	if a := c.Allow; a.Level != "" || len(a.Methods)+len(a.Professions)+len(a.CardTypes)+len(a.Structures) > 0 {
		d.open("allow")
		d.text("level", a.Level)
		d.texts("methods", a.Methods)
		d.texts("professions", a.Professions)
		d.texts("card_types", a.CardTypes)
		d.texts("structures", a.Structures)
		d.close()
	}
	d.text("max_age", c.MaxAge)
	d.text("subject", c.Subject)
	d.text("sector", c.Sector)
	d.text("signing", c.Signing)
	d.text("backchannel_logout_uri", c.BackchannelLogoutURI)
	d.texts("backchannel_networks", c.BackchannelNetworks)
	d.text("frontchannel_logout_uri", c.FrontchannelLogoutURI)
	d.text("auth", c.Auth)
	d.texts("certificates", c.Certificates)
	d.text("secret_file", c.SecretFile)
	d.text("jwks_file", c.JWKSFile)
	d.close()
}
