package proxy_test

import (
	"strings"
	"testing"

	"promess/authgw/proxy"
)

// B13, C1: every spelling of a path and a query reaches the service as it was written. What RFC 3986 does not allow in a path is
// percent-encoded, and nothing else of that path changes with it: decoding a %2F beside it would make it another path.
func TestTargetsReachTheServiceAsWritten(t *testing.T) {
	for _, tt := range []struct{ name, target, want string }{
		{"plain", "/inbox", ""},
		{"empty segments", "//inbox//a", ""},
		{"only slashes", "///", ""},
		{"dot segments", "/a/./b/../c", ""},
		{"encoded dots", "/a/%2e%2e/%2E/b", ""},
		{"an encoded slash", "/a%2Fb%2fc", ""},
		{"an encoded backslash", "/a%5C..%5cb", ""},
		{"double encoding", "/a%252e%252e%252fb", ""},
		{"a needless encoding", "/%61%62", ""},
		{"path parameters", "/a;v=1/b;jsessionid=2", ""},
		{"a trailing dot", "/a./b.", ""},
		{"encoded UTF-8", "/caf%C3%A9/%e2%80%ae", ""},
		{"overlong UTF-8", "/%c0%ae%c0%ae/", ""},
		{"an encoded NUL", "/a%00b", ""},
		{"an encoded line break", "/a%0d%0aX-Authgw-User:%20evil", ""},
		{"sub-delimiters", "/!$&'()*+,;=:@", ""},
		{"brackets", "/a[1]", ""},
		{"an encoded question mark and hash", "/a%3Fb%23c", ""},
		{"an empty query", "/a?", ""},
		{"semicolons in a query", "/a?x=1;y=2;z", ""},
		{"odd queries", "/a?&&==&%zz&%&a=%2", ""},
		{"many parameters", "/a?" + strings.Repeat("p=1&", 3000), ""},
		{"a second question mark", "/a?b?c", ""},
		{"an address in a query", "/a?u=https://x.test/%2e%2e", ""},
		{"a bar, as browsers write it, beside an encoded slash", "/a%2Fb|c", "/a%2Fb%7Cc"},
		{"a backslash beside an encoded slash", `/a%2F..\b`, "/a%2F..%5Cb"},
		{"raw UTF-8 beside an encoded slash", "/é%2Fb", "/%C3%A9%2Fb"},
		{"quotes, braces and hats", `//"a"{b}^<c>` + "`", "//%22a%22%7Bb%7D%5E%3Cc%3E%60"},
		{"a hash in a path", "/a%2Fb#c", "/a%2Fb%23c"},
		{"an absolute target", "https://" + host + "/a%2Fb?c", "/a%2Fb?c"}, // RFC 9112, section 3.2.2
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == "" {
				want = tt.target
			}
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			w.send(t, "GET "+tt.target+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if got := service.only(t).line; got != "GET "+want+" HTTP/1.1" {
				t.Errorf("the service got %q, want target %q", got, want)
			}
		})
	}
}

// RFC 9112, section 3.2: a target that is none is refused, and a whole URL of another host is another host's (A4).
func TestBadTargetsAreRefused(t *testing.T) {
	for _, target := range []string{"inbox", "/a%zz", "/a%2", "https://other.test/", "/a b", "/a\x01b", ""} {
		t.Run(target, func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			for _, res := range w.send(t, "GET "+target+" HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n") {
				if res.StatusCode != 400 && res.StatusCode != 421 {
					t.Errorf("status = %d, want 400 or 421", res.StatusCode)
				}
			}
			if got := service.messages(); len(got) != 0 {
				t.Errorf("the service got %q, want nothing", got)
			}
		})
	}
}

