package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// AssetsPath is where a program mounts Pages.Assets, unless its Site says otherwise.
const AssetsPath = "/static/"

//go:embed static/*
var staticFiles embed.FS

// assets are the style, the script and the images. Their addresses hold a hash of their content, so they never change.
type assets struct {
	prefix string            // "/static/<hash>/"
	files  map[string][]byte // by name
}

// assetTypes are the kinds of file there are. A file of another kind is an error, not a guess.
var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".js":  "text/javascript; charset=utf-8",
	".svg": "image/svg+xml",
	".png": "image/png",

	".webmanifest": "application/manifest+json", // Web Application Manifest, section 4
}

func loadAssets(mount string) (*assets, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	a := &assets{files: map[string][]byte{}}
	sum := sha256.New()
	for _, e := range entries { // sorted by name
		if assetTypes[path.Ext(e.Name())] == "" {
			return nil, fmt.Errorf("%q is of no known type", e.Name())
		}
		b, err := staticFiles.ReadFile("static/" + e.Name())
		if err != nil {
			return nil, err
		}
		a.files[e.Name()] = b
		fmt.Fprintf(sum, "%s %d\n", e.Name(), len(b))
		sum.Write(b)
	}
	a.prefix = mount + hex.EncodeToString(sum.Sum(nil)[:8]) + "/"
	return a, nil
}

// url returns the address of an asset. An unknown name is an error of a template.
func (a *assets) url(name string) (string, error) {
	if a.files[name] == nil {
		return "", fmt.Errorf("no asset %q", name)
	}
	return a.prefix + name, nil
}

// Asset returns the path of one of the files that Assets serves.
func (p *Pages) Asset(name string) (string, error) { return p.assets.url(name) }

// Assets serves the files that the pages refer to, under the Site's AssetsPath. The request's path is not stripped.
func (p *Pages) Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.assets.serve(w, r) })
}

func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, found := strings.CutPrefix(r.URL.Path, a.prefix)
	body, ok := a.files[name]
	if !found || !ok {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Content-Type", assetTypes[path.Ext(name)])
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		w.Write(body) // an error here is the browser's leaving
	}
}
