package agent_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/agent"
	"promess/authgw/internal/cardwire"
)

func TestStartRequestsThatAreRefused(t *testing.T) {
	good := cardwire.StartPath + "authgw/" + theHandle
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	host := func(f func(port string) string) func(*http.Request) {
		return func(r *http.Request) {
			_, port, _ := net.SplitHostPort(r.Host)
			r.Host = f(port)
		}
	}
	for _, test := range []struct {
		name, method, path string
		change             func(*http.Request)
		status             int
		code               string
	}{
		{"Host is localhost", "GET", good, host(func(p string) string { return "localhost:" + p }), 421, "bad_request"},
		{"Host has another port", "GET", good, host(func(string) string { return "127.0.0.1:1" }), 421, "bad_request"},
		{"Host has no port", "GET", good, host(func(string) string { return "127.0.0.1" }), 421, "bad_request"},
		{"Host is another name for the address", "GET", good, host(func(p string) string { return "127.1:" + p }), 421, "bad_request"},
		{"Host is a name of the attacker (DNS rebinding)", "GET", good, host(func(p string) string { return "evil.example:" + p }), 421, "bad_request"},
		{"Host has a trailing dot", "GET", good, host(func(p string) string { return "127.0.0.1.:" + p }), 421, "bad_request"},
		{"by POST", "POST", good, nil, 405, "bad_request"},
		{"by PUT", "PUT", good, nil, 405, "bad_request"},
		{"by HEAD", "HEAD", good, nil, 405, ""},
		{"by OPTIONS, the preflight of a fetch", "OPTIONS", good, header("Access-Control-Request-Private-Network", "true"), 405, "bad_request"},
		{"by fetch", "GET", good, header("Sec-Fetch-Mode", "cors"), 403, "bad_request"},
		{"by fetch without cors", "GET", good, header("Sec-Fetch-Mode", "no-cors"), 403, "bad_request"},
		{"by WebSocket", "GET", good, header("Sec-Fetch-Mode", "websocket"), 403, "bad_request"},
		{"in a frame", "GET", good, header("Sec-Fetch-Dest", "iframe"), 403, "bad_request"},
		{"as an image", "GET", good, header("Sec-Fetch-Dest", "image"), 403, "bad_request"},
		{"by a prefetch", "GET", good, header("Sec-Purpose", "prefetch;prerender"), 403, "bad_request"},
		{"for an unknown gateway", "GET", cardwire.StartPath + "other/" + theHandle, nil, 404, "unknown_gateway"},
		{"for a gateway in capitals", "GET", cardwire.StartPath + "AUTHGW/" + theHandle, nil, 404, "unknown_gateway"},
		{"for no gateway", "GET", cardwire.StartPath + "/" + theHandle, nil, 307, ""},
		{"without a handle", "GET", cardwire.StartPath + "authgw/", nil, 400, "bad_request"},
		{"with a short handle", "GET", good[:len(good)-1], nil, 400, "bad_request"},
		{"with a long handle", "GET", good + "A", nil, 400, "bad_request"},
		{"with something after the handle", "GET", good + "/x", nil, 400, "bad_request"},
		{"with a handle in the other base64", "GET", good[:len(good)-4] + "+++8", nil, 400, "bad_request"},
		{"with a handle that holds an escape", "GET", good[:len(good)-3] + "%41", nil, 400, "bad_request"},
		{"with a handle in a second spelling", "GET", good[:len(good)-1] + "d", nil, 400, "bad_request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, newCard(t, nil), nil)
			a := w.browse(test.method, test.path, nil, test.change)
			if a.status != test.status || (test.code != "" && a.text("Code") != test.code) {
				t.Errorf("answer = %d %q, want %d %q", a.status, a.text("Code"), test.status, test.code)
			}
			if strings.HasPrefix(a.location, "/s/") {
				t.Error("a login was started")
			}
			if w.gw.fetched != 0 {
				t.Error("the gateway was called")
			}
		})
	}
}

func TestABrowserWithoutFetchMetadataMayStart(t *testing.T) {
	w := newWorld(t, newCard(t, nil), nil)
	a := w.browse("GET", cardwire.StartPath+"authgw/"+theHandle, nil, func(r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(name, "Sec-") {
				r.Header.Del(name)
			}
		}
	})
	if a.status != http.StatusSeeOther {
		t.Errorf("answer = %d %s, want 303", a.status, a.page)
	}
}

func TestOneLoginAtATime(t *testing.T) {
	w := newWorld(t, newCard(t, nil), nil)
	path := w.start()
	w.until(path, "AgentPINPage")
	second := w.browse("GET", cardwire.StartPath+"authgw/"+theHandle, nil, nil)
	if second.status != http.StatusConflict || second.text("Code") != "busy" {
		t.Errorf("a second login = %d %s, want 409 busy", second.status, second.page)
	}
	w.browse("POST", path+"/cancel", nil, nil)
	w.failsWith(path, "cancelled")
	next := w.start()
	w.until(next, "AgentPINPage")
	if a := w.browse("GET", path, nil, nil); a.status != http.StatusNotFound {
		t.Errorf("the page of the login before = %d, want 404", a.status)
	}
}

