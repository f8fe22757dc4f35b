package config_test

import (
	"crypto/rand"
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/config"
)

// sealKey is a file with one new key.
func sealKey() string {
	secret := make([]byte, 32)
	rand.Read(secret)
	return "k1 " + base64.StdEncoding.EncodeToString(secret) + "\n"
}

// mailYAML is a configuration that sends messages. Its first lines are those of smallYAML.
const mailYAML = smallYAML + `accounts:
  register: false
seal_keys: seal.keys
mail:
  host: smtp.example.fr
  port: 2525
  tls: tls
  insecure_no_tls: false
  ca: server.pem
  user: authgw
  password_file: password
  from: no-reply@example.fr
  timeout: 5s
  protected_domains: [mssante.fr, hopital.mssante.fr]
`

func mailDirectory(t *testing.T) string {
	t.Helper()
	dir := directory(t)
	write(t, filepath.Join(dir, "seal.keys"), sealKey(), 0o600)
	write(t, filepath.Join(dir, "password"), "secret word\n", 0o600)
	write(t, filepath.Join(dir, "open"), sealKey(), 0o644)
	return dir
}

func TestMail(t *testing.T) {
	dir := mailDirectory(t)
	full := config.Mail{
		Host: "smtp.example.fr", Port: 2525, TLS: "tls", CA: filepath.Join(dir, "server.pem"), User: "authgw", PasswordFile: filepath.Join(dir, "password"),
		From: "no-reply@example.fr", Timeout: 5 * time.Second, ProtectedDomains: []string{"mssante.fr", "hopital.mssante.fr"},
	}
	for _, tt := range []struct {
		name, text string
		want       config.Mail
		register   bool
	}{
		{"nothing is said of it", smallYAML, config.Mail{}, false},
		{"everything is set", mailYAML, full, false},
		{"what must be set", smallYAML + "seal_keys: seal.keys\nmail: {host: smtp.example.fr, from: a@example.fr}\n",
			config.Mail{Host: "smtp.example.fr", Port: 587, TLS: "starttls", From: "a@example.fr", Timeout: 10 * time.Second}, true},
		{"TLS first has a port of its own", smallYAML + "seal_keys: seal.keys\nmail: {host: smtp.example.fr, tls: tls, from: a@example.fr}\n",
			config.Mail{Host: "smtp.example.fr", Port: 465, TLS: "tls", From: "a@example.fr", Timeout: 10 * time.Second}, true},
		{"in clear on this machine", smallYAML + "seal_keys: seal.keys\nmail: {host: \"127.0.0.1\", port: 25, insecure_no_tls: true, from: a@example.fr}\n",
			config.Mail{Host: "127.0.0.1", Port: 25, TLS: "starttls", InsecureNoTLS: true, From: "a@example.fr", Timeout: 10 * time.Second}, true},
		{"keys without mail", smallYAML + "seal_keys: seal.keys\n", config.Mail{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(dir, "c.yaml")
			g, err := config.ParseGateway([]byte(tt.text), file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, g.Mail); diff != "" {
				t.Errorf("mail (-want +got):\n%s", diff)
			}
			if g.Accounts.Register != tt.register {
				t.Errorf("register = %t, want %t", g.Accounts.Register, tt.register)
			}
			checkGatewayDump(t, []byte(tt.text), file)
		})
	}
}

// Lesson A28 and what else must not be configured.
func TestMailThatIsRefused(t *testing.T) {
	dir := mailDirectory(t)
	for _, tt := range []struct{ name, old, new, want string }{
		{"no keys", "seal_keys: seal.keys\n", "", "seal_keys: missing: the file of keys"},
		{"keys that are switched off", "seal_keys: seal.keys\n", "seal_keys: off\n", "seal_keys: missing: the file of keys"},
		{"keys that others may read", "seal_keys: seal.keys", "seal_keys: open", "mode 0644 given: chmod 600"},
		{"keys that are none", "seal_keys: seal.keys", "seal_keys: password", "line 1: "},
		{"keys that are not there", "seal_keys: seal.keys", "seal_keys: nothing.keys", "no such file"},
		{"in clear to another machine", "insecure_no_tls: false", "insecure_no_tls: true", "mail.insecure_no_tls: a server on this machine expected"},
		{"no server", "  host: smtp.example.fr\n", "", "mail.host: missing: the SMTP server"},
		{"no sender", "  from: no-reply@example.fr\n", "", "mail.from: missing"},
		{"a sender that is no address", "from: no-reply@example.fr", "from: no-reply", "mail.from: a mail address in lower case"},
		{"a user without a password", "  password_file: password\n", "", "mail.user: both user and password_file expected"},
		{"a password without a user", "  user: authgw\n", "", "mail.user: both user and password_file expected"},
		{"another kind of TLS", "tls: tls", "tls: maybe", "mail.tls: one of starttls, tls expected"},
		{"a domain as a wildcard", "[mssante.fr,", "['*.mssante.fr',", "mail.protected_domains[0]: a host name in lower case"},
		{"a domain in capitals", "[mssante.fr,", "[MSSANTE.fr,", "mail.protected_domains[0]: a host name in lower case"},
		{"longer than a person waits", "timeout: 5s", "timeout: 31s", "mail.timeout: a duration from 1s to 30s"},
		{"a key that is not known", "timeout: 5s", "time_out: 5s", `mail.time_out: unknown key; did you mean "timeout"?`},
		{"registration without mail", mailYAML[strings.Index(mailYAML, "accounts:"):], "accounts: {register: true}\n", "accounts: register asks for an ordinary address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if strings.Count(mailYAML, tt.old) != 1 {
				t.Fatalf("%q stands %d times", tt.old, strings.Count(mailYAML, tt.old))
			}
			g, err := config.ParseGateway([]byte(strings.Replace(mailYAML, tt.old, tt.new, 1)), filepath.Join(dir, "c.yaml"))
			if g != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseGateway = %v, %v, want an error with %q", g, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret word") {
				t.Errorf("the message shows the password: %v", err)
			}
		})
	}
}

func TestMailPassword(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, text, want string }{ // want empty: refused
		{"a line", "secret\n", "secret"}, {"of Windows", "secret\r\n", "secret"}, {"without an end", "se cret", "se cret"},
		{"empty", "\n", ""}, {"two lines", "a\nb\n", ""},
	} {
		file := filepath.Join(dir, "p")
		write(t, file, tt.text, 0o600)
		got, err := config.Mail{PasswordFile: file}.Password()
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: Password = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if got, err := (config.Mail{}).Password(); got != "" || err != nil {
		t.Errorf("without a file: %q, %v", got, err)
	}
	if err := os.Remove(filepath.Join(dir, "p")); err != nil {
		t.Fatal(err)
	}
	if _, err := (config.Mail{PasswordFile: filepath.Join(dir, "p")}).Password(); err == nil {
		t.Error("a file that is gone is an empty password")
	}
}
