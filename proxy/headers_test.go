package proxy_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"promess/authgw/proxy"
)

// own are the headers that the design promises to a service, and what jeanne's hold.
var own = []field{
	{"X-Authgw-User", "u-7Q2"}, {"X-Authgw-National-Id", "899700218896"}, {"X-Authgw-Name", "Dr Zoë MARTIN"},
	{"X-Authgw-Email", "zoe.martin@medecin.mssante.fr"}, {"X-Authgw-Acr", "eidas2"}, {"X-Authgw-Assertion", "aaa.bbb.ccc"},
}

// cgiName is the name under which a CGI program of the most lenient server finds a header: lighttpd makes everything that is not a
// letter or a digit an underscore.
func cgiName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, name)
}

// identityOf returns all that any server could take for the gateway's word.
func identityOf(m message) []field {
	var all []field
	for _, f := range m.head {
		if strings.HasPrefix(cgiName(f.name), "X_AUTHGW") {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b field) int { return slices.Index(own, a) - slices.Index(own, b) })
	return all
}

func TestServiceIsToldWhoItIs(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			do(t, w.client(t, proto), request(t, "GET", "/", nil))
			if diff := cmp.Diff(own, identityOf(service.only(t)), cmp.AllowUnexported(field{})); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatCannotStandInAHeaderIsNotSent(t *testing.T) {
	service := newRecorder(t)
	g := &gate{identify: func(*http.Request) (proxy.Identity, error) {
		return proxy.Identity{User: "u-1", Name: "A\r\nX-Authgw-User: u-2", Email: "a\x00@b", ACR: "x\x7fy", NationalID: "\t"}, nil
	}}
	w := newWorld(t, g, service.url)
	do(t, w.client(t, "http/1.1"), request(t, "GET", "/", nil))
	want := []field{{"X-Authgw-User", "u-1"}} // an empty field is not sent either
	if diff := cmp.Diff(want, identityOf(service.only(t)), cmp.AllowUnexported(field{})); diff != "" {
		t.Errorf("identity (-want +got):\n%s", diff)
	}
}

// B1, B2, B7: whoever asks, for whatever path, by whatever program, in whatever spelling, the service hears the gateway alone.
func TestIdentityOfTheClientNeverArrives(t *testing.T) {
	headers := map[string][]string{
		"x-authgw-user": {"evil"}, "X-Authgw-User": {"evil", "evil2"}, "X-AUTHGW-USER": {"evil"}, "X_Authgw_User": {"evil"},
		"x-authgw.user": {"evil"}, "X.Authgw.User": {"evil"}, "x_authgw-national_id": {"evil"}, "X-Authgw-Anything": {"evil"},
		"X!Authgw!User": {"evil"}, "x~authgw~name": {"evil"}, "X|Authgw`Email": {"evil"}, "X'authgw*acr": {"evil"}, "x+authgw^user": {"evil"},
		"x#authgw$user": {"evil"}, "x%authgw&user": {"evil"},
	}
	paths := []string{"/", "/healthz", "/ping", "/robots.txt", "/.well-known/acme-challenge/x", "/static/app.css", "/api/"}
	agents := []string{"", "GoogleHC/1.0", "kube-probe/1.31", "ELB-HealthChecker/2.0"}
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			client := w.client(t, proto)
			for _, path := range paths {
				for _, agent := range agents {
					req := request(t, "GET", path, nil)
					for name, values := range headers {
						req.Header[name] = values
					}
					req.Header["User-Agent"] = []string{agent}
					do(t, client, req)
				}
			}
			for _, m := range service.messages() {
				if diff := cmp.Diff(own, identityOf(m), cmp.AllowUnexported(field{})); diff != "" {
					t.Errorf("%s: identity (-want +got):\n%s", m.line, diff)
				}
				if strings.Contains(m.raw, "evil") {
					t.Errorf("the service got what the client said of itself:\n%s", m.raw)
				}
			}
			if got, want := len(service.messages()), len(paths)*len(agents); got != want {
				t.Errorf("the service got %d requests, want %d", got, want)
			}
		})
	}
}

