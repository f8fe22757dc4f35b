package config_test

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"promess/authgw/internal/config"
)

// gatewayYAML sets every key. The lines are counted by the tests.
const gatewayYAML = `name: promess
listen: 0.0.0.0:8443
public_port: 443
admin: 127.0.0.1:9444
agent_port: 24781
hosts:
  auth: auth.example.fr
  card: card.example.fr
  browser_card: browser.example.fr
tls:
  - cert: server.pem
    key: server.key
card:
  trust: trust
  issuers: ["AC IGC-SANTE FORT PERSONNES"]
  crls: [cards.crl]
  allow_test: true
  insecure_skip_revocation: false
  end_on_removal: false
services:
  - name: mail
    host: mail.example.fr
    backend: https://mail.internal:8444
    backend_ca: server.pem
    title: Messagerie sécurisée
    description: 'La boîte "MSSanté"'
    home: /mail/?folder=inbox
  - {name: docs, host: docs.example.fr, backend: "http://[::1]:8081/", title: Documents}
session:
  idle: 15m
  absolute: 1h30m
database: data/authgw.db
support:
  phone: "+33 1 23 45 67 89"
  mail: help@example.fr
log:
  level: debug
  format: text
accounts:
  create: false
audit:
  required: false
  stdout: false
  syslog: tls://log.example.fr:6514
  syslog_ca: server.pem
`

// smallYAML sets what must be set.
const smallYAML = `
hosts: {auth: auth.example.fr, card: card.example.fr}
tls: [{cert: server.pem, key: server.key}]
card: {trust: trust, crls: [cards.crl]}
services: [{name: mail, host: mail.example.fr, backend: "http://127.0.0.1:8080", title: Mail}]
database: authgw.db
`

var byValue = cmp.Options{cmpopts.EquateComparable(netip.AddrPort{}, netip.Prefix{}), cmpopts.EquateEmpty()}

func TestGatewayWithEverythingSet(t *testing.T) {
	dir := directory(t)
	write(t, filepath.Join(dir, "data", ".keep"), "", 0o600)
	file := filepath.Join(dir, "authgw.yaml")
	write(t, file, gatewayYAML, 0o600)
	got, err := config.LoadGateway(file)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	want := &config.Gateway{
		File:       file,
		Name:       "promess",
		Listen:     netip.MustParseAddrPort("0.0.0.0:8443"),
		PublicPort: 443,
		Admin:      netip.MustParseAddrPort("127.0.0.1:9444"),
		AgentPort:  24781,
		Hosts:      config.Hosts{Auth: "auth.example.fr", Card: "card.example.fr", BrowserCard: "browser.example.fr"},
		TLS:        []config.KeyPair{{Cert: in("server.pem"), Key: in("server.key")}},
		Card: config.Card{
			Trust:     in("trust"),
			Issuers:   []string{"AC IGC-SANTE FORT PERSONNES"},
			CRLs:      []string{in("cards.crl")},
			AllowTest: true,
		},
		Services: []config.Service{
			{
				Name: "mail", Host: "mail.example.fr", Backend: &url.URL{Scheme: "https", Host: "mail.internal:8444"},
				BackendCA: in("server.pem"), Title: "Messagerie sécurisée", Description: `La boîte "MSSanté"`, Home: "/mail/?folder=inbox",
			},
			{Name: "docs", Host: "docs.example.fr", Backend: &url.URL{Scheme: "http", Host: "[::1]:8081"}, Title: "Documents", Home: "/"},
		},
		Session:   config.Session{Idle: 15 * time.Minute, Absolute: 90 * time.Minute},
		Passwords: config.Passwords{Memory: 19456, Passes: 2, Threads: 1, MinLength: 12},
		Database:  in("data/authgw.db"), DatabaseGrace: time.Minute,
		OTP:     config.OTP{MailCode: true, TOTP: true, Recovery: true},
		Support: config.Support{Phone: "+33 1 23 45 67 89", Mail: "help@example.fr"},
		Log:     config.Log{Level: "debug", Format: "text"},
		Audit:   config.Audit{Syslog: &url.URL{Scheme: "tls", Host: "log.example.fr:6514"}, SyslogCA: in("server.pem")},
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("LoadGateway (-want +got):\n%s", diff)
	}
	if got, want := got.Origin("auth.example.fr"), "https://auth.example.fr"; got != want {
		t.Errorf("Origin = %q, want %q", got, want)
	}
}

