package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Dump returns every effective setting, those left out of the file included, in the form of the file: what comes out can be
// read back. A setting that lowers security is followed by a word on it. There are no secrets in it.
func (g *Gateway) Dump() string {
	d := &dump{}
	d.text("name", g.Name)
	d.text("listen", g.Listen.String())
	d.set("public_port", g.PublicPort)
	if g.Admin.IsValid() {
		d.text("admin", g.Admin.String())
	} else {
		d.text("admin", "off")
	}
	d.set("agent_port", g.AgentPort)

	d.open("hosts")
	d.text("auth", g.Hosts.Auth)
	d.text("card", g.Hosts.Card)
	d.text("browser_card", g.Hosts.BrowserCard)
	d.text("client_cert", g.Hosts.ClientCert)
	d.close()

	d.open("tls")
	for _, pair := range g.TLS {
		d.item()
		d.text("cert", pair.Cert)
		d.text("key", pair.Key)
		d.close()
	}
	d.close()

	d.card(g.Card)
	d.open("services")
	for _, s := range g.Services {
		d.service(s)
	}
	d.close()

	d.open("session")
	d.duration("idle", g.Session.Idle)
	d.duration("absolute", g.Session.Absolute)
	d.close()
	d.open("accounts")
	d.set("create", g.Accounts.Create)
	d.set("register", g.Accounts.Register)
	d.close()
	d.passwords(g.Passwords)
	d.text("database", g.Database)
	d.text("database_password_file", g.DatabasePasswordFile)
	d.duration("database_grace", g.DatabaseGrace)
	d.text("seal_keys", g.SealKeys)
	d.mail(g.Mail)
	d.otp(g.OTP)
	d.open("passkeys")
	d.set("enabled", g.Passkeys.Enabled)
	d.close()
	d.open("phone")
	d.set("enabled", g.Phone.Enabled)
	d.prefixes("networks", g.Phone.Networks)
	d.close()
	d.psc(g.PSC)
	d.clients(g.Clients)
	if g.Support != (Support{}) {
		d.open("support")
		d.text("phone", g.Support.Phone)
		d.text("mail", g.Support.Mail)
		d.close()
	}
	d.log(g.Log)
	d.audit(g.Audit)
	return d.b.String()
}

// Dump returns every effective setting, as Gateway.Dump does.
func (a *Agent) Dump() string {
	d := &dump{}
	d.set("port", a.Port)
	d.text("module", a.Module)
	d.open("gateways")
	for _, g := range a.Gateways {
		d.item()
		d.text("name", g.Name)
		d.text("title", g.Title)
		d.text("origin", g.Origin)
		d.text("card", g.Card)
		d.text("ca", g.CA)
		d.text("dial", g.Dial)
		d.close()
	}
	d.close()
	d.open("pin")
	d.text("dialog", a.PIN.Dialog)
	d.text("program", a.PIN.Program)
	d.duration("timeout", a.PIN.Timeout)
	d.close()
	d.flag("no_reset", a.NoReset, "after a login, other programs may use the card without its PIN")
	d.duration("timeout", a.Timeout)
	d.log(a.Log)
	return d.b.String()
}

// dump writes block YAML.
type dump struct {
	b      strings.Builder
	depth  int
	bullet bool // the next line is the first of a list's element
}

func (d *dump) line(key, rest string) {
	indent := strings.Repeat("  ", d.depth)
	if d.bullet {
		indent = strings.Repeat("  ", d.depth-1) + "- "
		d.bullet = false
	}
	fmt.Fprintf(&d.b, "%s%s:%s\n", indent, key, rest)
}

func (d *dump) open(key string) {
	d.line(key, "")
	d.depth++
}

func (d *dump) item() {
	d.depth++
	d.bullet = true
}

func (d *dump) close() { d.depth-- }

// text writes a text, unless it is empty: then nothing was set.
func (d *dump) text(key, text string) {
	if text != "" {
		d.line(key, " "+plain(text))
	}
}

func (d *dump) set(key string, v any) { d.line(key, fmt.Sprint(" ", v)) }

func (d *dump) duration(key string, v time.Duration) { d.line(key, " "+short(v)) }

// flag writes a setting that weakens something when it is on, and then says what.
func (d *dump) flag(key string, on bool, weak string) {
	rest := fmt.Sprint(" ", on)
	if on {
		rest += " # careful: " + weak
	}
	d.line(key, rest)
}

func (d *dump) texts(key string, all []string) {
	if len(all) == 0 {
		return
	}
	d.line(key, "")
	for _, text := range all {
		fmt.Fprintf(&d.b, "%s- %s\n", strings.Repeat("  ", d.depth+1), plain(text))
	}
}

func (d *dump) prefixes(key string, all []netip.Prefix) {
	var texts []string
	for _, p := range all {
		texts = append(texts, p.String())
	}
	d.texts(key, texts)
}

func (d *dump) card(c Card) {
	d.open("card")
	d.text("trust", c.Trust)
	d.texts("issuers", c.Issuers)
	d.texts("crls", c.CRLs)
	d.flag("allow_test", c.AllowTest, "test cards, whose owners nobody has checked, are accepted")
	d.flag("insecure_skip_revocation", c.InsecureSkipRevocation, "stolen cards are accepted")
	d.set("end_on_removal", c.EndOnRemoval)
	d.close()
}

func (d *dump) service(s Service) {
	d.item()
	d.text("name", s.Name)
	d.text("host", s.Host)
	if s.Backend != nil {
		d.text("backend", s.Backend.String())
	}
	d.text("backend_ca", s.BackendCA)
	d.prefixes("proxies", s.Proxies)
	d.text("title", s.Title)
	d.text("description", s.Description)
	d.text("logo", s.Logo)
	d.text("home", s.Home)
	d.allow(s.Allow)
	d.close()
}

func (d *dump) allow(a Allow) {
	if len(a.Professions)+len(a.CardTypes)+len(a.Structures) == 0 && a.Level == "" {
		return
	}
	d.open("allow")
	d.texts("professions", a.Professions)
	d.texts("card_types", a.CardTypes)
	d.texts("structures", a.Structures)
	d.text("level", a.Level)
	d.close()
}

func (d *dump) log(l Log) {
	d.open("log")
	d.text("level", l.Level)
	d.text("format", l.Format)
	d.close()
}

func (d *dump) audit(a Audit) {
	d.open("audit")
	rest := fmt.Sprint(" ", a.Required)
	if !a.Required {
		rest += " # careful: logins go on when they cannot be recorded"
	}
	d.line("required", rest)
	d.set("stdout", a.Stdout)
	if a.Syslog != nil {
		d.text("syslog", a.Syslog.String())
	}
	d.text("syslog_ca", a.SyslogCA)
	d.close()
}

// plain writes a text as YAML: as it is when only letters, digits and a few signs are in it, else in double quotes. What can be
// configured is printable, and of that Go and YAML quote the same way.
func plain(text string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._:-", r)
	}
	letter := text[0] >= 'a' && text[0] <= 'z' || text[0] == '/'
	word := text == "true" || text == "false" || text == "null" || strings.HasSuffix(text, ":")
	if letter && !word && strings.IndexFunc(text, func(r rune) bool { return !safe(r) }) < 0 {
		return text
	}
	return strconv.Quote(text)
}
