package config

import (
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// Gateway is the configuration of authgw serve: checked, complete, and not changed after LoadGateway has returned it.
type Gateway struct {
	File string // where it was read from

	Name       string         // how agents know this gateway: [a-z0-9-]{1,32}; default "authgw"
	Listen     netip.AddrPort // TLS listener; default 0.0.0.0:443
	PublicPort uint16         // port in the origins that browsers see; default: the port of Listen
	Admin      netip.AddrPort // admin listener; default 127.0.0.1:9443 on loopback; a zero value when "off"
	AgentPort  uint16         // port of the agents on the workstations; default 24780

	Hosts     Hosts
	TLS       []KeyPair // at least one; each host name is covered by one of them
	Card      Card
	Services  []Service // at least one
	Session   Session
	Accounts  Accounts
	Passwords Passwords
	Database  string // path of a SQLite file, or the URL of a PostgreSQL database, without a password
	// DatabasePasswordFile holds the password of a PostgreSQL database; empty: the server asks for none.
	DatabasePasswordFile string
	DatabaseGrace        time.Duration // for which open sessions go on when the database does not answer; default 60 s
	SealKeys             string        // file of the keys that secrets are kept with: see package seal; empty: nothing is kept that needs one
	Mail                 Mail
	OTP                  OTP
	Passkeys             Passkeys
	Phone                Phone
	PSC                  PSC
	Clients              []Client // of the OpenID provider, besides those in the database
	Support              Support
	Log                  Log
	Audit                Audit
}

// Hosts are the names that the listener answers to, besides those of the services. Lower case, all different.
type Hosts struct {
	Auth        string
	Card        string
	BrowserCard string // empty: browsers with their own access to the card are not offered it
	ClientCert  string // where clients of the OpenID provider prove themselves with a TLS certificate; empty: none does
}

// KeyPair names the files of a server certificate (PEM, the leaf first) and its key.
type KeyPair struct {
	Cert, Key string
}

// Card is the card method.
type Card struct {
	Trust     string   // directory of PEM or DER certificates: self-signed ones are roots, others intermediates
	Issuers   []string // common names of the intermediates that may issue cards; empty: the rule of package certs
	CRLs      []string // files, PEM or DER
	AllowTest bool     // accept test cards
	// InsecureSkipRevocation accepts cards without a revocation list. For a trial without network only; it is logged at every start.
	InsecureSkipRevocation bool
	EndOnRemoval           bool // end the session when the card leaves the reader; default true
}

// Service is an application behind the gateway, or behind another proxy that asks the gateway.
type Service struct {
	Name        string   // [a-z0-9-]{1,32}; the audience of its assertions
	Host        string   // its name on the listener
	Backend     *url.URL // http or https, no path, query or user; nil: Proxies forward to it
	BackendCA   string   // PEM file of the authorities of an https backend; empty: those of the system
	Title       string   // on the portal
	Description string
	Logo        string // file of an SVG or PNG image on the portal; empty: the first letter of the title
	Home        string // path that the portal's link opens; default "/"
	Allow       Allow  // who may open it; the zero value is everybody who is signed in
	// Proxies are the addresses of the other reverse proxies that forward to it, and ask /auth/verify about each request. Exactly when there
	// is no Backend.
	Proxies []netip.Prefix
}

// Allow says who may open a service: whoever fits all of its lists that are not empty, and signed in at least at its level.
type Allow struct {
	Professions []string // codes of nomenclature G15: "10" is a doctor
	CardTypes   []string // CPS, CPF, CPE, CPA
	Structures  []string // with the digit of their type in front: "10B0057881"
	Level       string   // hardware or two_factor; empty: any
}

// Session bounds the life of a session.
type Session struct {
	Idle     time.Duration // default 30 min, at most Absolute
	Absolute time.Duration // default 4 h, at most 12 h
}

// Accounts says how persons come to have one.
type Accounts struct {
	Create bool // the first login with a card makes the account; default true. Otherwise an administrator does
	// Register asks a person, at the first login, for their ordinary address. Default: when messages can be sent.
	Register bool
}

// Support is whom a person may call; shown on every error page.
type Support struct {
	Phone, Mail string
}

// Log is what goes to standard error.
type Log struct {
	Level  string // debug, info (default), warn, error
	Format string // json (default) or text
}

// Audit is where the audit trail goes, besides the database.
type Audit struct {
	Required bool     // default true: a login that cannot be recorded is refused
	Stdout   bool     // default true: each event is a JSON line on standard output too
	Syslog   *url.URL // unix:///path, udp://host:port, tcp://host:port or tls://host:port; nil: none
	SyslogCA string   // PEM file of the authorities of a tls server; empty: those of the system
}

// Origin returns the origin of one of the gateway's hosts, as browsers see it.
func (g *Gateway) Origin(host string) string {
	if g.PublicPort == 443 {
		return "https://" + host
	}
	return "https://" + host + ":" + strconv.Itoa(int(g.PublicPort))
}