func TestGatewayWithDefaults(t *testing.T) {
	dir := directory(t)
	file := filepath.Join(dir, "c.yaml")
	got, err := config.ParseGateway([]byte(smallYAML), file)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	want := &config.Gateway{
		File:       file,
		Name:       "authgw",
		Listen:     netip.MustParseAddrPort("0.0.0.0:443"),
		PublicPort: 443,
		Admin:      netip.MustParseAddrPort("127.0.0.1:9443"),
		AgentPort:  24780,
		Hosts:      config.Hosts{Auth: "auth.example.fr", Card: "card.example.fr"},
		TLS:        []config.KeyPair{{Cert: in("server.pem"), Key: in("server.key")}},
		Card:       config.Card{Trust: in("trust"), CRLs: []string{in("cards.crl")}, EndOnRemoval: true},
		Services: []config.Service{{
			Name: "mail", Host: "mail.example.fr", Backend: &url.URL{Scheme: "http", Host: "127.0.0.1:8080"}, Title: "Mail", Home: "/",
		}},
		Session:   config.Session{Idle: 30 * time.Minute, Absolute: 4 * time.Hour},
		Accounts:  config.Accounts{Create: true},
		Passwords: config.Passwords{Memory: 19456, Passes: 2, Threads: 1, MinLength: 12},
		Database:  in("authgw.db"), DatabaseGrace: time.Minute,
		OTP:   config.OTP{MailCode: true, TOTP: true, Recovery: true},
		Log:   config.Log{Level: "info", Format: "json"},
		Audit: config.Audit{Required: true, Stdout: true},
	}
	if diff := cmp.Diff(want, got, byValue); diff != "" {
		t.Errorf("ParseGateway (-want +got):\n%s", diff)
	}
}

func TestGatewayFormsThatAreAccepted(t *testing.T) {
	dir := directory(t)
	for _, tt := range []struct{ name, old, new string }{
		{"no admin listener", "admin: 127.0.0.1:9444", "admin: off"},
		{"admin on a management network", "admin: 127.0.0.1:9444", "admin: 10.1.2.3:9444"},
		{"every address, IPv6 included", "0.0.0.0:8443", `"[::]:8443"`},
		{"lines that end as on Windows", "\n", "\r\n"},
		{"a byte order mark", "name: promess", "\ufeffname: promess"},
		{"document marks around it", "name: promess", "---\nname: promess"},
		{"no list where revocation is skipped, for a trial", "crls: [cards.crl]\n  allow_test: true\n  insecure_skip_revocation: false", "insecure_skip_revocation: true"},
		{"an empty list of issuers", `["AC IGC-SANTE FORT PERSONNES"]`, "[]"},
		{"syslog by a socket", "syslog: tls://log.example.fr:6514\n  syslog_ca: server.pem", "syslog: unix:///dev/log"},
		{"syslog to an address", "syslog: tls://log.example.fr:6514\n  syslog_ca: server.pem", "syslog: udp://[2001:db8::1]:514"},
		{"a public port that follows listen", "public_port: 443\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, filepath.Join(dir, "data", ".keep"), "", 0o600)
			text := strings.ReplaceAll(gatewayYAML, tt.old, tt.new)
			if text == gatewayYAML {
				t.Fatalf("%q is not in the configuration", tt.old)
			}
			if _, err := config.ParseGateway([]byte(text), filepath.Join(dir, "c.yaml")); err != nil {
				t.Error(err)
			}
		})
	}
}

