package e2e

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"promess/authgw/internal/testpki"
	"promess/authgw/internal/web"
)

// OpenID Connect Front-Channel Logout 1.0, in Chromium: the page of a sign-out loads a service's page, which learns of it, cannot take the place
// of ours, and does not hold up the person. A place that the page's policy does not know is not reached, by a redirect either.
func TestSignOutTellsServicesInFrames(t *testing.T) {
	root, err := testpki.New(testpki.Config{CardsOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := root.ServerCertificate("auth."+domain, "agenda."+domain, "slow."+domain, "evil."+domain)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := web.NewPages(web.Site{Name: "ProMess"})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := map[string]int{} // by host and path with query
	var frames []string       // of the page
	var port string
	end := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := strings.Cut(r.Host, ".")
		mu.Lock()
		asked[host+r.URL.RequestURI()]++
		all := frames
		mu.Unlock()
		switch {
		case host == "auth" && strings.HasPrefix(r.URL.Path, web.AssetsPath):
			pages.Assets().ServeHTTP(w, r)
		case host == "auth" && r.URL.Path == "/out":
			pages.Render(w, r, http.StatusOK, web.SigningOutPage{Next: "https://auth." + domain + ":" + port + "/done", Frames: all})
		case host == "auth":
			pages.Render(w, r, http.StatusOK, web.SignedOutPage{})
		case host == "slow":
			select {
			case <-end:
			case <-r.Context().Done():
			}
		case host == "agenda" && r.URL.Path == "/gone":
			http.Redirect(w, r, "https://evil."+domain+":"+port+"/reached", http.StatusFound)
		default:
			fmt.Fprintf(w, `<!DOCTYPE html><script>try { top.location = "https://evil.%s:%s/stolen"; } catch (e) { }</script>`, domain, port)
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	defer server.Close()
	defer close(end)
	if _, port, err = net.SplitHostPort(server.Listener.Addr().String()); err != nil {
		t.Fatal(err)
	}
	at := func(host, path string) string { return "https://" + host + "." + domain + ":" + port + path }
	query := "?" + url.Values{"iss": {at("auth", "")}, "sid": {"s1"}}.Encode()

	b := startChromium(t, root.Server.Certificate).browser(t)
	b.open(t, at("auth", "/"))
	for name, all := range map[string][]string{
		"a service that answers":               {at("agenda", "/logout"+query)},
		"one that answers and one that hangs":  {at("agenda", "/logout"+query), at("slow", "/logout"+query)},
		"one that sends the browser elsewhere": {at("agenda", "/gone"+query)},
	} {
		mu.Lock()
		clear(asked)
		frames = all
		mu.Unlock()
		b.do(t, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("location.assign(%q)", at("auth", "/out")))) // to open it waits for all frames
		b.awaitURL(t, at("auth", "/done"))
		b.open(t, at("auth", "/"))
		mu.Lock()
		for _, f := range all {
			u, err := url.Parse(f)
			if err != nil {
				t.Fatal(err)
			}
			host, _, _ := strings.Cut(u.Host, ".")
			if asked[host+u.RequestURI()] != 1 {
				t.Errorf("%s: %s was loaded %d times, want once", name, f, asked[host+u.RequestURI()])
			}
		}
		for what, n := range asked {
			if strings.HasPrefix(what, "evil") {
				t.Errorf("%s: %s was loaded %d times", name, what, n)
			}
		}
		mu.Unlock()
	}
}
