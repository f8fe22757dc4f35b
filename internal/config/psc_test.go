package config_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/config"
)

const pscYAML = smallYAML + `
seal_keys: seal.keys
psc:
  client_id: promess
  client_secret_file: psc-secret
`

func TestPSC(t *testing.T) {
	dir := directory(t)
	write(t, filepath.Join(dir, "seal.keys"), sealKey(), 0o600)
	write(t, filepath.Join(dir, "psc-secret"), "a secret\n", 0o600)
	parse := func(t *testing.T, text string) config.PSC {
		t.Helper()
		g, err := config.ParseGateway([]byte(text), filepath.Join(dir, "c.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		again, err := config.ParseGateway([]byte(g.Dump()), filepath.Join(dir, "c.yaml"))
		if err != nil {
			t.Fatalf("the dump is refused: %v", err)
		}
		if diff := cmp.Diff(g.PSC, again.PSC); diff != "" {
			t.Errorf("the dump says something else (-read +dump):\n%s", diff)
		}
		return g.PSC
	}
	// Hosts and paths: facts of the ANS, "Endpoints".
	production := config.PSC{
		Environment: "production", Issuer: "https://auth.esw.esante.gouv.fr/auth/realms/esante-wallet",
		Hosts:    []string{"auth.esw.esante.gouv.fr", "wallet.esw.esante.gouv.fr"},
		ClientID: "promess", ClientAuth: "basic", ClientSecretFile: filepath.Join(dir, "psc-secret"),
		ACR: []string{"eidas1", "eidas2", "eidas3"}, Scopes: []string{"openid", "scope_all"}, Timeout: 10 * time.Second,
	}
	if diff := cmp.Diff(production, parse(t, pscYAML)); diff != "" {
		t.Errorf("production (-want +got):\n%s", diff)
	}
	sandbox := production
	sandbox.Environment, sandbox.Issuer = "sandbox", "https://auth.bas.psc.esante.gouv.fr/auth/realms/esante-wallet"
	sandbox.Hosts = []string{"auth.bas.psc.esante.gouv.fr", "wallet.bas.psc.esante.gouv.fr"}
	if diff := cmp.Diff(sandbox, parse(t, pscYAML+"  environment: sandbox\n")); diff != "" {
		t.Errorf("sandbox (-want +got):\n%s", diff)
	}
	own := sandbox
	own.Issuer, own.Hosts, own.ClientAuth = "https://127.0.0.1:8444/auth/realms/esante-wallet", []string{"127.0.0.1:8444", "wallet.example.fr"}, "tls"
	own.ClientSecretFile, own.ClientCert, own.ClientKey = "", filepath.Join(dir, "server.pem"), filepath.Join(dir, "server.key")
	own.ACR, own.Timeout = []string{"eidas2"}, 5*time.Second
	text := strings.Replace(pscYAML, "client_secret_file: psc-secret", "client_auth: tls\n  client_cert: server.pem\n  client_key: server.key", 1) + `  environment: sandbox
  issuer: https://127.0.0.1:8444/auth/realms/esante-wallet
  hosts: ["127.0.0.1:8444", wallet.example.fr:443]
  acr: [eidas2]
  timeout: 5s
`
	if diff := cmp.Diff(own, parse(t, text)); diff != "" {
		t.Errorf("own (-want +got):\n%s", diff)
	}
}

func TestPSCThatIsWrong(t *testing.T) {
	dir := directory(t)
	write(t, filepath.Join(dir, "seal.keys"), sealKey(), 0o600)
	write(t, filepath.Join(dir, "psc-secret"), "a secret\n", 0o600)
	for name, tt := range map[string]struct{ old, new, want string }{
		"no client":             {"client_id: promess", "environment: production", "psc.client_id: missing"},
		"no secret":             {"client_secret_file: psc-secret", "timeout: 5s", "client_secret_file expected beside basic"},
		"tls without a key":     {"client_secret_file: psc-secret", "client_auth: tls\n  client_cert: server.pem", "client_cert and client_key expected beside tls"},
		"another key":           {"client_secret_file: psc-secret", "client_auth: tls\n  client_cert: server.pem\n  client_key: other.key", "psc.client_key: the private key of the first certificate"},
		"no keys":               {"seal_keys: seal.keys", "seal_keys: off", "seal_keys: missing"},
		"http":                  {"client_id", "issuer: http://auth.example.fr\n  client_id", "psc.issuer: an https URL"},
		"a level of its own":    {"client_id", "acr: [eidas9]\n  client_id", "psc.acr[0]: one of eidas1, eidas2, eidas3 expected"},
		"no level":              {"client_id", "acr: []\n  client_id", "psc.acr: at least one value expected"},
		"scopes without openid": {"client_id", "scopes: [scope_all]\n  client_id", "psc.scopes: openid expected first"},
		"a URL as a host":       {"client_id", "hosts: [\"https://a.fr\"]\n  client_id", "psc.hosts[0]: a host name"},
		"unknown key":           {"client_id", "insecure: true\n  client_id", "psc.insecure: unknown key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.ParseGateway([]byte(strings.Replace(pscYAML, tt.old, tt.new, 1)), filepath.Join(dir, "c.yaml"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
		})
	}
}