// Lesson G14: what is not understood refuses to start, with the place and a suggestion.
func TestGatewayFaultsOfForm(t *testing.T) {
	run(t, strings.Replace(gatewayYAML, "data/", "", 1), []fault{
		{"an unknown key, near a known one", "  idle:", "  idel:", `30: session.idel: unknown key; did you mean "idle"?`},
		{"an unknown key, near none", "  idle:", "  remember_me:", `30: session.remember_me: unknown key; known here: idle, absolute`},
		{"an unknown key at the top", "name: promess", "nom: promess", `1: nom: unknown key; did you mean "name"?`},
		{"an unknown key of a service", "home: /mail", "path: /mail", `27: services[0].path: unknown key; known here: name, host, backend, backend_ca, title, description, logo, home, allow, proxies`},
		{"a key with odd letters", "  idle:", "  \"i\\nd\":", `30: session.a text of 3 bytes: unknown key; known here: idle, absolute`},
		{"a key twice", "public_port: 443", "listen: 0.0.0.0:444", "3: listen: given twice; the first is on line 2"},
		{"a key twice, once in quotes", "public_port: 443", `"listen": 0.0.0.0:444`, "3: listen: given twice; the first is on line 2"},
		{"a section twice", "log:\n", "session:\n  idle: 1m\nlog:\n", "36: session: given twice; the first is on line 29"},
		{"text where a number belongs", "agent_port: 24781", `agent_port: "24781"`, `5: agent_port: a port from 1 to 65535 expected, "24781" given`},
		{"a number where text belongs", `"+33 1 23 45 67 89"`, "3646", `34: support.phone: text expected, the number 3646 given (put it in quotes)`},
		{"text where true or false belongs", "allow_test: true", "allow_test: yes", `17: card.allow_test: true or false expected, "yes" given`},
		{"text where a list belongs", "[cards.crl]", "cards.crl", `16: card.crls: a list expected, "cards.crl" given`},
		{"text where a mapping belongs", "log:\n  level: debug\n  format: text", "log: debug", `36: log: a mapping (key: value) expected, "debug" given`},
		{"a list where a mapping belongs", "session:\n  idle: 15m\n  absolute: 1h30m", "session: [15m]", `29: session: a mapping (key: value) expected, a list given`},
		{"text where a service belongs", "  - {name: docs,", "  - docs\n  - {name: docs,", `28: services[1]: a mapping (key: value) expected, "docs" given`},
		{"nothing after a key", "database: authgw.db", "database:", `32: database: a path expected, nothing given`},
		{"blank text", "database: authgw.db", `database: " "`, `32: database: a path expected, " " given`},
		{"a text of several lines", "title: Messagerie sécurisée", "title: |\n      a\n      b", `25: services[0].title: text expected, a text of several lines given`},
		{"an anchor", "level: debug", "level: &l debug", `37: log.level: one of debug, info, warn, error expected, an anchor, an alias or a tag (which this file does not use) given`},
		{"an alias", "level: debug", "level: *l", `37: log.level: one of debug, info, warn, error expected, an anchor, an alias or a tag (which this file does not use) given`},
		{"a tag", "level: debug", "level: !!str debug", `37: log.level: one of debug, info, warn, error expected, an anchor, an alias or a tag (which this file does not use) given`},
		{"a merge key", "log:\n", "log:\n  <<: {level: warn}\n", "37: log: a key of plain text expected, something else given (anchors and merge keys are not used in this file)"},
		{"a number as a key", "log:\n", "log:\n  1: x\n", "37: log: a key of plain text expected, something else given (anchors and merge keys are not used in this file)"},
		{"two documents", "log:\n", "---\nlog:\n", "37: one YAML document expected, several given"},
		{"a directive", "name: promess", "%YAML 1.2\n---\nname: promess", "3: one YAML document expected, several given"},
		{"no YAML", "accounts:\n  create: false\n", "accounts: [\n", "39: YAML expected: sequence end token ']' not found"},
		{"bytes that are not UTF-8", "Messagerie", "\xff", "1: UTF-8 text expected, other bytes given"},
		{"a NUL byte", "Messagerie", "\x00", "1: UTF-8 text expected, other bytes given"},
		{"brackets that would take the parser seconds", "name: promess", "name: " + strings.Repeat("[", 30000), "1: at most 512 brackets expected, more given"},
		{"a file of another size", "name: promess", "#" + strings.Repeat("x", 64<<10) + "\nname: promess", "1: a file of at most 65536 bytes expected"},
	}, parseGateway)
}

