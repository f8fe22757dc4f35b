package config_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"promess/authgw/internal/config"
)

func TestHostOfClientCertificates(t *testing.T) {
	dir := directory(t)
	write(t, filepath.Join(dir, "seal.keys"), sealKey(), 0o600)
	file := filepath.Join(dir, "c.yaml")
	with := strings.Replace(smallYAML, "card: card.example.fr}", "card: card.example.fr, client_cert: api.example.fr}", 1)
	g, err := config.ParseGateway([]byte(with+"seal_keys: seal.keys\n"), file)
	if err != nil {
		t.Fatal(err)
	}
	if g.Hosts.ClientCert != "api.example.fr" || !slices.Contains(g.Hosts.Own(), "api.example.fr") {
		t.Errorf("hosts = %+v, own %q, want api.example.fr in both", g.Hosts, g.Hosts.Own())
	}
	for name, tt := range map[string]struct{ text, want string }{
		"without keys":          {with, "seal_keys: missing: the file of keys for the tokens of clients"},
		"the auth host":         {strings.Replace(with, "api.example.fr", "auth.example.fr", 1) + "seal_keys: seal.keys\n", "hosts.client_cert: a host name of its own expected"},
		"a URL":                 {strings.Replace(with, "api.example.fr", `"https://api.example.fr"`, 1) + "seal_keys: seal.keys\n", "hosts.client_cert: a host name in lower case"},
		"without a certificate": {strings.Replace(with, "api.example.fr", "api.example.org", 1) + "seal_keys: seal.keys\n", "hosts.client_cert: a host name that a certificate of tls covers expected"},
	} {
		if _, err := config.ParseGateway([]byte(tt.text), file); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}
