package web

import (
	"net/http"
	"strings"
)

// contentSecurityPolicy lets a page load its own style, script and images, and nothing else: no inline code, no frame, no
// other host. The agent's pages have no script, so none is allowed there. Lesson G8.
func contentSecurityPolicy(s Site) string {
	d := []string{"default-src 'none'", "style-src 'self'", "img-src 'self'"}
	if !s.Agent {
		d = append(d, "script-src 'self'", "connect-src 'self'")
	}
	forms := "form-action 'self'"
	if s.Origin != "" {
		forms += " " + s.Origin
	}
	for _, o := range s.FormAction {
		forms += " " + o
	}
	return strings.Join(append(d, forms, "base-uri 'none'", "frame-ancestors 'none'"), "; ")
}

// setHeaders sets the headers that every page has, whatever its status.
func setHeaders(h http.Header, csp string) {
	h.Set("Content-Security-Policy", csp)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
	// Not no-referrer: under that policy a browser sends "Origin: null" with the forms of the page itself (Fetch, section
	// 3.2 "append a request Origin header"), and the cross-origin protection of the server could not tell them from others.
	h.Set("Referrer-Policy", "same-origin")
	// The tab of a card login is opened with noopener, so nothing is lost by cutting it from other windows.
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissions("camera=()"))
}

// permissions is what a page may ask the browser for: nothing, but perhaps the camera.
func permissions(camera string) string {
	return camera + ", display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
}