// B1, B7: without a session nothing is forwarded, whatever the path or the program that asks.
func TestNobodyGetsNowhere(t *testing.T) {
	service := newRecorder(t)
	g := &gate{identify: func(*http.Request) (proxy.Identity, error) { return proxy.Identity{}, proxy.ErrNoSession }}
	w := newWorld(t, g, service.url)
	for _, path := range []string{"/", "/healthz", "/ping", "/favicon.ico", "/.well-known/x", "/a/../healthz", "//healthz"} {
		for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.31"} {
			answers := w.send(t, "GET "+path+" HTTP/1.1\r\nHost: "+host+"\r\nUser-Agent: "+agent+"\r\nConnection: close\r\n\r\n")
			if len(answers) != 1 || answers[0].StatusCode != 401 {
				t.Errorf("GET %s by %s: %v, want one 401", path, agent, answers)
			}
		}
	}
	if got := service.messages(); len(got) != 0 {
		t.Errorf("the service got %q, want nothing", got)
	}
}

// B2: a header name with a space in it is no name (RFC 9112, section 5.1), and trailers are headers by another way.
func TestHeadersByOtherWays(t *testing.T) {
	t.Run("a space in a name is refused", func(t *testing.T) {
		for _, line := range []string{"X-Authgw-User : evil", "X Authgw User: evil", " X-Authgw-User: evil", "X-Authgw-User\t: evil", "X-Authgw-Usér: evil"} {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			answers := w.send(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\n"+line+"\r\n\r\n")
			if len(answers) != 1 || answers[0].StatusCode != 400 {
				t.Errorf("%q: %v, want one 400", line, answers)
			}
			if got := service.messages(); len(got) != 0 {
				t.Errorf("%q reached the service: %q", line, got)
			}
		}
	})
	for _, proto := range protocols {
		t.Run("trailers are not forwarded over "+proto, func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			req := request(t, "POST", "/", io.MultiReader(strings.NewReader("body"))) // of unknown length: chunked
			req.Trailer = http.Header{"X-Authgw-User": {"evil"}, "X_authgw_user": {"evil"}, "X-Other": {"evil"}}
			do(t, w.client(t, proto), req)
			m := service.only(t)
			if m.body != "body" || strings.Contains(m.raw, "evil") || strings.Contains(strings.ToLower(m.raw), "trailer") {
				t.Errorf("the service got\n%s\nwant the body and no trailer", m.raw)
			}
		})
	}
}

// B3: what the client calls hop-by-hop is removed before the gateway speaks, so it cannot silence it.
func TestConnectionHeaderRemovesNothingOfOurs(t *testing.T) {
	for _, connection := range []string{
		"X-Authgw-User", "x-authgw-user", "close, X-AUTHGW-USER, x-authgw-national-id", "X-Authgw-Assertion,X-Authgw-Acr\r\nConnection: X-Authgw-Name",
		"X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Host, Cookie",
	} {
		t.Run(connection, func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			w.send(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\nX-Authgw-User: evil\r\nConnection: close\r\nConnection: "+connection+"\r\n\r\n")
			m := service.only(t)
			if diff := cmp.Diff(own, identityOf(m), cmp.AllowUnexported(field{})); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": host, "Host": host} {
				if got := m.values(name); !slices.Equal(got, []string{want}) {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
		})
	}
}

// B4, B5, A12, A13: a service that believes one of these believes a proxy. The gateway says what it knows from the connection, and
// nobody else says anything.
func TestClaimsOfAProxyAreRemoved(t *testing.T) {
	names := []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server",
		"X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Preferred-Username", "X-Forwarded-Uri",
		"X-Forwarded-Method", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "Forwarded",
		"X-Original-Url", "X-Original-Uri", "X-Original-Host", "X-Original-Method", "X-Rewrite-Url", "X-Real-Ip", "True-Client-Ip",
		"Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Fastly-Client-Ip", "X-Envoy-External-Address",
		"X-Client-Cert", "X-Client-Certificate", "Ssl-Client-Cert", "Ssl-Client-S-Dn", "Ssl-Client-Verify", "X-Ssl-Client-Cert",
		"X-Ssl-Client-Verify", "X-Arr-Clientcert", "X-Arr-Ssl", "Client-Cert", "Client-Cert-Chain", "Remote-User", "Remote-Groups",
		"X-Remote-User", "X-Webauth-User", "X-Authenticated-User", "X-Auth-Request-User", "X-Auth-Request-Email", "X-User", "X-Username",
		"Proxy", "Authorization",
	}
	spellings := map[string]func(string) string{
		"as written":       func(s string) string { return s },
		"lower case":       strings.ToLower,
		"upper case":       strings.ToUpper,
		"with underscores": func(s string) string { return strings.ReplaceAll(s, "-", "_") },
		"with dots":        func(s string) string { return strings.ReplaceAll(s, "-", ".") },
		"with one of each": func(s string) string { return strings.Replace(strings.Replace(s, "-", "_", 1), "-", "!", 1) },
	}
	for _, proto := range protocols {
		for spelling, spell := range spellings {
			t.Run(proto+" "+spelling, func(t *testing.T) {
				service := newRecorder(t)
				w := newWorld(t, &gate{}, service.url)
				req := request(t, "GET", "/", nil)
				for _, name := range names {
					req.Header[spell(name)] = []string{"evil"}
				}
				do(t, w.client(t, proto), req)
				m := service.only(t)
				if strings.Contains(m.raw, "evil") {
					t.Errorf("the service got what the client claimed:\n%s", m.raw)
				}
				for name, want := range map[string][]string{
					"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {host}, "X-Forwarded-Proto": {"https"}, "Host": {host},
				} {
					if got := m.values(name); !slices.Equal(got, want) {
						t.Errorf("%s = %q, want %q", name, got, want)
					}
				}
			})
		}
	}
}

