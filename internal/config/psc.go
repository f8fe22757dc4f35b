package config

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// PSC is the login with Pro Santé Connect. The zero value offers none.
type PSC struct {
	Environment string   // production (default) or sandbox: of what Issuer and Hosts are, where they are not given
	Issuer      string   // https URL, exactly as tokens have it
	Hosts       []string // that its endpoints may be on: host, or host:port when that is not 443
	ClientID    string   // empty: there is no such login
	ClientAuth  string   // basic (default), post or tls
	// ClientSecretFile holds the secret of basic and post; ClientCert and ClientKey are the files of tls.
	ClientSecretFile, ClientCert, ClientKey string
	ACR                                     []string      // levels that are accepted; default eidas1, eidas2, eidas3
	Scopes                                  []string      // default openid, scope_all
	Timeout                                 time.Duration // of all that a login waits for; default 10 s
	CA                                      string        // PEM file of the authorities of its servers; empty: those of the system
	ButtonImage                             string        // file of an SVG or PNG image for the button; empty: its words
}

// pscEnvironment is one of those that the ANS runs.
type pscEnvironment struct {
	issuer string
	hosts  []string
}

// environments returns where Pro Santé Connect is, by the name of the environment.
func environments() map[string]pscEnvironment {
	at := func(name string) pscEnvironment {
		return pscEnvironment{
			"https://auth." + name + ".esante.gouv.fr/auth/realms/esante-wallet",
			[]string{"auth." + name + ".esante.gouv.fr", "wallet." + name + ".esante.gouv.fr"},
		}
	}
	return map[string]pscEnvironment{"production": at("esw"), "sandbox": at("bas.psc")}
}

// readPSC reads the section psc.
func readPSC(top *section, g *Gateway) {
	at := top.at("psc")
	s := top.sub("psc")
	if at.node == nil {
		return
	}
	p := PSC{Environment: optional(s, "environment", "production", oneOf("production", "sandbox"))}
	known := environments()[p.Environment]
	p.Issuer = optional(s, "issuer", known.issuer, issuerURL)
	p.Hosts = pscHosts(s, known.hosts)
	p.ClientID = required(s, "client_id", "the name that Pro Santé Connect knows this gateway by", words(200))
	p.ClientAuth = optional(s, "client_auth", "basic", oneOf("basic", "post", "tls"))
	p.ClientSecretFile = optional(s, "client_secret_file", "", databasePasswordFile)
	p.ClientCert = optional(s, "client_cert", "", orOff(authorities))
	p.ClientKey = optional(s, "client_key", "", orOff(privateKey))
	p.ACR = someOf(s, "acr", []string{"eidas1", "eidas2", "eidas3"}, oneOf("eidas1", "eidas2", "eidas3"))
	p.Scopes = someOf(s, "scopes", []string{"openid", "scope_all"}, scope)
	p.Timeout = optional(s, "timeout", 10*time.Second, duration(time.Second, 25*time.Second)) // an answer of the listener may take a minute
	p.CA = optional(s, "ca", "", orOff(authorities))
	p.ButtonImage = optional(s, "button_image", "", orOff(logo))
	if len(p.Scopes) > 0 && p.Scopes[0] != "openid" {
		s.at("scopes").reportf("openid expected first, without which there is no identity")
	}
	p.checkClient(s)
	if keys := top.at("seal_keys"); keys.node == nil || isOff(keys) {
		keys.reportf("missing: the file of keys for the tokens of Pro Santé Connect, which is made with  printf 'k1 %%s\\n' \"$(openssl rand -base64 32)\"")
	}
	s.close()
	g.PSC = p
}

// checkClient refuses another proof of who the gateway is than the one that client_auth says, or none.
func (p PSC) checkClient(s *section) {
	given := func(key string) bool { return s.at(key).node != nil && !isOff(s.at(key)) }
	secret, cert, key := given("client_secret_file"), given("client_cert"), given("client_key")
	switch {
	case p.ClientAuth == "tls" && (secret || !cert || !key):
		s.at("client_auth").reportf("client_cert and client_key expected beside tls, and no client_secret_file")
	case p.ClientAuth != "tls" && p.ClientAuth != "" && (!secret || cert || key):
		s.at("client_auth").reportf("client_secret_file expected beside %s, and no client_cert or client_key", p.ClientAuth)
	case p.ClientCert != "" && p.ClientKey != "":
		if _, err := fit(KeyPair{p.ClientCert, p.ClientKey}); err != nil {
			s.at("client_key").report(err)
		}
	}
}

// pscHosts reads the hosts of endpoints. Without any they are those of the environment; that of another issuer is then to be said.
func pscHosts(s *section, known []string) []string {
	return someOf(s, "hosts", known, func(v value) (string, error) {
		text, err := v.text()
		if err == nil && isHost(text) {
			return text, nil
		}
		if text, err = dialAddress(v); err != nil {
			return "", v.want("a host name in lower case, or host:port,")
		}
		return strings.TrimSuffix(text, ":443"), nil
	})
}

// someOf is list, with what counts where the key is absent, and without an empty list.
func someOf(s *section, key string, fallback []string, read func(value) (string, error)) []string {
	at := s.at(key)
	if at.node == nil {
		return fallback
	}
	if values, err := at.list(); err == nil && len(values) == 0 {
		at.reportf("at least one value expected, an empty list given")
	}
	refuseTwice(s, key, read)
	return list(s, key, read)
}

// orOff reads what read does, or "off", which is nothing.
func orOff(read func(value) (string, error)) func(value) (string, error) {
	return func(v value) (string, error) {
		if isOff(v) {
			return "", nil
		}
		return read(v)
	}
}

// issuerURL reads the URL of an issuer: it is compared letter by letter, so it is written in the one plain way.
func issuerURL(v value) (string, error) {
	const want = "an https URL without user, query or final slash"
	text, err := v.text()
	if err != nil {
		return "", v.want(want)
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.String() != text || u.RawQuery != "" || u.ForceQuery ||
		u.Fragment != "" || strings.HasSuffix(text, "/") || strings.ToLower(u.Host) != u.Host {
		return "", v.want(want)
	}
	return text, nil
}

// scope reads a word of RFC 6749, section 3.3.
func scope(v value) (string, error) {
	text, err := v.text()
	bad := func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }
	if err != nil || strings.ContainsFunc(text, bad) {
		return "", v.want("a scope")
	}
	return text, nil
}

// Secret reads the client's secret: the one line of its file. It is empty without a file.
func (p PSC) Secret() (string, error) {
	if p.ClientSecretFile == "" {
		return "", nil
	}
	data, err := os.ReadFile(p.ClientSecretFile)
	if err != nil {
		return "", fmt.Errorf("read the secret of psc: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if line == "" || len(line) > maxPassword || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
		return "", fmt.Errorf("read the secret of psc: %s holds something else than one line", p.ClientSecretFile)
	}
	return line, nil
}

func (d *dump) psc(p PSC) {
	if p.ClientID == "" {
		return
	}
	d.open("psc")
	d.text("environment", p.Environment)
	d.text("issuer", p.Issuer)
	d.texts("hosts", p.Hosts)
	d.text("client_id", p.ClientID)
	d.text("client_auth", p.ClientAuth)
	d.text("client_secret_file", p.ClientSecretFile)
	d.text("client_cert", p.ClientCert)
	d.text("client_key", p.ClientKey)
	d.texts("acr", p.ACR)
	d.texts("scopes", p.Scopes)
	d.duration("timeout", p.Timeout)
	d.text("ca", p.CA)
	d.text("button_image", p.ButtonImage)
	d.close()
}
