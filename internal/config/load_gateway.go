package config

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"promess/authgw/internal/cardwire"
)

// LoadGateway reads the configuration of authgw serve. Of a file that is wrong the error is a *Refused; a gateway is returned
// only without an error.
func LoadGateway(file string) (*Gateway, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return ParseGateway(data, file)
}

// ParseGateway is LoadGateway for a file already read. The file name stands in the messages, and relative paths start in its
// directory.
func ParseGateway(data []byte, file string) (*Gateway, error) {
	top, src, err := parse(data, file)
	if err != nil {
		return nil, err
	}
	g := readGateway(top)
	if err := src.err(); err != nil {
		return nil, err
	}
	g.File = file
	return g, nil
}

func readGateway(top *section) *Gateway {
	g := &Gateway{
		Name:   optional(top, "name", "authgw", shortName),
		Listen: optional(top, "listen", netip.MustParseAddrPort("0.0.0.0:443"), listenAddress),
	}
	g.PublicPort = optional(top, "public_port", g.Listen.Port(), port)
	g.Admin = optional(top, "admin", netip.MustParseAddrPort("127.0.0.1:9443"), adminAddress)
	g.AgentPort = optional(top, "agent_port", cardwire.DefaultAgentPort, port)
	if overlap(g.Listen, g.Admin) {
		top.at("admin").reportf("an address other than that of listen expected, %s given for %s", g.Admin, g.Listen)
	}

	names := &claims{what: "host name"}
	g.Hosts = readHosts(top.sub("hosts"), names)
	pairs := list(top, "tls", readKeyPair)
	atLeastOne(top, "tls", "at least one cert and its key")
	g.Card = readCard(top.sub("card"))
	services := readServices(top, names)
	for _, s := range services {
		g.Services = append(g.Services, s.Service)
	}
	g.Session = readSession(top.sub("session"))
	g.Accounts = readAccounts(top.sub("accounts"), top.at("mail").node != nil)
	g.Passwords = readPasswords(top.sub("passwords"))
	g.Database, g.DatabasePasswordFile = readDatabase(top)
	g.DatabaseGrace = optional(top, "database_grace", time.Minute, duration(time.Second, 10*time.Minute))
	readMail(top, g)
	readOTP(top, g)
	readPhone(top, g)
	readPSC(top, g)
	readClients(top, g)
	g.Support = readSupport(top.sub("support"))
	g.Log = readLog(top.sub("log"))
	g.Audit = readAudit(top.sub("audit"))
	top.close()

	checkLoops(g, services, names)
	checkCoverage(pairs, names)
	for _, p := range pairs {
		g.TLS = append(g.TLS, p.KeyPair)
	}
	return g
}

// overlap reports whether one of two listeners would take the other's connections.
func overlap(a, b netip.AddrPort) bool {
	if !a.IsValid() || !b.IsValid() || a.Port() != b.Port() {
		return false
	}
	return a.Addr() == b.Addr() || a.Addr().IsUnspecified() || b.Addr().IsUnspecified()
}

// claims are names that must all be different, each with the place that gave it.
type claims struct {
	what   string
	names  []string
	places []value
}

// add takes a name for the key at v, or reports who has it.
func (c *claims) add(name string, v value) {
	if name == "" {
		return
	}
	if i := slices.Index(c.names, name); i >= 0 {
		v.reportf("a %s of its own expected, %q given, which is that of %s on line %d", c.what, name, c.places[i].path, c.places[i].line)
		return
	}
	c.names, c.places = append(c.names, name), append(c.places, v)
}

func readHosts(s *section, names *claims) Hosts {
	h := Hosts{
		Auth:        required(s, "auth", "the host name of the login pages and the portal", hostName),
		Card:        required(s, "card", "the host name that agents prove cards to", hostName),
		BrowserCard: optional(s, "browser_card", "", hostName),
		ClientCert:  optional(s, "client_cert", "", hostName),
	}
	names.add(h.Auth, s.at("auth"))
	names.add(h.Card, s.at("card"))
	names.add(h.BrowserCard, s.at("browser_card"))
	names.add(h.ClientCert, s.at("client_cert"))
	s.close()
	return h
}

// keyPair is a KeyPair whose leaf was read.
type keyPair struct {
	KeyPair
	leaf *x509.Certificate
	at   value
}

func readKeyPair(v value) (keyPair, error) {
	s, err := v.section()
	if err != nil {
		return keyPair{}, err
	}
	pair := keyPair{at: s.at("cert"), KeyPair: KeyPair{
		Cert: required(s, "cert", "a PEM file, the server's certificate first", authorities),
		Key:  required(s, "key", "the PEM file of the certificate's private key", privateKey),
	}}
	s.close()
	if pair.Cert != "" && pair.Key != "" {
		pair.leaf, err = fit(pair.KeyPair)
		if err != nil {
			s.at("key").report(err)
		}
	}
	return pair, nil
}

