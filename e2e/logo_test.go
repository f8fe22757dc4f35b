package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// scripted is a logo that tries to run, in the ways that an SVG has, and marks what it runs in.
const scripted = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48" width="48" height="48"
  onload="document.documentElement.setAttribute('data-onload', 'ran')">
<rect width="48" height="48" fill="#0b6671"/>
<script>document.documentElement.setAttribute('data-script', 'ran')</script>
</svg>`

// ran is what scripted could run where the tab is, or "nothing" once all of it is there.
const ran = `(e => document.readyState !== "complete" ? "" : [e.getAttribute("data-onload") && "onload", e.getAttribute("data-script") && "script"]
	.filter(Boolean).join(" ") || "nothing")(document.documentElement)`

// G8: a logo is seen on the portal, and runs nothing: neither there nor opened by itself, where it has the address of the login.
func TestG8LogoIsSeenAndRunsNothing(t *testing.T) {
	w := newWorld(t)
	w.write(t, "mail.svg", []byte(scripted))
	before, err := os.ReadFile(w.path("authgw.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	w.gateway.stop(t)
	w.write(t, "authgw.yaml", []byte(strings.Replace(string(before), "    title: Messagerie", "    logo: mail.svg\n    title: Messagerie", 1)))
	w.gateway = startProcess(t, nil, binaries.authgw, "serve", "--config", w.path("authgw.yaml"))
	w.gateway.await(t, "authgw serves")
	w.insertDoctor(t)
	tab := w.login(t, w.mail("/"))
	tab.open(t, w.auth("/"))
	wants(t, tab, "the logo on the portal", `(i => i && i.complete ? i.naturalWidth + " px" : "")(document.querySelector("a.service img.logo"))`, "48 px")
	tab.screenshot(t, "portal-logo")
	wants(t, tab, "the portal", ran, "nothing")
	address := tab.evaluate(`document.querySelector("a.service img.logo").src`)
	if !strings.HasPrefix(address, w.auth("/logo/mail?v=")) {
		t.Fatalf("the logo is at %q", address)
	}
	tab.open(t, address)
	wants(t, tab, "the logo opened by itself", `document.documentElement.localName`, "svg")
	wants(t, tab, "the logo opened by itself", ran, "nothing")
	wants(t, tab, "its origin", `self.origin`, "null")

	// Served without the gateway's headers it runs: otherwise the above would say nothing.
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "image/svg+xml")
		fmt.Fprint(w, scripted)
	}))
	defer plain.Close()
	tab.open(t, plain.URL)
	wants(t, tab, "the logo of a server without a policy", ran, "onload script")
}

// wants waits until an expression has a value.
func wants(t *testing.T, b *tab, what, expression, want string) {
	t.Helper()
	eventually(t, what, func() error {
		if got := b.evaluate(expression); got != want {
			return fmt.Errorf("%s = %q, want %q", expression, got, want)
		}
		return nil
	})
}