// B8: the gateway's cookies are between it and the browser; the service's own pass as they were written.
func TestCookies(t *testing.T) {
	for _, tt := range []struct {
		name, cookie string
		want         []string
	}{
		{"only ours: no header", "__Host-authgw=secret", nil},
		{"ours first", "__Host-authgw=secret; a=1", []string{"a=1"}},
		{"ours last, without a space", "a=1;__Host-authgw-login=secret", []string{"a=1"}},
		{"ours in another case", "a=1; __HOST-AuthGW-x=secret; b=2", []string{"a=1; b=2"}},
		{"ours twice", "__Host-authgw=secret; a=1; __Host-authgw=secret2", []string{"a=1"}},
		{"ours with a tab before it", "a=1;\t__Host-authgw=secret", []string{"a=1"}},
		{"ours without a value or a name", "__Host-authgw; a=1; =__Host-authgw=secret", []string{"a=1"}},
		{"others with odd values", `a="x y"; b=a=b==; c=%3B; d; e={"k":1}; __Host-other=1; xx__Host-authgw=1`,
			[]string{`a="x y"; b=a=b==; c=%3B; d; e={"k":1}; __Host-other=1; xx__Host-authgw=1`}},
	} {
		for _, proto := range protocols {
			t.Run(tt.name+" over "+proto, func(t *testing.T) {
				service := newRecorder(t)
				w := newWorld(t, &gate{}, service.url)
				req := request(t, "GET", "/", nil)
				req.Header["Cookie"] = []string{tt.cookie}
				do(t, w.client(t, proto), req)
				m := service.only(t)
				if got := m.values("Cookie"); !slices.Equal(got, tt.want) {
					t.Errorf("Cookie = %q, want %q", got, tt.want)
				}
				if strings.Contains(m.raw, "secret") {
					t.Errorf("the service got a cookie of the gateway:\n%s", m.raw)
				}
			})
		}
	}
}