func TestStartsAreSlowedDown(t *testing.T) {
	at := time.Now()
	w := newWorld(t, newCard(t, nil), func(c *agent.Config, _ *gateway) { c.Now = func() time.Time { return at } })
	for range 50 {
		a := w.browse("GET", cardwire.StartPath+"other/"+theHandle, nil, nil)
		if a.status == http.StatusTooManyRequests && a.text("Code") == "busy" && a.header.Get("Retry-After") != "" {
			return
		}
	}
	t.Error("50 starts at once were answered, want some refused with 429 and Retry-After")
}

func TestPagesOfALoginNeedItsPath(t *testing.T) {
	w := newWorld(t, newCard(t, nil), nil)
	path := w.start()
	w.until(path, "AgentPINPage")
	for _, other := range []string{"/s/", "/s/" + theHandle, path[:len(path)-1], path + "/x", path + "/pin"} {
		if a := w.browse("GET", other, nil, nil); a.status != http.StatusNotFound || a.text("Code") != "not_found" {
			t.Errorf("GET %s… = %d %s, want 404 not_found", other[:3], a.status, a.page)
		}
	}
	for _, action := range []string{"pin", "token", "cancel"} {
		if a := w.browse("POST", "/s/"+theHandle+"/"+action, nil, nil); a.status != http.StatusNotFound {
			t.Errorf("POST %s for another login = %d, want 404", action, a.status)
		}
	}
	for path, kind := range map[string]string{"/": "AgentHomePage", "/favicon.ico": "AgentErrorPage"} {
		if a := w.browse("GET", path, nil, nil); a.kind != kind {
			t.Errorf("GET %s = %d %s, want %s", path, a.status, a.kind, kind)
		}
	}
}

func TestAssetsAreForTheAgentsPagesOnly(t *testing.T) {
	w := newWorld(t, newCard(t, nil), nil)
	load := func(site string) int {
		return w.browse("GET", "/static/x.css", nil, func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Mode", "no-cors")
			r.Header.Set("Sec-Fetch-Dest", "style")
			r.Header.Set("Sec-Fetch-Site", site)
		}).status
	}
	if got := load("same-origin"); got != 200 {
		t.Errorf("an asset of the page = %d, want 200", got)
	}
	// Another site could otherwise tell whether the workstation has an agent.
	if got := load("cross-site"); got != 403 {
		t.Errorf("an asset for another site = %d, want 403", got)
	}
}

// helperEnv makes the test binary a process that sends one request to the address in it, and prints the status.
const helperEnv = "AUTHGW_TEST_KNOCK"

func TestMain(m *testing.M) {
	if address := os.Getenv(helperEnv); address != "" {
		os.Exit(knock(address))
	}
	os.Exit(m.Run())
}

func knock(address string) int {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET %sauthgw/%s HTTP/1.1\r\nHost: %s\r\n\r\n", cardwire.StartPath, theHandle, address)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(res.StatusCode)
	return 0
}

func TestGatewaysAreChecked(t *testing.T) {
	good := agent.Gateway{Name: "a", Origin: "https://a.test", Card: "https://b.test:8443"}
	with := func(change func(*agent.Gateway)) []agent.Gateway {
		g := good
		change(&g)
		return []agent.Gateway{g}
	}
	for name, test := range map[string]struct {
		gateways []agent.Gateway
		want     string
	}{
		"none":                  {nil, "no gateway"},
		"the same name twice":   {[]agent.Gateway{good, good}, "named twice"},
		"a name with a slash":   {with(func(g *agent.Gateway) { g.Name = "a/b" }), "the name is not"},
		"an origin by http":     {with(func(g *agent.Gateway) { g.Origin = "http://a.test" }), "origin: "},
		"an origin with a path": {with(func(g *agent.Gateway) { g.Origin = "https://a.test/" }), "origin: "},
		"an origin with a user": {with(func(g *agent.Gateway) { g.Origin = "https://u@a.test" }), "origin: "},
		"no card host":          {with(func(g *agent.Gateway) { g.Card = "" }), "card host: "},
		"dial without a port":   {with(func(g *agent.Gateway) { g.Dial = "127.0.0.1" }), "dial: "},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := agent.New(agent.Config{Gateways: test.gateways, Cards: brokenCards{}, Pages: pages{}})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("New = %v, want %q", err, test.want)
			}
		})
	}
}

// runKnock runs this test binary as cmd prepares it and returns what it printed.
func runKnock(t *testing.T, address string, prepare func(*exec.Cmd)) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Another user cannot read the directory that go test builds in.
	binary, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent-knock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	path := dir + "/knock"
	if err := os.WriteFile(path, binary, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path)
	cmd.Dir = dir
	cmd.Env = []string{helperEnv + "=" + address}
	prepare(cmd)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("helper process: %v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}
