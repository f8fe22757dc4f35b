package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func TestForwardAuth(t *testing.T) {
	w := newForwardWorld(t)
	for _, p := range elsewhere {
		t.Run(p.name, func(t *testing.T) {
			p.start(w, t, p.name, p.address)
			for _, c := range []struct {
				name string
				run  func(*forwardWorld, *testing.T, string)
			}{
				{"a page goes through the login and comes back", (*forwardWorld).roundTrip},
				{"a program is told in JSON", (*forwardWorld).programs},
				{"a form is told that it was not sent, and does not reach the gateway", (*forwardWorld).forms},
				{"the service gets a body, which the gateway does not", (*forwardWorld).largeBody},
				{"a rule refuses with a page", (*forwardWorld).ruled},
				{"B1 B2 B3: identity headers of the client do not reach the service", (*forwardWorld).forgedIdentity},
				{"B4: what the client says was asked for is not believed", (*forwardWorld).forgedAddress},
				{"a proxy that the service does not name is not answered", (*forwardWorld).stranger},
				{"C1: no spelling of a path gets past the question", (*forwardWorld).paths},
				{"B8: the gateway's cookies do not reach the service", (*forwardWorld).cookies},
				{"B15: WebSockets of the service's own pages only", (*forwardWorld).webSockets},
				{"a sign-out ends it", (*forwardWorld).signOut},
				{"E9: a session that is over opens nothing", (*forwardWorld).expired},
			} {
				t.Run(c.name, func(t *testing.T) { c.run(w, t, p.name) })
			}
		})
	}
	t.Run("B10: without the gateway nothing is let through", func(t *testing.T) { w.down(t) })
}

func (w *forwardWorld) roundTrip(t *testing.T, name string) {
	page := w.origin(name) + "/day//2026?view=week&x=a%2Fb;c"
	v := w.visitor(t)
	w.service.take()
	status, body, at := v.logIn(page)
	if status != http.StatusOK || at != page || body != "the agenda, for 899700218896" {
		t.Fatalf("after the login: %d at %s, want 200 at %s:\n%.500s", status, at, page, body)
	}
	seen, _ := w.service.take()
	if len(seen) != 1 {
		t.Fatalf("%d requests reached the service, want one", len(seen))
	}
	h := seen[0].Header
	if h.Get("X-Authgw-Name") != "HÉLÈNE D'ARTAGNAN-LE GOFF" || h.Get("X-Authgw-User") == "" || h.Get("X-Authgw-Acr") == "" {
		t.Errorf("headers of the service = %v", h)
	}
	// The assertion is for this service alone.
	_, keys := v.ask(http.MethodGet, w.auth("/oauth/keys"), nil)
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(keys), &set); err != nil {
		t.Fatal(err)
	}
	assertion, err := jwt.ParseSigned(h.Get("X-Authgw-Assertion"), []jose.SignatureAlgorithm{jose.ES256})
	var claims jwt.Claims
	if err == nil {
		err = assertion.Claims(set, &claims)
	}
	if err != nil || !slices.Equal(claims.Audience, jwt.Audience{name}) || claims.Subject != h.Get("X-Authgw-User") || claims.Issuer != w.origin("auth") {
		t.Errorf("assertion = %+v, %v", claims, err)
	}
	// The question is not the browser's to see.
	answer, _ := v.ask(http.MethodGet, page, nil, pageHeaders...)
	for header := range answer.Header {
		if strings.HasPrefix(header, "X-Authgw") {
			t.Errorf("the browser is told %s", header)
		}
	}
}

func (w *forwardWorld) programs(t *testing.T, name string) {
	w.service.take()
	for _, headers := range [][]string{scriptHeaders, {"X-Requested-With", "XMLHttpRequest", "Accept", "text/html"}, {"Accept", "*/*"}} {
		answer, body := w.visitor(t).ask(http.MethodGet, w.origin(name)+"/api/days", nil, headers...)
		var said struct{ Error, Login string }
		if err := json.Unmarshal([]byte(body), &said); err != nil || answer.StatusCode != http.StatusUnauthorized || said.Error != "login_required" || said.Login != w.origin(name)+"/" {
			t.Errorf("with %v: %s %q (%v)", headers, answer.Status, body, err)
		}
		if got := answer.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control = %q, want no-store", got)
		}
	}
	if seen, _ := w.service.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the service", len(seen))
	}
}

func (w *forwardWorld) forms(t *testing.T, name string) {
	w.service.take()
	answer, body := w.visitor(t).ask(http.MethodPost, w.origin(name)+"/day", strings.NewReader("text=x"), append(slices.Clone(pageHeaders), "Content-Type", "application/x-www-form-urlencoded")...)
	if answer.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "Votre session est terminée") {
		t.Errorf("a form without a session: %s\n%.300s", answer.Status, body)
	}
	answer, body = w.visitor(t).ask(http.MethodPost, w.origin(name)+"/upload", bytes.NewReader(make([]byte, 1<<20)), append(slices.Clone(scriptHeaders), "Content-Type", "application/octet-stream")...)
	if answer.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `"login_required"`) {
		t.Errorf("an upload without a session: %s\n%.300s", answer.Status, body)
	}
	if seen, _ := w.service.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the service", len(seen))
	}
}

func (w *forwardWorld) largeBody(t *testing.T, name string) {
	const size = 8 << 20 // the gateway would refuse one of 64 KiB
	v := w.signedIn(t, name)
	answer, body := v.ask(http.MethodPost, w.origin(name)+"/upload", bytes.NewReader(make([]byte, size)), scriptHeaders...)
	seen, got := w.service.take()
	if answer.StatusCode != http.StatusOK || len(seen) != 1 || seen[0].Method != http.MethodPost || got != size {
		t.Errorf("an upload: %s, %d requests, %d bytes:\n%.300s", answer.Status, len(seen), got, body)
	}
}

