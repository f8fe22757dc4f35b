package config_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"path/filepath"
	"strings"
	"testing"

	"promess/authgw/internal/config"
)

// logoYAML is smallYAML with a logo; the key is on line 7.
var logoYAML = strings.Replace(smallYAML, `services: [{name: mail, host: mail.example.fr, backend: "http://127.0.0.1:8080", title: Mail}]`,
	"services:\n  - {name: mail, host: mail.example.fr, backend: \"http://127.0.0.1:8080\", title: Mail,\n     logo: image}", 1)

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8"/></svg>`

func pngImage(t testing.TB) string {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 48, 48))); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLogosThatAreAccepted(t *testing.T) {
	dir := directory(t)
	for name, image := range map[string]struct{ text, mediaType string }{
		"PNG":                             {pngImage(t), "image/png"},
		"SVG":                             {svg, "image/svg+xml"},
		"SVG with a prefix":               {`<s:svg xmlns:s="http://www.w3.org/2000/svg"/>`, "image/svg+xml"},
		"SVG as drawing programs save it": {"\ufeff<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\r\n<!-- a program -->\n<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd\">\n" + svg + "\n<!-- end -->\n", "image/svg+xml"},
		"the largest":                     {svg + strings.Repeat(" ", 64<<10-len(svg)), "image/svg+xml"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, filepath.Join(dir, "image"), image.text, 0o644)
			g, err := config.ParseGateway([]byte(logoYAML), filepath.Join(dir, "c.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			if want := filepath.Join(dir, "image"); g.Services[0].Logo != want {
				t.Errorf("logo = %q, want %q", g.Services[0].Logo, want)
			}
			mediaType, data, err := config.LoadLogo(g.Services[0].Logo)
			if err != nil || mediaType != image.mediaType || string(data) != image.text {
				t.Errorf("LoadLogo = %q, %d bytes, %v, want %q and what the file holds", mediaType, len(data), err, image.mediaType)
			}
			checkGatewayDump(t, []byte(logoYAML), filepath.Join(dir, "c.yaml"))
		})
	}
}

func TestLogosThatAreRefused(t *testing.T) {
	dir := directory(t)
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "the file is empty"},
		{"too much", svg + strings.Repeat(" ", 64<<10), "the file has more than 65536 bytes"},
		{"JPEG", "\xff\xd8\xff\xe0\x00\x10JFIF\x00", "it is neither: convert it, or leave logo out and the portal shows a letter"},
		{"text", "a logo", "it is neither: convert it, or leave logo out and the portal shows a letter"},
		{"PNG without its head", pngImage(t)[:20], "it begins as PNG and is damaged: export it again"},
		{"a web page (G8)", "<!DOCTYPE html><html><script>alert(1)</script></html>", "it is XML, and its root is another one than <svg>"},
		{"a page around an SVG", `<html xmlns="http://www.w3.org/1999/xhtml">` + svg + "</html>", "it is XML, and its root is another one than <svg>"},
		{"SVG without its namespace", "<svg><rect/></svg>", `its <svg> lacks xmlns="http://www.w3.org/2000/svg", without which browsers show nothing`},
		{"svg of another namespace", `<svg xmlns="http://www.w3.org/1999/xhtml"/>`, `its <svg> lacks xmlns="http://www.w3.org/2000/svg", without which browsers show nothing`},
		{"SVG that is cut off", strings.TrimSuffix(svg, "</svg>"), "it looks like SVG, and line 1 of it is not well-formed XML: export it again"},
		{"SVG with tags that cross", "<svg xmlns=\"http://www.w3.org/2000/svg\">\n<g><a></g></a></svg>", "it looks like SVG, and line 2 of it is not well-formed XML: export it again"},
		{"an entity that nobody has declared", `<svg xmlns="http://www.w3.org/2000/svg">&secret;</svg>`, "it looks like SVG, and line 1 of it is not well-formed XML: export it again"},
		{"two roots", svg + svg, "it looks like SVG, and something follows </svg>: export it again"},
		{"text after the root", svg + "more", "it looks like SVG, and there is text outside of <svg>: export it again"},
		{"a comment alone", "<!-- svg -->", "there is no <svg> in it"},
		{"another encoding", `<?xml version="1.0" encoding="ISO-8859-1"?>` + svg, "it says that it is in another encoding: save it as UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			write(t, filepath.Join(dir, "image"), tt.text, 0o644)
			file := filepath.Join(dir, "c.yaml")
			isNil, err := parseGateway([]byte(logoYAML), file)
			if err == nil || !isNil {
				t.Fatalf("err = %v, want it refused", err)
			}
			want := fmt.Sprintf("%s:7: services[0].logo: a logo (an SVG or PNG image of at most 64 KB) expected at %q: %s", file, filepath.Join(dir, "image"), tt.want)
			if got := strings.TrimPrefix(err.Error(), "configuration refused:\n"); got != want {
				t.Errorf("message:\n%s\nwant:\n%s", got, want)
			}
		})
	}
	for name, want := range map[string]string{"none.svg": "no such file or directory", "trust": "it is not a file"} {
		if _, err := parseGateway([]byte(strings.Replace(logoYAML, "logo: image", "logo: "+name, 1)), filepath.Join(dir, "c.yaml")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err = %v, want %s", name, err, want)
		}
	}
}

// Whatever the file: no panic, and what is taken for an image is one of the two kinds and not longer than it may be.
func FuzzLogo(f *testing.F) {
	for _, seed := range []string{svg, pngImage(f), "<svg", "<a/><svg xmlns=\"http://www.w3.org/2000/svg\"/>", "<!DOCTYPE svg [<!ENTITY a \"b\">]>" + svg} {
		f.Add([]byte(seed))
	}
	name := filepath.Join(f.TempDir(), "image")
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, name, string(data), 0o600)
		mediaType, got, err := config.LoadLogo(name)
		switch {
		case err != nil && (mediaType != "" || got != nil):
			t.Errorf("%q and %d bytes beside the error %v", mediaType, len(got), err)
		case err != nil && strings.ContainsAny(err.Error(), "\n\r\x1b"):
			t.Errorf("error of several lines: %q", err)
		case err == nil && mediaType == "image/png" && !bytes.HasPrefix(got, []byte("\x89PNG")), err == nil && mediaType == "image/svg+xml" && !bytes.Contains(got, []byte("svg")):
			t.Errorf("%q is taken for %s", got, mediaType)
		case err == nil && (!bytes.Equal(got, data) || len(got) > 64<<10):
			t.Errorf("%d bytes of %d", len(got), len(data))
		}
	})
}