func TestGatewayFaultsOfValues(t *testing.T) {
	run(t, strings.Replace(gatewayYAML, "data/", "", 1), []fault{
		{"a name with a slash", "name: promess", "name: a/b", `1: name: a name of 1 to 32 lower-case letters, digits and hyphens expected, "a/b" given`},
		{"a name with capitals", "name: promess", "name: ProMess", `1: name: a name of 1 to 32 lower-case letters, digits and hyphens expected, "ProMess" given`},
		{"listen without an address", "0.0.0.0:8443", ":8443", `2: listen: an IP address and a port such as 0.0.0.0:443 expected, ":8443" given: write 0.0.0.0:8443 for every IPv4 address, [::]:8443 for IPv6 as well`},
		{"listen on a name", "0.0.0.0:8443", "localhost:8443", `2: listen: an IP address and a port such as 0.0.0.0:443 expected, "localhost:8443" given`},
		{"listen on port 0", "0.0.0.0:8443", "0.0.0.0:0", `2: listen: an IP address and a port such as 0.0.0.0:443 expected, "0.0.0.0:0" given`},
		{"a port out of range", "agent_port: 24781", "agent_port: 70000", `5: agent_port: a port from 1 to 65535 expected, the number 70000 given`},
		{"a port in base eight", "agent_port: 24781", "agent_port: 024771", `5: agent_port: a port from 1 to 65535 expected, the number 024771 given`},
		{"a port below zero", "agent_port: 24781", "agent_port: -1", `5: agent_port: a port from 1 to 65535 expected, the number -1 given`},
		{"admin on every address", "127.0.0.1:9444", "0.0.0.0:9444", `4: admin: a loopback address, or a private one of a management network (the admin listener asks for no password), expected, "0.0.0.0:9444" given`},
		{"admin without an address", "127.0.0.1:9444", "none", `4: admin: an IP address and a port such as 0.0.0.0:443 expected, "none" given (or off)`},
		{"admin where listen is", "127.0.0.1:9444", "127.0.0.1:8443", `4: admin: an address other than that of listen expected, 127.0.0.1:8443 given for 0.0.0.0:8443`},
		{"a host with capitals", "auth: auth.example.fr", "auth: Auth.example.fr", `7: hosts.auth: a host name in lower case such as auth.example.fr, without scheme or port, expected, "Auth.example.fr" given`},
		{"a host with a final dot (A3)", "auth: auth.example.fr", "auth: auth.example.fr.", `7: hosts.auth: a host name in lower case such as auth.example.fr, without scheme or port, expected, "auth.example.fr." given`},
		{"a host with a port", "auth: auth.example.fr", "auth: auth.example.fr:443", `7: hosts.auth: a host name in lower case such as auth.example.fr, without scheme or port, expected, "auth.example.fr:443" given`},
		{"an address as a host", "auth: auth.example.fr", "auth: 192.0.2.1", `7: hosts.auth: a host name in lower case such as auth.example.fr, without scheme or port, expected, "192.0.2.1" given`},
		{"a wildcard as a host", "auth: auth.example.fr", `auth: "*.example.fr"`, `7: hosts.auth: a host name in lower case such as auth.example.fr, without scheme or port, expected, "*.example.fr" given`},
		{"a host twice among hosts", "card: card.example.fr", "card: auth.example.fr", `8: hosts.card: a host name of its own expected, "auth.example.fr" given, which is that of hosts.auth on line 7`},
		{"a host twice, once of a service", "host: mail.example.fr", "host: card.example.fr", `22: services[0].host: a host name of its own expected, "card.example.fr" given, which is that of hosts.card on line 8`},
		{"a service twice", "{name: docs", "{name: mail", `28: services[1].name: a name of its own expected, "mail" given, which is that of services[0].name on line 21`},
		{"an issuer twice", `PERSONNES"]`, `PERSONNES", "AC IGC-SANTE FORT PERSONNES"]`, `15: card.issuers[1]: given twice; the first is on line 15`},
		{"a revocation list twice", "[cards.crl]", "[cards.crl, ./cards.crl]", `16: card.crls[1]: given twice; the first is on line 16`},
		{"neither revocation lists nor a word on it", "  crls: [cards.crl]\n", "", `13: card.crls: missing: a revocation list of each authority that issues cards, without which every card is refused`},
		{"no revocation list in the list", "[cards.crl]", "[]", `16: card.crls: missing: a revocation list of each authority that issues cards, without which every card is refused`},
		{"revocation lists, and skipping them", "revocation: false", "revocation: true", `18: card.insecure_skip_revocation: either this or crls expected, both given`},
		{"an idle time beyond the absolute", "idle: 15m", "idle: 2h", `30: session.idle: at most absolute (1h30m) expected, 2h given`},
		{"an absolute time beyond twelve hours", "absolute: 1h30m", "absolute: 24h", `31: session.absolute: a duration from 1s to 12h, such as 90s or 30m, expected, "24h" given`},
		{"a time without a unit", "idle: 15m", "idle: 15", `30: session.idle: a duration from 1s to 12h, such as 90s or 30m, expected, the number 15 given`},
		{"no time at all", "idle: 15m", "idle: 0s", `30: session.idle: a duration from 1s to 12h, such as 90s or 30m, expected, "0s" given`},
		{"a backend with a path (C1)", "https://mail.internal:8444", "https://mail.internal:8444/base", `23: services[0].backend: an http or https URL of host and port alone, such as http://127.0.0.1:8080, expected, "https://mail.internal:8444/base" given`},
		{"a backend with a query", "https://mail.internal:8444", "https://mail.internal:8444?a=b", `23: services[0].backend: an http or https URL of host and port alone, such as http://127.0.0.1:8080, expected, "https://mail.internal:8444?a=b" given`},
		{"a backend with a password", "https://mail.internal:8444", "https://u:hunter2@mail.internal", `23: services[0].backend: an http or https URL of host and port alone, such as http://127.0.0.1:8080, expected, a text of 31 bytes given`},
		{"a backend of another scheme", "https://mail.internal:8444", "ftp://mail.internal", `23: services[0].backend: an http or https URL of host and port alone, such as http://127.0.0.1:8080, expected, "ftp://mail.internal" given`},
		{"a backend without a scheme", "https://mail.internal:8444", "mail.internal:8444", `23: services[0].backend: an http or https URL of host and port alone, such as http://127.0.0.1:8080, expected, "mail.internal:8444" given`},
		{"a backend on port 0", "https://mail.internal:8444", "https://mail.internal:0", `23: services[0].backend: an http or https URL of host and port alone, such as http://127.0.0.1:8080, expected, "https://mail.internal:0" given`},
		{"a backend that is the gateway, by name", "https://mail.internal:8444", "https://docs.example.fr", `23: services[0].backend: a server behind the gateway expected, the gateway itself given`},
		{"a backend that is the gateway, by address", "https://mail.internal:8444", "https://127.0.0.1:8443", `23: services[0].backend: a server behind the gateway expected, the gateway itself given`},
		{"a backend that is the admin listener", "https://mail.internal:8444", "https://127.0.0.1:9444", `23: services[0].backend: a server behind the gateway expected, the gateway itself given`},
		{"authorities for a backend without TLS", "https://mail.internal:8444", "http://mail.internal:8444", `24: services[0].backend_ca: an https backend expected beside it, an http one given`},
		{"a script as a link (G8)", "/mail/?folder=inbox", "javascript:alert(1)", `27: services[0].home: a path such as /mail/, without scheme or host, expected, "javascript:alert(1)" given`},
		{"another host as a link", "/mail/?folder=inbox", "//evil.example", `27: services[0].home: a path such as /mail/, without scheme or host, expected, "//evil.example" given`},
		{"another host as a link, for browsers alone", "/mail/?folder=inbox", `/\evil.example`, `27: services[0].home: a path such as /mail/, without scheme or host, expected, "/\\evil.example" given`},
		{"a title of two lines", "title: Messagerie sécurisée", `title: "a\nb"`, `25: services[0].title: one line of text of at most 80 characters expected, a text of 3 bytes given`},
		{"a title without end", "title: Messagerie sécurisée", "title: " + strings.Repeat("é", 81), `25: services[0].title: one line of text of at most 80 characters expected, a text of 162 bytes given`},
		{"a telephone number with letters", "+33 1 23", "call 1 23", `34: support.phone: a telephone number such as "+33 1 23 45 67 89" expected, "call 1 23 45 67 89" given`},
		{"a mail address with more in it", "help@example.fr", "help@example.fr?bcc=x@evil.example", `35: support.mail: a mail address in lower case after the @, such as help@example.fr, expected, "help@example.fr?bcc=x@evil.example" given`},
		{"a level that does not exist", "level: debug", "level: warning", `37: log.level: one of debug, info, warn, error expected, "warning" given; did you mean "warn"?`},
		{"a form that does not exist", "format: text", "format: xml", `38: log.format: one of json, text expected, "xml" given`},
		{"accounts that are made now and then", "create: false", "create: sometimes", `40: accounts.create: true or false expected, "sometimes" given`},
		{"accounts with a key of the past", "create: false", "creates: false", `40: accounts.creates: unknown key; did you mean "create"?`},
		{"an audit that is required now and then", "required: false", "required: sometimes", `42: audit.required: true or false expected, "sometimes" given`},
		{"a syslog server without a port", "tls://log.example.fr:6514", "tls://log.example.fr", `44: audit.syslog: a syslog server such as unix:///dev/log, udp://host:514, tcp://host:601 or tls://host:6514 expected, "tls://log.example.fr" given`},
		{"a syslog server of another scheme", "tls://log.example.fr:6514", "https://log.example.fr:443", `44: audit.syslog: a syslog server such as unix:///dev/log, udp://host:514, tcp://host:601 or tls://host:6514 expected, "https://log.example.fr:443" given`},
		{"a syslog server with a path", "tls://log.example.fr:6514", "udp://log.example.fr:514/x", `44: audit.syslog: a syslog server such as unix:///dev/log, udp://host:514, tcp://host:601 or tls://host:6514 expected, "udp://log.example.fr:514/x" given`},
		{"a syslog socket with a relative path", "tls://log.example.fr:6514", "unix://dev/log", `44: audit.syslog: a syslog server such as unix:///dev/log, udp://host:514, tcp://host:601 or tls://host:6514 expected, "unix://dev/log" given`},
		{"authorities for a syslog server without TLS", "tls://log.example.fr:6514", "tcp://log.example.fr:601", `45: audit.syslog_ca: a tls server expected beside it, tcp://log.example.fr:601 given`},
	}, parseGateway)
}

