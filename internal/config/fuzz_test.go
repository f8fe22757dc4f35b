package config_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"promess/authgw/internal/config"
)

// Whatever the file: no panic, nothing beside an error, every problem on a line of its own that exists; and what is accepted is
// accepted again as its dump shows it, and is then the same.
func FuzzGateway(f *testing.F) {
	dir := directory(f)
	file := filepath.Join(dir, "c.yaml")
	for _, seed := range []string{gatewayYAML, strings.Replace(gatewayYAML, "data/", "", 1), smallYAML, "a: &x [*x]\n", "? a\n: b\n", "{", "- \n -"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		g, err := config.ParseGateway(text, file)
		if checkRefusal(t, g == nil, err, text) {
			return
		}
		checkGatewayDump(t, text, file)
	})
}

// As FuzzGateway.
func FuzzAgent(f *testing.F) {
	file := filepath.Join(directory(f), "c.yaml")
	for _, seed := range []string{agentYAML, `{module: module.so, gateways: [{name: a, origin: "https://a.example", card: "https://c.a.example"}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a, err := config.ParseAgent(text, file)
		if checkRefusal(t, a == nil, err, text) {
			return
		}
		checkAgentDump(t, text, file)
	})
}

// checkRefusal reports whether the text was refused, and fails unless that was done properly.
func checkRefusal(t *testing.T, isNil bool, err error, text []byte) bool {
	t.Helper()
	if err == nil {
		if isNil {
			t.Fatal("neither a configuration nor an error")
		}
		return false
	}
	if !isNil {
		t.Fatalf("a configuration beside the error %v", err)
	}
	var refused *config.Refused
	if !errors.As(err, &refused) || len(refused.Problems) == 0 {
		t.Fatalf("error = %v, want a *config.Refused with problems", err)
	}
	last := strings.Count(string(text), "\n") + strings.Count(string(text), "\r") + 2 // the parser may say that something is missing after the end
	for _, p := range refused.Problems {
		if p.Line < 1 || p.Line > last || p.Text == "" || strings.ContainsAny(p.String(), "\n\r\x1b") {
			t.Errorf("problem %q, line %d of %d", p, p.Line, last)
		}
	}
	return true
}
