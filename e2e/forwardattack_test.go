package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// spellings of a header's name that some server takes for X-Authgw-User.
var spellings = []string{
	"X-Authgw-User", "x-authgw-user", "X_Authgw_User", "x_authgw_user", "X-Authgw_User", "X_Authgw-User", "X.Authgw.User", "X-Authgw.User", "X!Authgw!User", "x~authgw-user",
	"X-Authgw-National-Id", "X-Authgw-Email", "X-AUTHGW-ASSERTION", "X-Authgw-Roles", "X_Authgw_Assertion",
}

func (w *forwardWorld) forgedIdentity(t *testing.T, name string) {
	v := w.signedIn(t, name)
	const lie = "somebody-else"
	check := func(t *testing.T, what string, answer *http.Response) {
		t.Helper()
		seen, _ := w.service.take()
		for _, r := range seen {
			for header, values := range r.Header {
				if strings.Contains(strings.Join(values, " "), lie) && !strings.EqualFold(header, "Connection") {
					t.Errorf("%s: the service got %s: %q", what, header, values)
				}
			}
			if r.Header.Get("X-Authgw-User") == "" || r.Header.Get("X-Authgw-Assertion") == "" || r.Header.Get("X-Authgw-National-Id") != "899700218896" {
				t.Errorf("%s: the service got no identity: %v", what, r.Header)
			}
		}
		if len(seen) == 0 && answer.StatusCode == http.StatusOK {
			t.Errorf("%s: %s, and nothing reached the service", what, answer.Status)
		}
	}
	for _, spelling := range spellings {
		answer, _ := v.ask(http.MethodGet, w.origin(name)+"/", nil, append(slices.Clone(pageHeaders), spelling, lie)...)
		check(t, spelling, answer)
		// And by who has no session: nothing reaches the service at all.
		w.visitor(t).ask(http.MethodGet, w.origin(name)+"/", nil, append(slices.Clone(scriptHeaders), spelling, lie)...)
		if seen, _ := w.service.take(); len(seen) != 0 {
			t.Errorf("%s: a request of nobody reached the service", spelling)
		}
	}
	for _, list := range []string{"X-Authgw-User", "close, X-Authgw-User, X-Authgw-Assertion, X-Authgw-National-Id, Cookie", "x-authgw-user, keep-alive"} {
		answer, _ := v.ask(http.MethodGet, w.origin(name)+"/", nil, append(slices.Clone(pageHeaders), "Connection", list)...)
		check(t, "Connection: "+list, answer)
	}
}

func (w *forwardWorld) forgedAddress(t *testing.T, name string) {
	v := w.signedIn(t, name)
	// A doctor asks the service for nurses, and says that it is the other one, with the cookie of that one.
	u, err := url.Parse(w.origin(name))
	if err != nil {
		t.Fatal(err)
	}
	nurses, err := url.Parse(w.origin(name + "-nurses"))
	if err != nil {
		t.Fatal(err)
	}
	v.Jar.SetCookies(nurses, v.Jar.Cookies(u))
	for _, headers := range [][]string{
		{},
		{"X-Forwarded-Host", u.Host}, {"x-forwarded-host", u.Hostname()}, {"X_Forwarded_Host", u.Host},
		{"X-Forwarded-Host", u.Host, "X-Forwarded-Host", u.Hostname()},
		{"X-Original-Host", u.Host, "X-Forwarded-Server", u.Host, "Forwarded", "host=" + u.Host},
		{"X-Forwarded-For", "127.0.0.1", "X-Real-Ip", "127.0.0.1"},
		{"Connection", "X-Forwarded-Host, X-Forwarded-Uri"},
		{"X-Forwarded-Uri", "/.authgw/start", "X-Original-Url", "/.authgw/start", "X-Rewrite-Url", "/.authgw/start"},
		{"X-Forwarded-Proto", "http"}, {"X-Forwarded-Method", "OPTIONS"},
	} {
		answer, body := v.ask(http.MethodGet, w.origin(name+"-nurses")+"/", nil, append(slices.Clone(scriptHeaders), headers...)...)
		if seen, _ := w.service.take(); len(seen) != 0 || answer.StatusCode < 400 {
			t.Errorf("with %q: %s, %d requests at the service\n%.300s", headers, answer.Status, len(seen), body)
		}
	}
	// A Host that is not the name of the handshake, in case the proxy takes it for a request of this service anyway.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, nurses.String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = u.Host
	for _, c := range v.Jar.Cookies(u) {
		r.AddCookie(c)
	}
	answer, err := v.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if seen, _ := w.service.take(); len(seen) > 0 && seen[0].Header.Get("X-Authgw-User") == "" {
		t.Errorf("a request of nobody reached the service: %v", seen[0].Header)
	}
	// Where the person comes back to is what they asked for, not what else they say (F2).
	said, body := w.visitor(t).ask(http.MethodGet, w.origin(name)+"/day", nil, append(slices.Clone(pageHeaders), "X-Forwarded-Uri", "//evil.example/", "X-Forwarded-Host", "evil.example")...)
	to := said.Header.Get("Location")
	if want := w.origin(name) + "/.authgw/start?to=%2Fday"; to != want {
		t.Errorf("the login begins at %q (%s), want %q\n%.300s", to, said.Status, want, body)
	}
}