// Lesson A1: a file of authorities that is missing, empty or garbage stops the start.
func TestGatewayFaultsOfFiles(t *testing.T) {
	run(t, strings.Replace(gatewayYAML, "data/", "", 1), []fault{
		{"no certificate file", "cert: server.pem", "cert: none.pem", `11: tls[0].cert: a PEM file of certificates expected at "DIR/none.pem": no such file or directory`},
		{"an empty certificate file", "cert: server.pem", "cert: empty.pem", `11: tls[0].cert: a PEM file of certificates expected at "DIR/empty.pem": the file is empty`},
		{"a certificate file with something else", "cert: server.pem", "cert: garbage.pem", `11: tls[0].cert: a PEM file of certificates expected at "DIR/garbage.pem": it holds no certificate`},
		{"a key as the certificate", "cert: server.pem", "cert: server.key", `11: tls[0].cert: a PEM file of certificates expected at "DIR/server.key": it holds something else than certificates`},
		{"a directory as the certificate", "cert: server.pem", "cert: trust", `11: tls[0].cert: a PEM file of certificates expected at "DIR/trust": it is not a file`},
		{"no key file", "key: server.key", "key: none.key", `12: tls[0].key: a private key (PEM) expected at "DIR/none.key": no such file or directory`},
		{"a key that others may read", "key: server.key", "key: server.pem", `12: tls[0].key: a file that only its owner may read expected at "DIR/server.pem", mode 0644 given: chmod 600`},
		{"the key of another certificate", "key: server.key", "key: other.key", `12: tls[0].key: the private key of the first certificate of "DIR/server.pem" expected, something else given`},
		{"a key file with something else", "key: server.key", "key: garbage.pem", `12: tls[0].key: the private key of the first certificate of "DIR/server.pem" expected, something else given`},
		{"a host that no certificate covers", "host: mail.example.fr", "host: mail.example.org", `22: services[0].host: a host name that a certificate of tls covers expected, "mail.example.org" given`},
		{"a host that a wildcard does not reach", "host: mail.example.fr", "host: a.mail.example.fr", `22: services[0].host: a host name that a certificate of tls covers expected, "a.mail.example.fr" given`},
		{"a certificate for none of the hosts (G14)", "tls:\n", "tls:\n  - {cert: other.pem, key: other.key}\n", `11: tls[0].cert: a certificate for a host of this file expected, one for none of them given`},
		{"no certificate at all", "tls:\n  - cert: server.pem\n    key: server.key\n", "tls: []\n", `10: tls: missing: at least one cert and its key`},
		{"a certificate without its key", "    key: server.key\n", "", `11: tls[0].key: missing: the PEM file of the certificate's private key`},
		{"no directory of authorities", "trust: trust", "trust: none", `14: card.trust: a directory of certificates expected at "DIR/none": no such file or directory`},
		{"an empty directory of authorities", "trust: trust", "trust: nothing", `14: card.trust: a directory of certificates expected at "DIR/nothing": it is empty`},
		{"a file as the directory of authorities", "trust: trust", "trust: server.pem", `14: card.trust: a directory of certificates expected at "DIR/server.pem": not a directory`},
		{"no revocation list", "[cards.crl]", "[none.crl]", `16: card.crls[0]: a revocation list expected at "DIR/none.crl": no such file or directory`},
		{"an empty revocation list", "[cards.crl]", "[empty.pem]", `16: card.crls[0]: a revocation list expected at "DIR/empty.pem": the file is empty`},
		{"no authorities of a backend", "backend_ca: server.pem", "backend_ca: none.pem", `24: services[0].backend_ca: a PEM file of certificates expected at "DIR/none.pem": no such file or directory`},
		{"garbage as authorities of a backend", "backend_ca: server.pem", "backend_ca: garbage.pem", `24: services[0].backend_ca: a PEM file of certificates expected at "DIR/garbage.pem": it holds no certificate`},
		{"a first authority that is damaged (A1)", "backend_ca: server.pem", "backend_ca: damaged.pem", `24: services[0].backend_ca: a PEM file of certificates expected at "DIR/damaged.pem": of the 2 certificates that begin in it, 1 can be read`},
		{"a last authority that is cut short (A1)", "backend_ca: server.pem", "backend_ca: cut.pem", `24: services[0].backend_ca: a PEM file of certificates expected at "DIR/cut.pem": of the 2 certificates that begin in it, 1 can be read`},
		{"authorities that cannot be read (A1)", "backend_ca: server.pem", "backend_ca: loop.pem", `24: services[0].backend_ca: a PEM file of certificates expected at "DIR/loop.pem": too many levels of symbolic links`},
		{"a database in no directory", "database: authgw.db", "database: none/authgw.db", `32: database: a directory expected at "DIR/none": no such file or directory`},
		{"a database that is a directory", "database: authgw.db", "database: trust", `32: database: a file expected at "DIR/trust": it is not a file`},
	}, parseGateway)
}