// B8: a service that could set the gateway's cookies could sign a person in as somebody else, one that could say X-Authgw-… could
// speak for the gateway. The early answers of RFC 8297 count as well, and must not take the listener's own headers with them.
func TestServiceCannotSpeakForTheGateway(t *testing.T) {
	const forged = "Set-Cookie: __Host-authgw=evil; Path=/; Secure\r\nSet-Cookie: __host-AUTHGW-login=evil\r\nSet-Cookie: \t__Host-authgw=evil\r\n" +
		"Set-Cookie: =__Host-authgw=evil; Path=/; Secure\r\nSet-Cookie: = __Host-authgw=evil\r\n" +
		"X-Authgw-User: evil\r\nx_authgw_name: evil\r\nAlt-Svc: evil\r\nStrict-Transport-Security: max-age=0; evil\r\n"
	for _, tt := range []struct{ name, answer string }{
		{"in an answer", "HTTP/1.1 200 OK\r\n" + forged + "Set-Cookie: a=1; Path=/\r\nSet-Cookie: __Host-b=2; Path=/; Secure\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok"},
		{"in an early hint", "HTTP/1.1 103 Early Hints\r\n" + forged + "Link: </a>\r\n\r\n" +
			"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: __Host-b=2; Path=/; Secure\r\nX-Kept: yes\r\nContent-Length: 2\r\n\r\nok"},
		{"in a trailer", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: __Host-b=2; Path=/; Secure\r\nX-Kept: yes\r\n" +
			"Trailer: X-Authgw-User, Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + forged + "\r\n"},
		{"in a trailer without notice", "HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: __Host-b=2; Path=/; Secure\r\nX-Kept: yes\r\n" +
			"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n" + forged + "\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service := newRecorder(t)
			service.answer = tt.answer
			w := newWorld(t, &gate{}, service.url)
			conn := w.open(t)
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(raw), "evil") {
				t.Errorf("the client got what the service forged:\n%s", raw)
			}
			for _, line := range []string{"Set-Cookie: a=1; Path=/", "Set-Cookie: __Host-b=2; Path=/; Secure", "X-Kept: yes", "Strict-Transport-Security: max-age=31536000"} {
				if strings.Count(string(raw), line+"\r\n") != 1 {
					t.Errorf("the client got\n%s\nwant %q in it, once", raw, line)
				}
			}
		})
	}
}

// What is the client's to say passes.
func TestOtherHeadersPass(t *testing.T) {
	service := newRecorder(t)
	w := newWorld(t, &gate{}, service.url)
	req := request(t, "GET", "/", nil)
	kept := http.Header{
		"Accept": {"text/html"}, "Accept-Encoding": {"br, zstd"}, "User-Agent": {"Mozilla/5.0"}, "Origin": {origin}, "X-Requested-With": {"XMLHttpRequest"},
		"X-Csrf-Token": {"t"}, "Range": {"bytes=0-9"}, "If-None-Match": {`"v1"`}, "Depth": {"1"}, "Destination": {origin + "/x"}, "X-Authorized": {"x"},
	}
	for name, values := range kept {
		req.Header[name] = values
	}
	do(t, w.client(t, "http/1.1"), req)
	m := service.only(t)
	for name, want := range kept {
		if got := m.values(name); !slices.Equal(got, want) {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

// A program that names itself with no User-Agent is not given Go's.
func TestNoUserAgentIsAdded(t *testing.T) {
	service := newRecorder(t)
	w := newWorld(t, &gate{}, service.url)
	w.send(t, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	if m := service.only(t); len(m.values("User-Agent")) != 0 {
		t.Errorf("the service got\n%s\nwant no User-Agent", m.raw)
	}
}

// What a person has read is gone with their session: "back" after signing out shows nothing. Styles and the like stay the service's to say.
func TestCaching(t *testing.T) {
	for _, tt := range []struct{ name, dest, kind, control, want string }{
		{"a page", "document", "text/html", "max-age=60", "no-store"},
		{"a page in a frame", "iframe", "text/html", "", "no-store"},
		{"a document in a page", "object", "application/pdf", "private", "no-store"},
		{"a page for a browser that says nothing", "", "text/html; charset=utf-8", "max-age=60", "no-store"},
		{"XHTML for a browser that says nothing", "", "application/xhtml+xml", "", "no-store"},
		{"data for a script", "empty", "application/json", "", "no-store"},
		{"data for a script, of which the service says something", "empty", "application/json", "max-age=5", "max-age=5"},
		{"data for a program", "", "application/json", "", "no-store"},
		{"data for a program, of which the service says something", "", "application/json", "max-age=5", "max-age=5"},
		{"a style", "style", "text/css", "max-age=86400", "max-age=86400"},
		{"an image", "image", "image/png", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.kind)
				if tt.control != "" {
					w.Header().Set("Cache-Control", tt.control)
				}
			})
			w := newWorld(t, &gate{}, url)
			req := request(t, "GET", "/", nil)
			if tt.dest != "" {
				req.Header.Set("Sec-Fetch-Dest", tt.dest)
			}
			if res, _ := do(t, w.client(t, "h2"), req); res.Header.Get("Cache-Control") != tt.want {
				t.Errorf("Cache-Control = %q, want %q", res.Header.Get("Cache-Control"), tt.want)
			}
		})
	}
}
