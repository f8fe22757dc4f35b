package agent_test

import (
	"crypto/x509"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/cardwire"
)

func TestGatewayTroubleIsToldByItsOwnPage(t *testing.T) {
	answer := func(path string, h http.HandlerFunc) func(*agent.Config, *gateway) {
		return func(_ *agent.Config, g *gateway) { g.handle(path, h) }
	}
	fail := func(status int, word string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			reply(w, status, cardwire.Error{Error: word, Message: "secret"})
		}
	}
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, cardwire.WatchPath, http.StatusTemporaryRedirect)
	}
	huge := func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, map[string]any{"expires_in": 120, "code": theCode, "x": strings.Repeat("x", cardwire.MaxBody)})
	}
	slow := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, test := range []struct {
		name   string
		change func(*agent.Config, *gateway)
		code   string
		detail string
	}{
		{"the login is not known", answer(cardwire.FetchPath, fail(404, "login_unknown")), "login_unknown", ""},
		{"it refuses", answer(cardwire.FetchPath, fail(503, "unavailable")), "gateway_refused", "unavailable"},
		{"it refuses in a language of its own", answer(cardwire.FetchPath, fail(500, "<b>no</b>")), "gateway_refused", "status 500"},
		{"it redirects", answer(cardwire.FetchPath, redirect), "gateway_refused", "status 307"},
		{"it redirects the proof", answer(cardwire.ProvePath, redirect), "gateway_refused", "status 307"},
		{"its answer is too large", answer(cardwire.FetchPath, huge), "gateway_refused", "answer_too_large"},
		{"its answer to the proof is too large", answer(cardwire.ProvePath, huge), "gateway_refused", "answer_too_large"},
		{"its answer is not JSON", answer(cardwire.FetchPath, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok")) }), "gateway_refused", "answer_malformed"},
		{"its answer gives no time", answer(cardwire.FetchPath, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, struct{}{}) }), "login_unknown", ""},
		{"its code is a path", answer(cardwire.ProvePath, func(w http.ResponseWriter, _ *http.Request) {
			reply(w, 200, cardwire.Proved{Code: "../../logout?x=aaaaaaaaaaaaaaaa"})
		}), "gateway_refused", "answer_malformed"},
		{"it is slow", func(c *agent.Config, g *gateway) {
			c.GatewayTimeout = 100 * time.Millisecond
			g.handle(cardwire.FetchPath, slow)
		}, "gateway_unreachable", ""},
		{"it is slow with the proof", func(c *agent.Config, g *gateway) {
			c.GatewayTimeout, c.CardTimeout = time.Second, 5*time.Second // the card must have signed by then
			g.handle(cardwire.ProvePath, slow)
		}, "gateway_unreachable", ""},
		{"it is not there", func(c *agent.Config, _ *gateway) { c.Gateways[0].Dial = closedPort(t) }, "gateway_unreachable", ""},
		// A28: the name and the chain of an outgoing connection are verified, with nothing to switch that off.
		{"A28 its certificate is of an unknown authority", func(c *agent.Config, _ *gateway) { c.Gateways[0].Roots = x509.NewCertPool() }, "gateway_untrusted", ""},
		{"A28 its certificate is not trusted by the system", func(c *agent.Config, _ *gateway) { c.Gateways[0].Roots = nil }, "gateway_untrusted", ""},
		{"A28 its certificate is of another name", func(c *agent.Config, _ *gateway) {
			other := newGateway(t, "other.example.test")
			c.Gateways[0].Roots, c.Gateways[0].Dial = other.roots, other.addr
		}, "gateway_untrusted", ""},
		{"A28 its certificate covers the auth host only", func(c *agent.Config, _ *gateway) {
			other := newGateway(t, authHost)
			c.Gateways[0].Roots, c.Gateways[0].Dial = other.roots, other.addr
		}, "gateway_untrusted", ""},
		{"its card host does not ask for a certificate", func(c *agent.Config, _ *gateway) {
			c.Gateways[0].Card = c.Gateways[0].Origin
		}, "gateway_refused", "no_certificate_request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			card := newCard(t, nil)
			w := newWorld(t, card, test.change)
			path := w.start()
			for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				a := w.browse("GET", path, nil, nil)
				if a.kind == "AgentPINPage" {
					w.givePIN(path, rightPIN)
				}
				if a.kind == "AgentErrorPage" {
					break
				}
			}
			a := w.failsWith(path, test.code)
			if got := a.text("Detail"); got != test.detail {
				t.Errorf("detail = %q, want %q", got, test.detail)
			}
			if card.LoggedIn() {
				t.Error("the card is logged in after the failure")
			}
		})
	}
}

func TestNoProxyOfTheEnvironmentIsUsed(t *testing.T) {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	w := newWorld(t, newCard(t, nil), nil)
	w.until(w.start(), "AgentPINPage")
}

// closedPort returns an address where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}