func TestGatewayFaultsComeAllAtOnce(t *testing.T) {
	run(t, `hosts:
  crad: card.example.fr
tls:
  - cert: none.pem
services:
  - host: mail.example.fr
    backend: mail
  - name: Mail
session: {idle: 5h, absolute: 1x}
log: {level: inf}
`, []fault{{"a file with many faults", "hosts:", "hosts:", `
1: hosts.auth: missing: the host name of the login pages and the portal
1: hosts.card: missing: the host name that agents prove cards to
1: card.trust: missing: the directory of the authorities' certificates
1: card.crls: missing: a revocation list of each authority that issues cards, without which every card is refused
1: database: missing: the path of the SQLite file, or the URL of a PostgreSQL database
2: hosts.crad: unknown key; did you mean "card"?
4: tls[0].cert: a PEM file of certificates expected at "DIR/none.pem": no such file or directory
4: tls[0].key: missing: the PEM file of the certificate's private key
6: services[0].name: missing: what its assertions are addressed to
6: services[0].title: missing: its name on the portal
7: services[0].backend: an http or https URL of host and port alone, such as http://127.0.0.1:8080, expected, "mail" given
8: services[1].name: a name of 1 to 32 lower-case letters, digits and hyphens expected, "Mail" given
8: services[1].host: missing: the host name that browsers reach it by
8: services[1].title: missing: its name on the portal
8: services[1].backend: missing: the URL that requests are forwarded to (or proxies, when another reverse proxy forwards them)
9: session.absolute: a duration from 1s to 12h, such as 90s or 30m, expected, "1x" given
10: log.level: one of debug, info, warn, error expected, "inf" given; did you mean "info"?
`}}, parseGateway)
}