// checkCoverage sees to it that every host name has a certificate, and every certificate a host name: one that serves none is
// a mistake of the one or the other. Whether a certificate is still valid is not asked: a gateway that is restarted must not
// stay down for what browsers say better.
func checkCoverage(pairs []keyPair, names *claims) {
	unread := func(p keyPair) bool { return p.leaf == nil }
	if len(pairs) == 0 || slices.ContainsFunc(pairs, unread) {
		return // reported, and so unknown which names are covered
	}
	for _, p := range pairs {
		covers := func(name string) bool { return p.leaf.VerifyHostname(name) == nil }
		if !slices.ContainsFunc(names.names, covers) {
			p.at.reportf("a certificate for a host of this file expected, one for none of them given")
		}
	}
	for i, name := range names.names {
		covers := func(p keyPair) bool { return p.leaf.VerifyHostname(name) == nil }
		if !slices.ContainsFunc(pairs, covers) {
			names.places[i].reportf("a host name that a certificate of tls covers expected, %q given", name)
		}
	}
}

func readCard(s *section) Card {
	c := Card{
		Trust:                  required(s, "trust", "the directory of the authorities' certificates", directory),
		Issuers:                list(s, "issuers", words(200)),
		CRLs:                   list(s, "crls", regular("a revocation list", maxCRL)),
		AllowTest:              optional(s, "allow_test", false, value.boolean),
		InsecureSkipRevocation: optional(s, "insecure_skip_revocation", false, value.boolean),
		EndOnRemoval:           optional(s, "end_on_removal", true, value.boolean),
	}
	refuseTwice(s, "issuers", words(200))
	refuseTwice(s, "crls", path)
	crls, skip := s.at("crls"), s.at("insecure_skip_revocation")
	lists, err := crls.list()
	switch given := err == nil && len(lists) > 0; {
	case c.InsecureSkipRevocation && given:
		skip.reportf("either this or crls expected, both given")
	case !c.InsecureSkipRevocation && !given && (crls.node == nil || err == nil) && !s.silent:
		crls.reportf("missing: a revocation list of each authority that issues cards, without which every card is refused")
	}
	s.close()
	return c
}

// refuseTwice reports the elements of a list that stand in it twice.
func refuseTwice(s *section, key string, read func(value) (string, error)) {
	values, err := s.at(key).list()
	if err != nil {
		return // absent, or reported
	}
	first := map[string]value{}
	for _, v := range values {
		text, err := read(v)
		if err != nil {
			continue
		}
		if other, ok := first[text]; ok {
			v.reportf("given twice; the first is on line %d", other.line)
			continue
		}
		first[text] = v
	}
}

// service is a Service, with the place of its backend.
type service struct {
	Service
	backend value
}

func readServices(top *section, hosts *claims) []service {
	names := &claims{what: "name"}
	services := list(top, "services", func(v value) (service, error) {
		s, err := v.section()
		if err != nil {
			return service{}, err
		}
		read := service{Service: readService(s), backend: s.at("backend")}
		names.add(read.Name, s.at("name"))
		hosts.add(read.Host, s.at("host"))
		return read, nil
	})
	atLeastOne(top, "services", "at least one service")
	return services
}

// atLeastOne reports a list that is absent or empty.
func atLeastOne(s *section, key, what string) {
	at := s.at(key)
	if values, err := at.list(); at.node == nil || err == nil && len(values) == 0 {
		at.reportf("missing: %s", what)
	}
}

func readService(s *section) Service {
	service := Service{
		Name:        required(s, "name", "what its assertions are addressed to", shortName),
		Host:        required(s, "host", "the host name that browsers reach it by", hostName),
		Backend:     optional(s, "backend", nil, backend),
		BackendCA:   optional(s, "backend_ca", "", authorities),
		Title:       required(s, "title", "its name on the portal", words(80)),
		Description: optional(s, "description", "", words(200)),
		Logo:        optional(s, "logo", "", logo),
		Home:        optional(s, "home", "/", homePath),
		Allow:       readAllow(s.sub("allow")),
		Proxies:     list(s, "proxies", proxyNetwork),
	}
	checkWay(s)
	if ca := s.at("backend_ca"); ca.node != nil && service.Backend != nil && service.Backend.Scheme == "http" {
		ca.reportf("an https backend expected beside it, an http one given")
	}
	s.close()
	return service
}

