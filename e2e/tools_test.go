package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"promess/authgw/internal/pcsctest"
	"promess/authgw/internal/testpki"
)

// TestTools uses the commands by which an IT team looks at a workstation and a certificate, with the real card software.
func TestTools(t *testing.T) {
	w := &world{t: t, dir: t.TempDir(), module: opensc(t), crl: map[string]string{}}
	var err error
	if w.pki, err = testpki.New(testpki.Config{}); err != nil {
		t.Fatal(err)
	}
	w.pcsc = pcsctest.Start(t)
	w.writeCertificates(t)
	env := w.pcsc.Env()

	out, err := runTool(t, env, binaries.cardagent, "list", "--module", w.module)
	if err == nil || !strings.Contains(out, "no card") {
		t.Errorf("list without a card: %v\n%s", err, out)
	}
	key, cert := w.doctor(t)
	card := w.insert(t, key, cert)
	out, err = runTool(t, env, binaries.cardagent, "list", "--module", w.module)
	if err != nil || !strings.Contains(out, "Virtual PCD") || !strings.Contains(out, "ARTAGNAN") {
		t.Errorf("list: %v\n%s", err, out)
	}

	sign := exec.CommandContext(t.Context(), binaries.cardagent, "sign-test", "--module", w.module)
	sign.Env = append(sign.Environ(), env...)
	sign.Stdin = strings.NewReader("1234\n") // never an argument: those can be seen by everybody
	text, err := sign.CombinedOutput()
	if err != nil || !strings.Contains(string(text), "RSA-PSS") {
		t.Errorf("sign-test: %v\n%s", err, text)
	}
	if card.Signatures() == 0 || card.Verified() {
		t.Errorf("%d signatures, want some; logged in afterwards: %v, want false", card.Signatures(), card.Verified())
	}

	// The same card, judged as the gateway would.
	w.write(t, "card.crt", testpki.CertificatePEM(cert))
	args := []string{"certs", "verify", "--trust", w.path("trust")}
	for _, file := range w.crl {
		args = append(args, "--crl", w.path(file))
	}
	out, err = runTool(t, nil, binaries.authgw, append(args, w.path("card.crt"))...)
	var verdict struct {
		Valid  bool `json:"valid"`
		Holder struct {
			NationalID string `json:"national_id"`
			IDType     string `json:"id_type"`
		} `json:"holder"`
	}
	if json.Unmarshal([]byte(out), &verdict) != nil || err != nil || !verdict.Valid || verdict.Holder.NationalID != "899700218896" || verdict.Holder.IDType != "RPPS" {
		t.Errorf("certs verify: %v\n%s", err, out)
	}
	out, err = runTool(t, nil, binaries.authgw, "certs", "verify", "--trust", w.path("trust"), w.path("card.crt"))
	if err == nil || !strings.Contains(out, "revocation_unknown") {
		t.Errorf("certs verify without lists: %v\n%s", err, out)
	}

	// The gateway's own files, seen by an operator.
	w.backend = newBackend(t)
	ports := freePorts(t, 3)
	w.port, w.agentPort, w.adminPort = ports[0], ports[1], ports[2]
	w.startGateway(t)
	for _, path := range []string{"/healthz", "/readyz"} {
		answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d%s", w.adminPort, path))
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
	out, err = runTool(t, nil, binaries.authgw, "config", "check", w.path("authgw.yaml"))
	if err != nil || !strings.Contains(out, "ok") {
		t.Errorf("config check: %v\n%s", err, out)
	}
}
