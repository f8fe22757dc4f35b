package demo

import (
	"context"
	"html/template"
	"net"
	"net/http"

	"promess/authgw/internal/web"
)

// camera is that of the second browser window, which plays the phone: a page that reads the QR code that another window of the screen shows.
type camera struct {
	web            net.Listener
	assets         http.Handler
	page           *template.Template
	origin, script string
}

// newCamera makes a camera for the gateway at an origin.
func newCamera(ctx context.Context, origin string) (*camera, error) {
	p, err := web.NewPages(web.Site{Name: name})
	if err != nil {
		return nil, err
	}
	c := &camera{assets: p.Assets(), page: template.Must(template.ParseFS(pages, "pages/camera.html")), origin: origin}
	if c.script, err = p.Asset("scan.js"); err != nil {
		return nil, err
	}
	if c.web, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *camera) address() string { return "http://" + c.web.Addr().String() + "/" }

func (c *camera) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case "/style.css":
		http.ServeFileFS(w, r, pages, "pages/service.css")
	case "/camera.js":
		http.ServeFileFS(w, r, pages, "pages/camera.js")
	case "/":
		h.Set("Content-Type", "text/html; charset=utf-8")
		if err := c.page.Execute(w, struct{ Scan, Origin string }{c.script, c.origin}); err != nil {
			return // the browser has gone
		}
	default:
		c.assets.ServeHTTP(w, r)
	}
}
