package config

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	mails "promess/authgw/internal/mail"
	"promess/authgw/internal/seal"
)

// Mail is how the gateway sends messages. The zero value sends none, and then nobody is asked for an ordinary address.
type Mail struct {
	Host string // of the SMTP server, a name or an address; empty: no messages
	Port uint16 // default 587, or 465 with TLS from the first byte
	TLS  string // starttls (default) or tls: TLS from the first byte
	// InsecureNoTLS sends in clear, to a server on this machine alone and without a password.
	InsecureNoTLS bool
	CA            string // PEM file of the authorities of the server; empty: those of the system
	User          string // empty: the server asks for none
	PasswordFile  string
	From          string        // address of the sender
	Timeout       time.Duration // of one message; default 10 s
	// ProtectedDomains are where the gateway itself opens mailboxes: a code sent there could be read only by who is signed in. So are the
	// domains below them.
	ProtectedDomains []string
}

// readMail reads the section mail and what depends on it.
func readMail(top *section, g *Gateway) {
	keys := top.at("seal_keys")
	g.SealKeys = optional(top, "seal_keys", "", sealKeys)
	g.Mail = mailSection(top)
	switch {
	case g.Mail.Host != "" && (keys.node == nil || isOff(keys)):
		keys.reportf("missing: the file of keys for the codes that mail sends, which is made with  printf 'k1 %%s\\n' \"$(openssl rand -base64 32)\"")
	case g.Accounts.Register && top.at("mail").node == nil:
		top.at("accounts").reportf("register asks for an ordinary address and proves it by mail: the section mail expected, none given")
	}
}

func mailSection(top *section) Mail {
	at := top.at("mail")
	s := top.sub("mail")
	if at.node == nil {
		return Mail{}
	}
	m := Mail{
		Host:          required(s, "host", "the SMTP server", mailServer),
		TLS:           optional(s, "tls", "starttls", oneOf("starttls", "tls")),
		InsecureNoTLS: optional(s, "insecure_no_tls", false, value.boolean),
		CA:            optional(s, "ca", "", authorities),
		User:          optional(s, "user", "", words(200)),
		PasswordFile:  optional(s, "password_file", "", databasePasswordFile),
		From:          required(s, "from", "the address that messages come from", mail),
		// A person waits for it, and an answer of the listener may take a minute.
		Timeout:          optional(s, "timeout", 10*time.Second, duration(time.Second, 30*time.Second)),
		ProtectedDomains: list(s, "protected_domains", hostName),
	}
	standard := uint16(587)
	if m.TLS == "tls" {
		standard = 465
	}
	m.Port = optional(s, "port", standard, port)
	refuseTwice(s, "protected_domains", hostName)
	switch {
	case m.InsecureNoTLS && m.Host != "" && !mails.IsLoopback(m.Host):
		s.at("insecure_no_tls").reportf("a server on this machine expected beside it, another one given: codes would cross the network in clear")
	case m.InsecureNoTLS && (m.User != "" || m.CA != "" || s.at("tls").node != nil && m.TLS == "tls"):
		s.at("insecure_no_tls").reportf("no user, no ca and no tls expected beside it, one of them given")
	}
	if (m.User == "") != (m.PasswordFile == "") && s.at("user").node != nil != (s.at("password_file").node != nil) {
		s.at("user").reportf("both user and password_file expected, or neither; one given")
	}
	s.close()
	return m
}

// mailServer reads the name or the address of a server.
func mailServer(v value) (string, error) {
	text, err := v.text()
	if a, bad := netip.ParseAddr(text); err == nil && bad == nil && a.Zone() == "" {
		return a.String(), nil
	}
	if err != nil || !isHost(text) {
		return "", v.want("a host name in lower case such as smtp.example.fr, or an IP address,")
	}
	return text, nil
}

func isOff(v value) bool {
	text, err := v.text()
	return err == nil && text == "off"
}

const maxSealKeys = 64 << 10

// sealKeys reads the path of a file of keys that only its owner may read.
func sealKeys(v value) (string, error) {
	if isOff(v) {
		return "", nil
	}
	const what = "a file of keys"
	name, err := regular(what, maxSealKeys)(v)
	if err != nil {
		return "", err
	}
	if err := ownersOnly(name, what); err != nil {
		return "", err
	}
	if _, err := LoadSealKeys(name); err != nil {
		return "", err
	}
	return name, nil
}

// LoadSealKeys reads a file of keys. An empty name is no file, and no keys.
func LoadSealKeys(name string) (*seal.Keys, error) {
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the keys of seal_keys: %w", err)
	}
	k, err := seal.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("a file of keys expected at %s: %w", quote(name), err)
	}
	return k, nil
}

// Password reads the password for the mail server: the one line of its file. It is empty without a file.
func (m Mail) Password() (string, error) {
	if m.PasswordFile == "" {
		return "", nil
	}
	data, err := os.ReadFile(m.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("read the password of the mail server: %w", err)
	}
	line := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if line == "" || len(line) > maxPassword || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' }) {
		return "", fmt.Errorf("read the password of the mail server: %s holds something else than one line", m.PasswordFile)
	}
	return line, nil
}

func (d *dump) mail(m Mail) {
	if m.Host == "" {
		return
	}
	d.open("mail")
	d.text("host", m.Host)
	d.set("port", m.Port)
	d.text("tls", m.TLS)
	d.flag("insecure_no_tls", m.InsecureNoTLS, "messages leave the gateway in clear")
	d.text("ca", m.CA)
	d.text("user", m.User)
	d.text("password_file", m.PasswordFile)
	d.text("from", m.From)
	d.duration("timeout", m.Timeout)
	d.texts("protected_domains", m.ProtectedDomains)
	d.close()
}