func TestFilesThatHoldNoSettings(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "1: settings expected, an empty file given"},
		{"comments alone", "# name: promess\n", "1: settings expected, an empty file given"},
		{"a list", "- name: promess\n", "1: a mapping (key: value) expected, a list given"},
		{"a text", "promess\n", `1: a mapping (key: value) expected, "promess" given`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, err := config.ParseGateway([]byte(tt.text), "c.yaml")
			var refused *config.Refused
			if !errors.As(err, &refused) || g != nil {
				t.Fatalf("ParseGateway = %v, %v, want a *config.Refused alone", g, err)
			}
			if got := refused.Lines(); got != "c.yaml:"+tt.want {
				t.Errorf("message = %q, want %q", got, "c.yaml:"+tt.want)
			}
		})
	}
}

func TestMessageIsBounded(t *testing.T) {
	var text strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&text, "setting_%d_of_another_program: 1\n", i)
	}
	_, err := config.ParseGateway([]byte(text.String()), "c.yaml")
	if err == nil {
		t.Fatal("settings of another program were accepted")
	}
	if lines := strings.Count(err.Error(), "\n"); lines != 41 {
		t.Errorf("the message has %d lines after its heading, want 40 problems and a count of the others", lines)
	}
}

// A configuration or a key pasted in the wrong place must not come out in a message that goes to a log.
func TestMessagesShowNoKey(t *testing.T) {
	dir := directory(t)
	key := read(t, filepath.Join(dir, "server.key"))
	secret := strings.Split(key, "\n")[1]
	block := "|\n      " + strings.ReplaceAll(strings.TrimSpace(key), "\n", "\n      ")
	quoted := fmt.Sprintf("%q", key)
	for _, text := range []string{
		strings.Replace(gatewayYAML, "key: server.key", "key: "+block, 1),
		strings.Replace(gatewayYAML, "key: server.key", "key: "+quoted, 1),
		strings.Replace(gatewayYAML, "key: server.key", quoted+": x", 1),
		strings.Replace(gatewayYAML, "key: server.key", "key: "+key, 1),
		key,
	} {
		_, err := config.ParseGateway([]byte(text), filepath.Join(dir, "c.yaml"))
		if err == nil {
			t.Error("a key in place of a path was accepted")
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the message shows the key: %v", err)
		}
	}
}

// Lesson G14: what is in force can be read, and is what was meant: the dump, read again, is the same configuration.
func TestGatewayDumpReadsBack(t *testing.T) {
	dir := directory(t)
	file := filepath.Join(dir, "c.yaml")
	for _, text := range []string{smallYAML, strings.Replace(gatewayYAML, "data/", "", 1), "admin: off\nagent_port: 1" + smallYAML} {
		checkGatewayDump(t, []byte(text), file)
	}
}

func checkGatewayDump(t *testing.T, text []byte, file string) {
	t.Helper()
	first, err := config.ParseGateway(text, file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.ParseGateway([]byte(first.Dump()), file)
	if err != nil {
		t.Fatalf("the dump is refused: %v\n%s", err, first.Dump())
	}
	if diff := cmp.Diff(first, again, byValue); diff != "" {
		t.Errorf("the dump is another configuration (-first +again):\n%s\n%s", diff, first.Dump())
	}
}

func parseGateway(data []byte, file string) (bool, error) {
	g, err := config.ParseGateway(data, file)
	return g == nil, err
}
