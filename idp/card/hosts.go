package card

import (
	"errors"
	"net/http"
	"time"

	"promess/authgw/idp"
	"promess/authgw/internal/cardwire"
	"promess/authgw/internal/store"
	"promess/authgw/internal/token"
	"promess/authgw/internal/vhost"
)

// browserPath is where, on the browser card host, a login is proved; followed by its handle.
const browserPath = "/login/card/prove/"

const bodyTimeout = 10 * time.Second

// CardHost returns the handler of the host that agents reach with the card's certificate.
func (m *Method) CardHost() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+cardwire.ProvePath, m.prove)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { answerError(w, http.StatusNotFound, "not_found") })
	return oneRequest(vhost.LimitBody(cardwire.MaxBody, bodyTimeout, mux))
}

// BrowserCardHost returns the handler of the host that browsers reach with the card's certificate. It shows nothing of its own:
// every answer sends the browser back to the auth host.
func (m *Method) BrowserCardHost() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+browserPath+"{handle}", m.proveBrowser)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, m.Server.Origin+"/login", http.StatusSeeOther)
	})
	return oneRequest(vhost.LimitBody(cardwire.MaxBody, bodyTimeout, mux))
}

// oneRequest closes the connection after its first request. A browser would use it again for the next login, and the card would not
// be asked (A29).
func oneRequest(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}

// proveBrowser judges the certificate that the browser presented, and sends it back with the code.
func (m *Method) proveBrowser(w http.ResponseWriter, r *http.Request) {
	code := "unknown" // leads to the page that says so
	if handle, ok := token.Of(token.Handle, r.PathValue("handle")); ok {
		settled, _, err := m.settle(r.Context(), handle, m.judge(r), false)
		switch {
		case err == nil:
			code = settled
		case !errors.Is(err, store.ErrNotFound):
			m.Log.Error("card login failed", "operation", "settle login", "error", err, "support", idp.NewSupportCode())
		}
	}
	http.Redirect(w, r, m.Server.Origin+cardwire.CallbackPath+code, http.StatusSeeOther)
}
