package config

import (
	"net/url"
	"os"
	"strings"
	"time"

	"promess/authgw/internal/cardwire"
)

// LoadAgent reads the configuration of cardagent. Of a file that is wrong the error is a *Refused; a configuration is returned
// only without an error.
func LoadAgent(file string) (*Agent, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return ParseAgent(data, file)
}

// ParseAgent is LoadAgent for a file already read. The file name stands in the messages, and relative paths start in its
// directory.
func ParseAgent(data []byte, file string) (*Agent, error) {
	top, src, err := parse(data, file)
	if err != nil {
		return nil, err
	}
	a := readAgent(top, knownModules())
	if err := src.err(); err != nil {
		return nil, err
	}
	a.File = file
	return a, nil
}

// knownModules are the places where PKCS#11 modules for the cards are installed: those of the ANS's Cryptolib CPS first, since it
// knows every card of theirs, then OpenSC.
func knownModules() []string {
	return []string{
		"/opt/santesocial/CPS/lib/libcps3_pkcs11_lux.so",
		"/usr/local/lib/libcps3_pkcs11_osx.dylib",
		`C:\Windows\System32\cps3_pkcs11_w64.dll`,
		"/usr/lib/x86_64-linux-gnu/opensc-pkcs11.so",
		"/usr/lib/aarch64-linux-gnu/opensc-pkcs11.so",
		"/usr/lib64/opensc-pkcs11.so",
		"/usr/lib/opensc-pkcs11.so",
		"/Library/OpenSC/lib/opensc-pkcs11.so",
		`C:\Program Files\OpenSC Project\OpenSC\pkcs11\opensc-pkcs11.dll`,
	}
}

func readAgent(top *section, modules []string) *Agent {
	a := &Agent{
		Port:     optional(top, "port", cardwire.DefaultAgentPort, portOrFree),
		Module:   optional(top, "module", firstFile(modules), regular("a PKCS#11 module", 1<<30)),
		Gateways: readGateways(top),
		PIN:      readPIN(top.sub("pin")),
		NoReset:  optional(top, "no_reset", false, value.boolean),
		Timeout:  optional(top, "timeout", 15*time.Second, duration(time.Second, time.Minute)),
		Log:      readLog(top.sub("log")),
	}
	if module := top.at("module"); module.node == nil && a.Module == "" {
		module.reportf("missing: no PKCS#11 module is where they are installed; install the card's software (or opensc-pkcs11), or give the path")
	}
	top.close()
	return a
}

// firstFile returns the first of some paths where there is a file, or "".
func firstFile(names []string) string {
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return name
		}
	}
	return ""
}

func readGateways(top *section) []Trusted {
	names := &claims{what: "name"}
	gateways := list(top, "gateways", func(v value) (Trusted, error) {
		s, err := v.section()
		if err != nil {
			return Trusted{}, err
		}
		g := readTrusted(s)
		names.add(g.Name, s.at("name"))
		return g, nil
	})
	atLeastOne(top, "gateways", "at least one gateway that this agent signs for")
	return gateways
}

func readTrusted(s *section) Trusted {
	g := Trusted{
		Name:   required(s, "name", "the name that the gateway has in its own configuration", shortName),
		Origin: required(s, "origin", "the origin of the gateway's login pages", origin),
		Card:   required(s, "card", "the origin of the gateway's card host", origin),
		CA:     optional(s, "ca", "", authorities),
		Dial:   optional(s, "dial", "", dialAddress),
	}
	g.Title = optional(s, "title", strings.TrimPrefix(g.Origin, "https://"), words(80))
	if g.Card != "" && host(g.Card) == host(g.Origin) {
		s.at("card").reportf("a host other than that of origin expected, %q given for both", host(g.Card))
	}
	s.close()
	return g
}

// host returns the host name of an origin that was read.
func host(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return "" // unreachable: origin parsed it
	}
	return u.Hostname()
}

func readPIN(s *section) PIN {
	p := PIN{
		Dialog:  optional(s, "dialog", "auto", oneOf("auto", "pinentry", "zenity", "kdialog", "page")),
		Program: optional(s, "program", "", program),
		Timeout: optional(s, "timeout", time.Minute, duration(time.Second, 110*time.Second)),
	}
	if at := s.at("program"); at.node != nil && (p.Dialog == "auto" || p.Dialog == "page") {
		at.reportf("dialog pinentry, zenity or kdialog expected beside it, %s given: each is spoken to differently", p.Dialog)
	}
	s.close()
	return p
}
