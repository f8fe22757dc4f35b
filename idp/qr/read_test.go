package qr_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"promess/authgw/internal/idptest"
)

// codeIn reads the QR code of some markup as a telephone does: librsvg draws it, ZBar reads it. It returns what stands after the #.
func codeIn(t testing.TB, markup string) string {
	t.Helper()
	start, end := strings.Index(markup, "<svg"), strings.Index(markup, "</svg>")
	if start < 0 || end < 0 {
		t.Fatalf("no image in %s", markup)
	}
	dir := t.TempDir()
	svg, png := filepath.Join(dir, "code.svg"), filepath.Join(dir, "code.png")
	if err := os.WriteFile(svg, []byte(markup[start:end+len("</svg>")]), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "rsvg-convert", "--width", "600", "--output", png, svg)
	text := strings.TrimSpace(run(t, "zbarimg", "--quiet", "--raw", png))
	code, ok := strings.CutPrefix(text, idptest.Origin+"/phone#")
	if !ok {
		t.Fatalf("the QR code says %q, want an address of the app", text)
	}
	return code
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v (scripts/install-test-packages installs it)", name, err)
	}
	return string(out)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