// B11: what two parsers could read in two ways is refused, or reaches the service in one way only. The second request of each is the
// one that an attacker would smuggle past the gate to the connection of the next person.
func TestSmuggling(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: " + host + "\r\n"
	const smuggled = "GET /smuggled HTTP/1.1\r\nHost: " + host + "\r\nX-Authgw-User: evil\r\n\r\n"
	for _, tt := range []struct{ name, raw string }{
		{"a chunk that ends in a bare line feed", post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + smuggled},
		{"a chunk extension that ends in a bare line feed", post + "Transfer-Encoding: chunked\r\n\r\n3;x\nabc\r\n0\r\n\r\n" + smuggled},
		{"chunk data longer than its size", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n" + smuggled},
		{"a chunk size with a sign", post + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n" + smuggled},
		{"a chunk size with a prefix", post + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n" + smuggled},
		{"a chunk size that overflows", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n" + smuggled},
		{"two lengths", post + "Content-Length: 3\r\nContent-Length: 0\r\n\r\n" + smuggled},
		{"two lengths in one", post + "Content-Length: 3, 0\r\n\r\n" + smuggled},
		{"a length with a sign", post + "Content-Length: +3\r\n\r\nabc" + smuggled},
		{"a negative length", post + "Content-Length: -1\r\n\r\n" + smuggled},
		{"a coding that is not chunked", post + "Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc" + smuggled},
		{"chunked, spelt otherwise", post + "Transfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled},
		{"chunked twice", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"two codings", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + smuggled},
		{"a coding in two lines", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + smuggled},
		{"a space before the colon", post + "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc" + smuggled},
		{"two hosts", "GET / HTTP/1.1\r\nHost: " + host + "\r\nHost: other.test\r\n\r\n" + smuggled},
		{"no host", "GET / HTTP/1.1\r\n\r\n" + smuggled},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + smuggled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			answers := w.send(t, tt.raw)
			for _, m := range service.messages() {
				if strings.Contains(m.line, "smuggled") || strings.Contains(m.raw, "evil") {
					t.Errorf("the service got %q", m.raw)
				}
			}
			if len(answers) > 1 {
				t.Errorf("%d answers, want one: what follows a broken request is not read", len(answers))
			}
			for _, res := range answers {
				if res.StatusCode < 400 {
					t.Errorf("status = %d, want a refusal", res.StatusCode)
				}
			}
		})
	}
}

// B11: RFC 9112, section 6.3 (3): the coding overrides the length, and the message is passed on without the length. And section 5.2:
// a folded line is refused, or its folds become spaces: never two headers.
func TestWhatCouldBeReadInTwoWaysIsSentInOne(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n"
	for _, tt := range []struct{ name, raw, body string }{
		{"a length and a coding", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", "abc"},
		{"a coding and a length of nothing", post + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"},
		{"a folded header", post + "X-Folded: a\r\n X-Authgw-User: b\r\nContent-Length: 3\r\n\r\nabc", "abc"},
		{"a coding in HTTP/1.0, which has none", "POST / HTTP/1.0\r\nHost: " + host + "\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc", "abc"},
		{"the same length twice", post + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", "abc"},
		{"lines that end in bare line feeds", strings.ReplaceAll(post, "\r\n", "\n") + "Content-Length: 3\n\nabc", "abc"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			answers := w.send(t, tt.raw)
			if len(answers) != 1 {
				t.Errorf("%d answers, want one", len(answers))
			}
			all := service.messages()
			if len(all) == 0 {
				return // refused
			}
			m := service.only(t)
			if m.body != tt.body || len(m.values("Content-Length"))+len(m.values("Transfer-Encoding")) != 1 {
				t.Errorf("the service got %q, want body %q with one length", m.raw, tt.body)
			}
			if got := m.values("X-Authgw-User"); len(got) != 1 || got[0] != "u-7Q2" {
				t.Errorf("X-Authgw-User = %q", got)
			}
		})
	}
}

// B12: TRACE would show a script what the gateway adds, CONNECT would be a tunnel.
func TestMethodsThatAreNotLetThrough(t *testing.T) {
	for _, head := range []string{
		"TRACE / HTTP/1.1\r\nHost: " + host, "CONNECT " + host + " HTTP/1.1\r\nHost: " + host, "CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host,
		"CONNECT / HTTP/1.1\r\nHost: " + host,
	} {
		t.Run(head, func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			answers := w.send(t, head+"\r\nConnection: close\r\n\r\n")
			if len(answers) != 1 || answers[0].StatusCode != statuses[proxy.NotAllowed] {
				t.Errorf("answers = %v, want one 405", answers)
			}
			if got := service.messages(); len(got) != 0 {
				t.Errorf("the service got %q, want nothing", got)
			}
		})
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "REPORT"} {
		t.Run(method+" passes", func(t *testing.T) {
			service := newRecorder(t)
			w := newWorld(t, &gate{}, service.url)
			w.send(t, method+" / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
			if got, want := service.only(t).line, method+" / HTTP/1.1"; got != want {
				t.Errorf("the service got %q, want %q", got, want)
			}
		})
	}
}
