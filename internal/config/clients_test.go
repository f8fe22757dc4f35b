package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"promess/authgw/internal/client"
	"promess/authgw/internal/config"
)

// writeClient writes the secret of a client, NAME.secret, and returns it.
func writeClient(t testing.TB, dir, name string) string {
	t.Helper()
	secret, _ := client.NewSecret()
	write(t, filepath.Join(dir, name+".secret"), secret+"\n", 0o600)
	return secret
}

// writeJWKS writes a set with one public key, NAME.jwks.
func writeJWKS(t testing.TB, dir, name string) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "one", Algorithm: "ES256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".jwks"), string(data), 0o644)
	return key
}

const clientsYAML = smallYAML + `
seal_keys: seal.keys
clients:
  - id: agenda
    title: Agenda partagé
    redirect_uris: ["https://agenda.example.org/oidc/callback"]
    scopes: [profile]
    secret_file: agenda.secret
  - id: lab
    title: "Lab: results"
    native: true
    redirect_uris:
      - "http://127.0.0.1/callback"
      - fr.example.lab:/callback
    post_logout_redirect_uris: ["https://lab.example.org/"]
    scopes: [openid, psc, offline_access]
    refresh: true
    device: true
    consent: true
    introspect: true
    allow: {level: hardware, methods: [card], professions: ["10"], card_types: [CPS], structures: ["10B0057881"]}
    max_age: 15m
    subject: pairwise
    sector: lab.example.org
    signing: RS256
    backchannel_logout_uri: https://10.1.2.3/logout
    backchannel_networks: [10.1.2.0/24]
    auth: private_key_jwt
    jwks_file: lab.jwks
`

func clientsDirectory(t *testing.T) (dir, secret string, key *ecdsa.PrivateKey) {
	t.Helper()
	dir = directory(t)
	write(t, filepath.Join(dir, "seal.keys"), sealKey(), 0o600)
	return dir, writeClient(t, dir, "agenda"), writeJWKS(t, dir, "lab")
}

