package config_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/internal/config"
)

// agentYAML sets every key.
const agentYAML = `port: 24999
module: module.so
gateways:
  - name: promess
    title: Messagerie sécurisée
    origin: https://auth.example.fr:8443
    card: https://card.example.fr:8443/
    ca: server.pem
    dial: 127.0.0.1:8443
  - name: other
    origin: https://auth.example.org:443
    card: https://card.example.org
pin:
  dialog: pinentry
  program: pinentry
  timeout: 45s
no_reset: true
timeout: 20s
log:
  level: warn
  format: text
`

func TestAgentWithEverythingSet(t *testing.T) {
	dir := directory(t)
	file := filepath.Join(dir, "cardagent.yaml")
	write(t, file, agentYAML, 0o600)
	got, err := config.LoadAgent(file)
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(dir, name) }
	want := &config.Agent{
		File:   file,
		Port:   24999,
		Module: in("module.so"),
		Gateways: []config.Trusted{
			{
				Name: "promess", Title: "Messagerie sécurisée", Origin: "https://auth.example.fr:8443", Card: "https://card.example.fr:8443",
				CA: in("server.pem"), Dial: "127.0.0.1:8443",
			},
			// Browsers write an origin without the port of its scheme (RFC 6454, section 6.2).
			{Name: "other", Title: "auth.example.org", Origin: "https://auth.example.org", Card: "https://card.example.org"},
		},
		PIN:     config.PIN{Dialog: "pinentry", Program: in("pinentry"), Timeout: 45 * time.Second},
		NoReset: true,
		Timeout: 20 * time.Second,
		Log:     config.Log{Level: "warn", Format: "text"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("LoadAgent (-want +got):\n%s", diff)
	}
}

func TestAgentWithDefaults(t *testing.T) {
	dir := directory(t)
	file := filepath.Join(dir, "c.yaml")
	got, err := config.ParseAgent([]byte(`{module: module.so, gateways: [{name: a, origin: "https://a.example", card: "https://c.a.example"}]}`), file)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Agent{
		File:     file,
		Port:     24780,
		Module:   filepath.Join(dir, "module.so"),
		Gateways: []config.Trusted{{Name: "a", Title: "a.example", Origin: "https://a.example", Card: "https://c.a.example"}},
		PIN:      config.PIN{Dialog: "auto", Timeout: time.Minute},
		Timeout:  15 * time.Second,
		Log:      config.Log{Level: "info", Format: "json"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseAgent (-want +got):\n%s", diff)
	}
}

func TestAgentFaults(t *testing.T) {
	const anOrigin = "an https origin such as https://auth.example.fr or https://auth.example.fr:8443"
	run(t, agentYAML, []fault{
		{"an unknown key", "no_reset: true", "noreset: true", `17: noreset: unknown key; did you mean "no_reset"?`},
		{"a port out of range", "port: 24999", "port: 65536", `1: port: a port from 0 to 65535 expected, the number 65536 given`},
		{"no module there", "module: module.so", "module: none.so", `2: module: a PKCS#11 module expected at "DIR/none.so": no such file or directory`},
		{"an origin without TLS", "origin: https://auth.example.fr:8443", "origin: http://auth.example.fr", `6: gateways[0].origin: ` + anOrigin + ` expected, "http://auth.example.fr" given`},
		{"an origin with a path", "https://auth.example.fr:8443", "https://auth.example.fr/login", `6: gateways[0].origin: ` + anOrigin + ` expected, "https://auth.example.fr/login" given`},
		{"an origin with a user", "https://auth.example.fr:8443", "https://auth.example.fr@evil.example", `6: gateways[0].origin: ` + anOrigin + ` expected, a text of 36 bytes given`},
		{"an origin with capitals", "https://auth.example.fr:8443", "https://Auth.example.fr", `6: gateways[0].origin: ` + anOrigin + ` expected, "https://Auth.example.fr" given`},
		{"an origin that is an address, for which there is no SNI", "https://auth.example.fr:8443", "https://192.0.2.1", `6: gateways[0].origin: ` + anOrigin + ` expected, "https://192.0.2.1" given`},
		{"a card host that is the auth host", "https://card.example.fr:8443/", "https://auth.example.fr:9443", `7: gateways[0].card: a host other than that of origin expected, "auth.example.fr" given for both`},
		{"no card host", "    card: https://card.example.org\n", "", `10: gateways[1].card: missing: the origin of the gateway's card host`},
		{"a gateway twice", "name: other", "name: promess", `10: gateways[1].name: a name of its own expected, "promess" given, which is that of gateways[0].name on line 4`},
		{"an empty file of authorities (A1)", "ca: server.pem", "ca: empty.pem", `8: gateways[0].ca: a PEM file of certificates expected at "DIR/empty.pem": the file is empty`},
		{"garbage as authorities (A1)", "ca: server.pem", "ca: garbage.pem", `8: gateways[0].ca: a PEM file of certificates expected at "DIR/garbage.pem": it holds no certificate`},
		{"no port to dial", "dial: 127.0.0.1:8443", "dial: 127.0.0.1", `9: gateways[0].dial: host:port expected, "127.0.0.1" given`},
		{"a dialog that does not exist", "dialog: pinentry", "dialog: pinenrty", `14: pin.dialog: one of auto, pinentry, zenity, kdialog, page expected, "pinenrty" given; did you mean "pinentry"?`},
		{"a program of no known speech", "dialog: pinentry", "dialog: auto", `15: pin.program: dialog pinentry, zenity or kdialog expected beside it, auto given: each is spoken to differently`},
		{"a program that may not be executed", "program: pinentry", "program: garbage.pem", `15: pin.program: a program expected at "DIR/garbage.pem": it may not be executed`},
		{"a wait for the PIN beyond the life of a login", "timeout: 45s", "timeout: 2m", `16: pin.timeout: a duration from 1s to 1m50s, such as 90s or 30m, expected, "2m" given`},
		{"a wait for the card without end", "timeout: 20s", "timeout: 1h", `18: timeout: a duration from 1s to 1m, such as 90s or 30m, expected, "1h" given`},
		{"no gateway", agentYAML[len("port: 24999\nmodule: module.so\n"):], "", `1: gateways: missing: at least one gateway that this agent signs for`},
	}, parseAgent)
}

func TestAgentDumpReadsBack(t *testing.T) {
	file := filepath.Join(directory(t), "c.yaml")
	checkAgentDump(t, []byte(agentYAML), file)
}

func checkAgentDump(t *testing.T, text []byte, file string) {
	t.Helper()
	first, err := config.ParseAgent(text, file)
	if err != nil {
		t.Fatal(err)
	}
	again, err := config.ParseAgent([]byte(first.Dump()), file)
	if err != nil {
		t.Fatalf("the dump is refused: %v\n%s", err, first.Dump())
	}
	if diff := cmp.Diff(first, again); diff != "" {
		t.Errorf("the dump is another configuration (-first +again):\n%s\n%s", diff, first.Dump())
	}
}

func parseAgent(data []byte, file string) (bool, error) {
	a, err := config.ParseAgent(data, file)
	return a == nil, err
}