func (w *forwardWorld) stranger(t *testing.T, name string) {
	v := w.signedIn(t, name)
	for _, headers := range [][]string{pageHeaders, scriptHeaders} {
		answer, body := v.ask(http.MethodGet, w.origin(name+"-stranger")+"/", nil, headers...)
		if seen, _ := w.service.take(); len(seen) != 0 || answer.StatusCode < 400 {
			t.Errorf("a service that names another proxy: %s, %d requests\n%.300s", answer.Status, len(seen), body)
		}
	}
	// Somebody else asks the gateway itself, with the cookie of a session and the right words.
	u, err := url.Parse(w.origin(name))
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]int{"127.0.0.1": http.StatusOK, "127.0.0.9": http.StatusBadRequest} {
		transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
			return d.DialContext(ctx, network, fmt.Sprintf("127.0.0.1:%d", w.port))
		}, TLSClientConfig: &tls.Config{RootCAs: w.pki.ServerRoots(), MinVersion: tls.VersionTLS12}}
		t.Cleanup(transport.CloseIdleConnections)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.auth("/auth/verify"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, s := range map[string]string{"X-Forwarded-Host": u.Host, "X-Forwarded-Proto": "https", "X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/", "X-Forwarded-For": "127.0.0.1"} {
			r.Header.Set(k, s)
		}
		for _, c := range v.Jar.Cookies(u) {
			r.AddCookie(c)
		}
		answer, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want || (answer.Header.Get("X-Authgw-User") != "") != (want == http.StatusOK) {
			t.Errorf("asked from %s: %s, want %d", from, answer.Status, want)
		}
	}
}

func (w *forwardWorld) paths(t *testing.T, name string) {
	w.service.take()
	for _, path := range []string{
		"/.authgw/../inbox", "/.authgw/..%2finbox", "/.authgw/%2e%2e/inbox", "/.authgw/%2e%2e%2finbox", "/.authgw/..%5cinbox", "/.authgw/..;/inbox", "/.authgw;/../inbox",
		"//.authgw/../inbox", "/x/../.authgw/../inbox", "/.authgw//../../inbox", "/.authgw%2f..%2finbox", "/.authgw/%252e%252e/inbox", "/.AUTHGW/inbox", "/.authgw", "/.authgw?x",
		"/.authgw/static/../../inbox", "/_authgw", "/_authgw/", "/%5fauthgw", "//_authgw", "/auth/verify", "/.authgw/./../inbox", "/inbox%00/.authgw/", "/inbox?/.authgw/", "/inbox#/.authgw/", "/inbox/.authgw/",
	} {
		for _, headers := range [][]string{pageHeaders, scriptHeaders} {
			conn, err := tls.Dial("tcp", fmt.Sprintf("%s:%d", addressOf(name), w.port), &tls.Config{ServerName: name + "." + domain, RootCAs: w.pki.ServerRoots()})
			if err != nil {
				t.Fatal(err)
			}
			_ = conn.SetDeadline(time.Now().Add(patience)) // as good as no deadline when it fails
			var b strings.Builder
			fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s.%s:%d\r\nConnection: close\r\n", path, name, domain, w.port)
			for i := 0; i < len(headers); i += 2 {
				fmt.Fprintf(&b, "%s: %s\r\n", headers[i], headers[i+1])
			}
			if _, err := io.WriteString(conn, b.String()+"\r\n"); err != nil {
				t.Fatal(err)
			}
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			conn.Close()
			if seen, _ := w.service.take(); len(seen) != 0 || answer.StatusCode == http.StatusOK {
				t.Errorf("GET %s: %s, and %d requests reached the service", path, answer.Status, len(seen))
			}
			for header := range answer.Header {
				if header == "X-Authgw-User" || header == "X-Authgw-Assertion" {
					t.Errorf("GET %s shows %s", path, header)
				}
			}
		}
	}
}