// checkWay sees to it that requests reach a service in one way.
func checkWay(s *section) {
	b, p := s.at("backend"), s.at("proxies")
	switch {
	case b.node == nil && p.node == nil:
		b.reportf("missing: the URL that requests are forwarded to (or proxies, when another reverse proxy forwards them)")
	case b.node != nil && p.node != nil:
		p.reportf("either this or backend expected, both given")
	case p.node != nil:
		atLeastOne(s, "proxies", "at least one address of a proxy that may ask about requests")
		refuseTwice(s, "proxies", value.text)
		if ca := s.at("backend_ca"); ca.node != nil {
			ca.reportf("an https backend expected beside it, none given")
		}
	}
}

// proxyNetwork reads where a proxy asks from. Everybody is not a proxy (B4).
func proxyNetwork(v value) (netip.Prefix, error) {
	p, err := network(v)
	if err == nil && p.Bits() == 0 {
		return netip.Prefix{}, v.want("the address of a proxy, or a network that only proxies are in,")
	}
	return p, err
}

func readAllow(s *section) Allow {
	a := Allow{
		Professions: list(s, "professions", matching(professionPattern, `a code of nomenclature G15 in quotes, such as "10" for doctors,`)),
		CardTypes:   list(s, "card_types", oneOf("CPS", "CPF", "CPE", "CPA")),
		Structures:  list(s, "structures", matching(structurePattern, `the identifier of a structure in quotes, such as "10B0057881",`)),
		Level:       optional(s, "level", "", oneOf("hardware", "two_factor")),
	}
	for _, key := range []string{"professions", "card_types", "structures"} {
		if at := s.at(key); at.node != nil {
			if values, err := at.list(); err == nil && len(values) == 0 { // would be everybody, and looks like nobody
				at.reportf("at least one value expected, an empty list given (leave the key out to allow everybody)")
			}
		}
		refuseTwice(s, key, value.text)
	}
	s.close()
	return a
}

// checkLoops refuses a backend that is the gateway itself: each request would come back until something gives way.
func checkLoops(g *Gateway, services []service, names *claims) {
	for _, s := range services {
		if s.Backend != nil && isSelf(g, names, s.Backend) {
			s.backend.reportf("a server behind the gateway expected, the gateway itself given")
		}
	}
}

func isSelf(g *Gateway, names *claims, u *url.URL) bool {
	digits := u.Port()
	if digits == "" {
		digits = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return false
	}
	own := slices.Contains(names.names, u.Hostname()) && (uint16(n) == g.PublicPort || uint16(n) == g.Listen.Port())
	address, err := netip.ParseAddrPort(net.JoinHostPort(u.Hostname(), digits))
	if err != nil {
		return own
	}
	local := address.Addr().IsLoopback() && g.Listen.Addr().IsUnspecified() && address.Port() == g.Listen.Port()
	return own || local || address == g.Listen || address == g.Admin
}

func readSession(s *section) Session {
	const longest = 12 * time.Hour
	r := Session{
		Idle:     optional(s, "idle", 30*time.Minute, duration(time.Second, longest)),
		Absolute: optional(s, "absolute", 4*time.Hour, duration(time.Second, longest)),
	}
	if r.Absolute > 0 && r.Idle > r.Absolute {
		s.at("idle").reportf("at most absolute (%s) expected, %s given", short(r.Absolute), short(r.Idle))
	}
	s.close()
	return r
}

func readAccounts(s *section, mail bool) Accounts {
	r := Accounts{
		Create:   optional(s, "create", true, value.boolean),
		Register: optional(s, "register", mail, value.boolean),
	}
	s.close()
	return r
}

func readSupport(s *section) Support {
	r := Support{
		Phone: optional(s, "phone", "", phone),
		Mail:  optional(s, "mail", "", mail),
	}
	s.close()
	return r
}

func readLog(s *section) Log {
	r := Log{
		Level:  optional(s, "level", "info", oneOf("debug", "info", "warn", "error")),
		Format: optional(s, "format", "json", oneOf("json", "text")),
	}
	s.close()
	return r
}

func readAudit(s *section) Audit {
	r := Audit{
		Required: optional(s, "required", true, value.boolean),
		Stdout:   optional(s, "stdout", true, value.boolean),
		Syslog:   optional(s, "syslog", nil, syslogServer),
		SyslogCA: optional(s, "syslog_ca", "", authorities),
	}
	if ca := s.at("syslog_ca"); ca.node != nil && r.Syslog != nil && r.Syslog.Scheme != "tls" {
		ca.reportf("a tls server expected beside it, %s given", r.Syslog)
	}
	s.close()
	return r
}
