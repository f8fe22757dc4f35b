package web

import (
	"net/http"
	"strconv"
)

// worker is the script of the app's service worker. Unlike the other assets it has an address that stays.
const worker = "phone-worker.js"

// PhoneWorker serves the service worker of PhonePage, for pages under scope. Browsers ask for it again at each visit.
func (p *Pages) PhoneWorker(scope string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := p.assets.files[worker]
		h := w.Header()
		setHeaders(h, "default-src 'none'; connect-src 'self'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Type", "text/javascript; charset=utf-8")
		h.Set("Content-Length", strconv.Itoa(len(body)))
		h.Set("Service-Worker-Allowed", scope) // Service Workers, section 6.3.2: else it may serve its own folder only
		if r.Method == http.MethodGet {
			w.Write(body) // an error here is the browser's leaving
		}
	})
}