func addressOf(name string) string {
	for _, p := range elsewhere {
		if p.name == name {
			return p.address
		}
	}
	return ""
}

func (w *forwardWorld) cookies(t *testing.T, name string) {
	v := w.signedIn(t, name)
	u, err := url.Parse(w.origin(name))
	if err != nil {
		t.Fatal(err)
	}
	for _, cookies := range []string{"", "a=1; b=2", "__Host-authgw-login=x; a=1", "__HOST-Authgw-login=x"} {
		session := ""
		for _, c := range v.Jar.Cookies(u) {
			if c.Name == "__Host-authgw" {
				session = c.Value
			}
		}
		other := &visitor{t, w, &http.Client{Transport: v.Transport, Timeout: patience}}
		line := strings.TrimSuffix("__Host-authgw="+session+"; "+cookies, "; ")
		answer, body := other.ask(http.MethodGet, w.origin(name)+"/", nil, append(slices.Clone(pageHeaders), "Cookie", line)...)
		seen, _ := w.service.take()
		if len(seen) != 1 {
			t.Fatalf("with %q: %s\n%.300s", cookies, answer.Status, body)
		}
		got := strings.Join(seen[0].Header["Cookie"], "; ")
		if strings.Contains(strings.ToLower(got), "authgw") || strings.Contains(got, session) || strings.Contains(got, "a=1") != strings.Contains(cookies, "a=1") {
			t.Errorf("with %q: the service got the cookies %q", cookies, got)
		}
	}
}

func (w *forwardWorld) webSockets(t *testing.T, name string) {
	v := w.signedIn(t, name)
	u, err := url.Parse(w.origin(name))
	if err != nil {
		t.Fatal(err)
	}
	var line []string
	for _, c := range v.Jar.Cookies(u) {
		line = append(line, c.Name+"="+c.Value)
	}
	for _, c := range []struct {
		what, origin, cookie, upgrade string
		want                          int
	}{
		{"a page of the service", w.origin(name), strings.Join(line, "; "), "websocket", http.StatusSwitchingProtocols},
		{"a page of somebody else", "https://evil.example", strings.Join(line, "; "), "websocket", http.StatusForbidden},
		{"without a session", w.origin(name), "", "websocket", http.StatusUnauthorized},
	} {
		conn, err := tls.Dial("tcp", fmt.Sprintf("%s:%d", addressOf(name), w.port), &tls.Config{ServerName: u.Hostname(), RootCAs: w.pki.ServerRoots()})
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience)) // as good as no deadline when it fails
		fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: %s\r\nCookie: %s\r\n\r\n",
			u.Host, c.upgrade, c.origin, c.cookie)
		reader := bufio.NewReader(conn)
		answer, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.what, err)
		}
		if answer.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", c.what, answer.Status, c.want)
		} else if c.want == http.StatusSwitchingProtocols {
			hello := make([]byte, 5)
			if _, err := io.ReadFull(reader, hello); err != nil || string(hello) != "hello" {
				t.Errorf("%s: %q, %v", c.what, hello, err)
			}
		}
		conn.Close()
	}
	w.service.take()
}