func TestClients(t *testing.T) {
	dir, secret, key := clientsDirectory(t)
	g, err := config.ParseGateway([]byte(clientsYAML), filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.ParseGateway([]byte(g.Dump()), filepath.Join(dir, "c.yaml"))
	if err != nil {
		t.Fatalf("the dump is refused: %v", err)
	}
	if diff := cmp.Diff(g.Clients, again.Clients, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the dump says something else (-read +dump):\n%s", diff)
	}
	if strings.Contains(g.Dump(), secret) {
		t.Error("the dump shows a secret")
	}
	all, err := g.LoadClients()
	if err != nil || len(all) != 2 {
		t.Fatalf("LoadClients = %d clients, %v", len(all), err)
	}
	agenda, lab := all[0], all[1]
	if !agenda.ProvedBy(secret) || agenda.Auth != client.SharedSecret || agenda.Signing != "ES256" || agenda.Subject != client.PublicSubject {
		t.Errorf("agenda = %+v", agenda)
	}
	if diff := cmp.Diff([]string{"openid", "profile"}, agenda.Scopes); diff != "" {
		t.Errorf("scopes of agenda (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"openid", "psc", "scope_all", "offline_access"}, lab.Scopes); diff != "" {
		t.Errorf("scopes of lab (-want +got):\n%s", diff)
	}
	if !key.PublicKey.Equal(lab.Keys["one"].Public) || lab.Keys["one"].Alg != "ES256" || len(lab.Keys) != 1 {
		t.Errorf("keys of lab = %v", lab.Keys)
	}
	want := &client.Client{
		ID: "lab", Title: "Lab: results", Auth: client.PrivateKeyJWT, Native: true, RedirectURIs: []string{"http://127.0.0.1/callback", "fr.example.lab:/callback"},
		AfterLogout: []string{"https://lab.example.org/"}, Refresh: true, Device: true, Consent: true, Introspect: true,
		Rule:   client.Rule{Level: "hardware", Methods: []string{"card"}, Professions: []string{"10"}, CardTypes: []string{"CPS"}, Structures: []string{"10B0057881"}},
		MaxAge: 15 * time.Minute, Subject: client.PairwiseSubject, Sector: "lab.example.org", Signing: "RS256", BackChannel: "https://10.1.2.3/logout",
	}
	if diff := cmp.Diff(want, lab, cmpopts.IgnoreFields(client.Client{}, "Keys", "Scopes", "BackChannelPrivate"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("lab (-want +got):\n%s", diff)
	}

	fresh := writeClient(t, dir, "agenda")
	if all, err := g.LoadClients(); err != nil || !all[0].ProvedBy(fresh) || all[0].ProvedBy(secret) {
		t.Errorf("after the secret was replaced LoadClients = %v, %v", all, err)
	}
	if err := os.Remove(filepath.Join(dir, "agenda.secret")); err != nil {
		t.Fatal(err)
	}
	if all, err := g.LoadClients(); err == nil || all != nil {
		t.Error("clients are loaded without the secret of one")
	}
}

func TestClientsThatAreWrong(t *testing.T) {
	dir, secret, _ := clientsDirectory(t)
	write(t, filepath.Join(dir, "weak.secret"), "hunter2hunter2\n", 0o600)
	write(t, filepath.Join(dir, "open.secret"), secret+"\n", 0o644)
	write(t, filepath.Join(dir, "no.jwks"), `{"keys":[]}`, 0o644)
	for name, tt := range map[string]struct{ old, new, want string }{
		"no keys":                   {"seal_keys: seal.keys", "seal_keys: off", "seal_keys: missing: the file of keys for the tokens of clients"},
		"no id":                     {"  - id: agenda\n    title", "  - title", "clients[0].id: missing"},
		"an id with a space":        {"id: agenda", `id: "a b"`, "clients[0].id: 1 to 64 letters"},
		"the name of a service":     {"id: lab", "id: mail", `clients[1].id: another name than that of a service behind the gateway expected, "mail" given`},
		"the same id":               {"id: lab", "id: agenda", `clients[1].id: a client id of its own expected, "agenda" given`},
		"no title":                  {"    title: Agenda partagé\n", "", "clients[0].title: missing"},
		"http":                      {"https://agenda", "http://agenda", "clients[0].redirect_uris[0]: https expected, http given"},
		"a wildcard":                {"/oidc/callback", "/*", "clients[0].redirect_uris[0]: wildcards are not taken"},
		"the auth host":             {"agenda.example.org", "auth.example.fr", "clients[0].redirect_uris[0]: a host of the service expected"},
		"the second one is wrong":   {"fr.example.lab:/callback", "lab:/callback", "c.yaml:20: clients[1].redirect_uris[1]: https or a scheme of its own"},
		"no redirect URI":           {"    redirect_uris: [\"https://agenda.example.org/oidc/callback\"]\n", "", "clients[0].redirect_uris: missing"},
		"a number for a text":       {"    max_age: 15m", "    max_age: 900", "clients[1].max_age: text expected"},
		"a long age":                {"    max_age: 15m", "    max_age: 13h", "clients[1].max_age: a duration from 1s to 12h"},
		"no secret":                 {"    secret_file: agenda.secret\n", "", "clients[0].secret_file: missing"},
		"a secret beside keys":      {"    jwks_file: lab.jwks", "    jwks_file: lab.jwks\n    secret_file: agenda.secret", "clients[1].secret_file: auth: client_secret expected beside it"},
		"a weak secret":             {"agenda.secret", "weak.secret", "clients[0].secret_file: the secret of a client expected at"},
		"a secret that others read": {"agenda.secret", "open.secret", "clients[0].secret_file: a file that only its owner may read expected"},
		"the secret itself":         {"secret_file: agenda.secret", "secret: x\n    secret_file: agenda.secret", "clients[0].secret: unknown key"},
		"no keys of its own":        {"    jwks_file: lab.jwks\n", "", "clients[1].jwks_file: missing"},
		"an empty set":              {"lab.jwks", "no.jwks", "clients[1].jwks_file: a JWK set of 1 to 10 keys"},
		"no JSON":                   {"lab.jwks", "weak.secret", "clients[1].jwks_file: a JWK set expected at"},
		"keys by a URL":             {"jwks_file: lab.jwks", "jwks_uri: https://lab.example.org/keys", "clients[1].jwks_uri: unknown key"},
		"everybody as nobody":       {"methods: [card]", "methods: []", "clients[1].allow.methods: at least one value expected"},
		"a method nobody knows":     {"methods: [card]", "methods: [card, sms]", "clients[1].allow.methods[1]: one of card, otp, qr, passkey, psc expected"},
		"a level nobody knows":      {"level: hardware", "level: high", "clients[1].allow.level: one of hardware, two_factor expected"},
		"unknown key of allow":      {"level: hardware", "acr: hardware", "clients[1].allow.acr: unknown key"},
		"a private address":         {"    backchannel_networks: [10.1.2.0/24]\n", "", "clients[1].backchannel_logout_uri: 10.1.2.3 is not a public address"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := config.ParseGateway([]byte(strings.Replace(clientsYAML, tt.old, tt.new, 1)), filepath.Join(dir, "c.yaml"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error = %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "hunter2") {
				t.Error("a secret is in the message")
			}
		})
	}
}

// All that is wrong is said at once, in the order of the lines.
func TestClientsThatAreWrongInManyWays(t *testing.T) {
	dir, _, _ := clientsDirectory(t)
	text := strings.NewReplacer("https://agenda", "http://agenda", "[profile]", "[phone]", "signing: RS256", "signing: HS256", "subject: pairwise", "subject: public").Replace(clientsYAML)
	_, err := config.ParseGateway([]byte(text), filepath.Join(dir, "c.yaml"))
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	at := 0
	for _, want := range []string{"clients[0].redirect_uris[0]:", "clients[0].scopes[0]:", "clients[1].sector:", "clients[1].signing:"} {
		next := strings.Index(err.Error(), want)
		if next < at {
			t.Errorf("%q is missing or out of order in:\n%v", want, err)
		}
		at = max(at, next)
	}
}
