package idp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// logoPath is where logos are, each under the name of its service.
const logoPath = "/logo/"

// Logo is the image of a service on the portal. It is not changed.
type Logo struct {
	mediaType, hash string
	data            []byte
}

// NewLogo returns the logo of an image, image/png or image/svg+xml.
func NewLogo(mediaType string, data []byte) *Logo {
	sum := sha256.Sum256(data)
	return &Logo{mediaType: mediaType, hash: hex.EncodeToString(sum[:8]), data: data}
}

// logoURL is the path of the service's logo; empty: it has none. Another image has another address, so that no cache shows an old one.
func (s Service) logoURL() string {
	if s.Logo == nil {
		return ""
	}
	return logoPath + s.Name + s.Logo.Query()
}

// logoPolicy is for an SVG that is opened by itself, where it is a document of this origin and would run what is in it. In the portal's
// <img> it cannot. The sandbox takes scripts and the origin away, the rest everything that it could load.
const logoPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox"

// logo answers everybody. The image is the same whoever asks, and says less than the name of the service's host, which is in the
// certificate, and its title, which the login page shows. To look for a session would let an image prolong one.
func (s *Server) logo(w http.ResponseWriter, r *http.Request) {
	l := s.services[r.PathValue("service")].Logo
	if l == nil {
		s.notFound(w, r)
		return
	}
	l.ServeHTTP(w, r)
}

// Query is what follows the path of the image in its address. Another image has another.
func (l *Logo) Query() string { return "?v=" + l.hash }

// ServeHTTP answers with the image.
func (l *Logo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", l.mediaType)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", logoPolicy)
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("ETag", `"`+l.hash+`"`)
	if r.URL.Query().Get("v") == l.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache") // asks each time whether it is still this one
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(l.data))
}
