package agent

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"strings"

	"promess/authgw/internal/cardwire"
)

// secretBytes is the size of the handle of a login, and of the path of its page.
const secretBytes = 32

// start answers a browser that a gateway sent here. Whoever made the link is not known, so nothing of it counts but the name
// of a gateway, which must be one of the configuration, and a handle, which that gateway must know.
func (s *Server) start(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	if !s.starts.AllowN(s.config.Now(), 1) {
		w.Header().Set("Retry-After", "2")
		s.refuse(w, r, http.StatusTooManyRequests, "busy")
		return
	}
	name, handle, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), cardwire.StartPath), "/")
	gateway, known := s.gateways[name]
	switch {
	case !known:
		s.refuse(w, r, http.StatusNotFound, "unknown_gateway")
		return
	case !validHandle(handle):
		s.refuse(w, r, http.StatusBadRequest, "bad_request")
		return
	}
	l := s.begin(ctx, gateway, handle)
	if l == nil {
		s.refuse(w, r, http.StatusConflict, "busy")
		return
	}
	http.Redirect(w, r, loginPrefix+l.id, http.StatusSeeOther)
}

// begin starts a login, or returns nil while another is in progress or the agent stops.
func (s *Server) begin(ctx context.Context, gateway Gateway, handle string) *login {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped || (s.current != nil && !s.current.over()) {
		return nil
	}
	loginCtx, cancel := context.WithCancelCause(ctx)
	l := &login{
		server: s,
		gateway: gatewayClient{
			gateway: gateway,
			version: s.config.Version,
			timeout: s.config.GatewayTimeout,
			signing: s.config.CardTimeout,
		},
		handle: handle,
		id:     newSecret(),
		cancel: cancel,
		step:   stepCard,
		drawn:  true,
	}
	s.current = l
	s.work.Go(func() { l.run(ctx, loginCtx) }) // ends with the login, or with the watch of its card; both end with ctx
	return l
}

// newSecret returns 43 characters that cannot be guessed.
func newSecret() string {
	b := make([]byte, secretBytes)
	rand.Read(b) // never fails, says its documentation
	return base64.RawURLEncoding.EncodeToString(b)
}

// validHandle says whether s is 256 bits in base64url, in the one spelling that there is.
func validHandle(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == secretBytes && base64.RawURLEncoding.EncodeToString(b) == s
}