func (w *forwardWorld) ruled(t *testing.T, name string) {
	v := w.signedIn(t, name)
	nurses := w.origin(name + "-nurses")
	// The auth host refuses a doctor who comes for it; the proxy must refuse one who has a session there from before the rule.
	if answer, body, at := v.open(nurses + "/"); answer.StatusCode != http.StatusForbidden || !strings.HasPrefix(at, w.origin("auth")) {
		t.Errorf("the page of a service for others: %s at %s\n%.300s", answer.Status, at, body)
	}
	before, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.reload(t, bytes.ReplaceAll(before, []byte(`, allow: {professions: ["60"]}`), nil))
	defer w.reload(t, before)
	if answer, body, at := v.open(nurses + "/"); answer.StatusCode != http.StatusOK || at != nurses+"/" {
		t.Fatalf("without the rule: %s at %s\n%.300s", answer.Status, at, body)
	}
	w.reload(t, before)
	w.service.take()
	answer, body := v.ask(http.MethodGet, nurses+"/", nil, pageHeaders...)
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(body, "<h1") || !strings.Contains(answer.Header.Get("Content-Type"), "text/html") {
		t.Errorf("a page: %s %v\n%.500s", answer.Status, answer.Header, body)
	}
	answer, body = v.ask(http.MethodGet, nurses+"/", nil, scriptHeaders...)
	if answer.StatusCode != http.StatusForbidden || !strings.Contains(body, `"service_not_allowed"`) {
		t.Errorf("a script: %s %q", answer.Status, body)
	}
	if seen, _ := w.service.take(); len(seen) != 0 {
		t.Errorf("%d requests reached the service", len(seen))
	}
}

// reload puts a configuration in force.
func (w *forwardWorld) reload(t *testing.T, text []byte) {
	t.Helper()
	now, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(now, text) {
		return
	}
	taken := strings.Count(w.gateway.out.String(), `"config_loaded"`)
	w.write(t, "authgw.yaml", text)
	if err := w.gateway.cmd.Process.Signal(syscall.SIGHUP); err != nil { // as systemctl reload does
		t.Fatal(err)
	}
	eventually(t, "the configuration is taken", func() error {
		if n := strings.Count(w.gateway.out.String(), `"config_loaded"`); n == taken {
			return fmt.Errorf("still %d", n)
		}
		return nil
	})
}

func (w *forwardWorld) signOut(t *testing.T, name string) {
	v := w.signedIn(t, name)
	// The link of the service, on its own host; the tour visits it and ends at the auth host.
	answer, body := v.ask(http.MethodGet, w.origin(name)+"/.authgw/logout", nil, append(slices.Clone(pageHeaders[:6]), "Sec-Fetch-Site", "same-origin")...)
	_, next, _ := strings.Cut(answer.Header.Get("Refresh"), "; url=")
	if answer.StatusCode != http.StatusOK || next == "" {
		t.Fatalf("the link: %s\n%.300s", answer.Status, body)
	}
	if last, body, at := v.open(next); at != w.auth("/logout") || last.StatusCode != http.StatusOK {
		t.Errorf("the sign-out ends at %s: %s\n%.300s", at, last.Status, body)
	}
	if _, _, at := v.open(w.origin(name) + "/"); !strings.HasPrefix(at, w.auth("/login")) {
		t.Errorf("afterwards the service's page leads to %s", at)
	}

	// And a sign-out at the auth host makes the cookie of the service worth nothing, also where the browser has not been on its tour.
	v = w.signedIn(t, name)
	v.ask(http.MethodPost, w.auth("/logout"), nil, "Sec-Fetch-Site", "same-origin")
	w.service.take()
	answer, _ = v.ask(http.MethodGet, w.origin(name)+"/", nil, scriptHeaders...)
	if seen, _ := w.service.take(); answer.StatusCode != http.StatusUnauthorized || len(seen) != 0 {
		t.Errorf("after the sign-out elsewhere: %s, %d requests", answer.Status, len(seen))
	}
}

func (w *forwardWorld) expired(t *testing.T, name string) {
	v := w.signedIn(t, name)
	before, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// The limit of idleness is lowered to a second, and passes.
	w.reload(t, bytes.ReplaceAll(before, []byte("session: {idle: 1h"), []byte("session: {idle: 1s")))
	defer w.reload(t, before)
	time.Sleep(1500 * time.Millisecond) // the thing itself: nothing is asked meanwhile, because asking is not being idle
	w.service.take()
	answer, body := v.ask(http.MethodGet, w.origin(name)+"/", nil, scriptHeaders...)
	if seen, _ := w.service.take(); answer.StatusCode != http.StatusUnauthorized || len(seen) != 0 {
		t.Errorf("after the limit: %s, %d requests\n%.300s", answer.Status, len(seen), body)
	}
}

// down stops the gateway and asks the proxies, which are started anew for it.
func (w *forwardWorld) down(t *testing.T) {
	sessions := map[string]*visitor{}
	for _, p := range elsewhere {
		p.start(w, t, p.name, p.address)
		sessions[p.name] = w.signedIn(t, p.name)
	}
	w.gateway.stop(t)
	for name, v := range sessions {
		for _, headers := range [][]string{pageHeaders, scriptHeaders} {
			answer, body := v.ask(http.MethodGet, w.origin(name)+"/", nil, headers...)
			if seen, _ := w.service.take(); answer.StatusCode < 500 || len(seen) != 0 {
				t.Errorf("%s without the gateway: %s, %d requests\n%.300s", name, answer.Status, len(seen), body)
			}
		}
	}
}
