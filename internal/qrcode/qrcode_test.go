package qrcode_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"promess/authgw/internal/qrcode"
)

// read draws an SVG with librsvg and reads it with ZBar, as another program than ours would.
func read(t *testing.T, svg string) string {
	t.Helper()
	dir := t.TempDir()
	image := filepath.Join(dir, "code.png")
	if err := os.WriteFile(filepath.Join(dir, "code.svg"), []byte(svg), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "rsvg-convert", "--width", "600", "--output", image, filepath.Join(dir, "code.svg"))
	return strings.TrimSuffix(run(t, "zbarimg", "--quiet", "--raw", image), "\n")
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).Output()
	if err != nil {
		t.Fatalf("%s: %v (scripts/install-test-packages installs it)", name, err)
	}
	return string(out)
}

func TestAnotherProgramReadsTheText(t *testing.T) {
	for name, text := range map[string]string{
		"a key of a TOTP app":    "otpauth://totp/ProMess:Jeanne%20Martin?algorithm=SHA1&digits=6&issuer=ProMess&period=30&secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
		"an address":             "https://auth.example.fr/phone/q/0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
		"digits only":            "01234567",
		"capitals only":          "HTTPS://AUTH.EXAMPLE.FR/Q/7",
		"one character":          "x",
		"as long as it may be":   strings.Repeat("a1-", 170) + "zz",
		"what markup is made of": `"><script>alert(1)</script>`,
	} {
		t.Run(name, func(t *testing.T) {
			svg, err := qrcode.SVG(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, string(svg)); got != text {
				t.Errorf("read %q, want %q", got, text)
			}
		})
	}
}

// A page with the strict CSP of package web shows it: no script, no style, nothing from elsewhere.
func TestImageIsWellFormedAndHoldsNumbersOnly(t *testing.T) {
	svg, err := qrcode.SVG(`"><script>alert(1)</script>`)
	if err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{"svg": true, "path": true}
	for d := xml.NewDecoder(bytes.NewReader([]byte(svg))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		e, ok := token.(xml.StartElement)
		if ok && !allowed[e.Name.Local] {
			t.Errorf("element %q", e.Name.Local)
		}
		for _, a := range e.Attr {
			if a.Name.Local == "style" || strings.HasPrefix(a.Name.Local, "on") || strings.Contains(a.Name.Local, "href") {
				t.Errorf("attribute %q", a.Name.Local)
			}
		}
	}
}

func TestTextThatIsRefused(t *testing.T) {
	for name, text := range map[string]string{"nothing": "", "too long": strings.Repeat("secret", 86), "not ASCII": "secret déjà", "a line end": "secret\n"} {
		svg, err := qrcode.SVG(text)
		if err == nil || svg != "" {
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error repeats the text: %v", name, err)
		}
	}
}

// ISO/IEC 18004, table 7: 90 bytes fit into version 5 with level L and into version 6, of 41 modules, with level M. Section 9.1: four modules
// around it stay light.
func TestCodeHasItsLevelAndItsQuietZone(t *testing.T) {
	svg, err := qrcode.SVG(strings.Repeat("a", 90))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(svg), `viewBox="0 0 49 49"`) {
		t.Errorf("the drawing is not of 41 modules and four on each side: %.120s", svg)
	}
	for _, m := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1`).FindAllStringSubmatch(string(svg), -1) {
		x, _ := strconv.Atoi(m[1])
		y, _ := strconv.Atoi(m[2])
		run, _ := strconv.Atoi(m[3])
		if x < 4 || y < 4 || x+run > 45 || y >= 45 {
			t.Errorf("%s is in the quiet zone", m[0])
		}
	}
}
