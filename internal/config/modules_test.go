package config

import (
	"os"
	"path/filepath"
	"testing"
)

// The known modules are places of a system, so this test looks from inside and gives others.
func TestModuleThatIsNotNamed(t *testing.T) {
	dir := t.TempDir()
	present, absent := filepath.Join(dir, "b.so"), filepath.Join(dir, "a.so")
	if err := os.WriteFile(present, []byte("a module"), 0o600); err != nil {
		t.Fatal(err)
	}
	const text = `gateways: [{name: a, origin: "https://a.example", card: "https://c.a.example"}]`
	for _, tt := range []struct {
		name    string
		modules []string
		module  string
		want    string
	}{
		{"is the first that is there", []string{absent, dir, present}, present, ""},
		{"is missed when none is there", []string{absent}, "",
			"configuration refused:\nc.yaml:1: module: missing: no PKCS#11 module is where they are installed; install the card's software (or opensc-pkcs11), or give the path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			top, src, err := parse([]byte(text), "c.yaml")
			if err != nil {
				t.Fatal(err)
			}
			a := readAgent(top, tt.modules)
			got := ""
			if err := src.err(); err != nil {
				got = err.Error()
			}
			if a.Module != tt.module || got != tt.want {
				t.Errorf("module %q, error %q; want %q, %q", a.Module, got, tt.module, tt.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"auth", "card", "browser_card"}
	for _, tt := range []struct{ word, want string }{
		{"auht", "auth"}, // two neighbours swapped count once
		{"atuh", "auth"},
		{"crad", "card"},
		{"browsercard", "browser_card"},
		{"browser-card", "browser_card"},
		{"x", ""},
		{"", ""},
		{"authentication_of_people", ""},
	} {
		if got := Nearest(tt.word, known); got != tt.want {
			t.Errorf("Nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}
