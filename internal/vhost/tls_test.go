package vhost_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// who answers with what the listener knows of a request.
func who(w http.ResponseWriter, r *http.Request) {
	peer := "nobody"
	if len(r.TLS.PeerCertificates) > 0 {
		peer = r.TLS.PeerCertificates[0].Subject.CommonName
	}
	fmt.Fprintf(w, "%s %s %s", r.TLS.ServerName, r.Proto, peer)
}

// A3: the name in the handshake is one of the list, or there is no handshake. No certificate, no version and no ticket helps.
func TestNamesInTheHandshake(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	for _, tt := range []struct {
		name, sni string
		ok        bool
	}{
		{"a host", auth, true},
		{"a service", mail, true},
		{"mixed case", "AuTh.TeSt", true},
		{"no name", "", false},
		{"an unknown name", "other.test", false},
		{"an unknown name that a certificate covers", "other.svc.test", false},
		{"the wildcard itself", "*.svc.test", false},
		{"a name below a host", "x." + auth, false},
		{"the end of a host", "test", false},
		{"an address", "127.0.0.1", false},
		{"an IPv6 address", "::1", false},
		{"localhost", "localhost", false},
		{"a name with a port", auth + ":8443", false},
		{"a name with a NUL", auth + "\x00.evil.test", false},
		{"a name with a space", auth + " ", false},
		{"a name of 300 letters", strings.Repeat("a", 300), false},
		{"another script's letters", "аuth.test", false},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				_, err := w.handshake(t, &tls.Config{InsecureSkipVerify: true, ServerName: tt.sni, MinVersion: version, MaxVersion: version})
				if (err == nil) != tt.ok {
					t.Errorf("handshake = %v, want success %v", err, tt.ok)
				}
			})
		}
	}
}

// hello returns the first record of a client that asks for name.
func hello(t *testing.T, name string) []byte {
	t.Helper()
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	go tls.Client(client, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
	buf := make([]byte, 16<<10)
	server.SetDeadline(time.Now().Add(patience))
	n, err := server.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// A3: RFC 6066, section 3: a name has no trailing dot. Go's client drops one, so it is put in by hand.
func TestTrailingDotInTheHandshake(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	for _, name := range []string{"auth.test.", ".auth.test"} {
		record := hello(t, "auth-test1") // as long as name
		record = []byte(strings.Replace(string(record), "auth-test1", name, 1))
		conn, err := w.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		conn.Write(record)
		answer := make([]byte, 7)
		if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 21 || answer[5] != 2 { // a fatal alert
			t.Errorf("%q: answer = % x, %v, want a fatal alert", name, answer, err)
		}
	}
}

// inBytes writes one byte at a time; with records, each byte of the ClientHello in a TLS record of its own.
type inBytes struct {
	net.Conn
	records bool
}

func (c *inBytes) Write(p []byte) (int, error) {
	const header = 5
	if c.records { // RFC 8446, section 5.1: a handshake message may be fragmented over records
		c.records = false // only the first, which is in the clear
		for _, b := range p[header:] {
			if _, err := c.Conn.Write([]byte{p[0], p[1], p[2], 0, 1, b}); err != nil {
				return 0, err
			}
		}
		return len(p), nil
	}
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// A3: a ClientHello in pieces of one byte is the same ClientHello, and meets the same rules.
func TestClientHelloInPieces(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	for _, tt := range []struct {
		sni string
		ok  bool
	}{{auth, true}, {card, true}, {"other.test", false}} {
		for _, records := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s records=%v", tt.sni, records), func(t *testing.T) {
				raw, err := w.dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer raw.Close()
				raw.SetDeadline(time.Now().Add(patience))
				if err := tls.Client(&inBytes{raw, records}, w.config(tt.sni)).Handshake(); (err == nil) != tt.ok {
					t.Errorf("handshake = %v, want success %v", err, tt.ok)
				}
			})
		}
	}
}

// A27, A2: what the running listener speaks: TLS 1.2 and 1.3, ECDHE with AES-GCM, HTTP/2 except where a card is shown.
func TestVersionsAndProtocols(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	for _, tt := range []struct {
		host     string
		versions []uint16
		proto    string
	}{
		{auth, []uint16{tls.VersionTLS12, tls.VersionTLS13}, "h2"},
		{mail, []uint16{tls.VersionTLS12, tls.VersionTLS13}, "h2"},
		{card, []uint16{tls.VersionTLS12, tls.VersionTLS13}, "http/1.1"},
		{browser, []uint16{tls.VersionTLS12}, "http/1.1"},
	} {
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13} {
			c := w.config(tt.host, "h2", "http/1.1")
			c.MinVersion, c.MaxVersion = version, version
			conn, err := w.handshake(t, c)
			if want := slices.Contains(tt.versions, version); (err == nil) != want {
				t.Errorf("%s with %s: %v, want success %v", tt.host, tls.VersionName(version), err, want)
			}
			if err == nil && conn.ConnectionState().NegotiatedProtocol != tt.proto {
				t.Errorf("%s with %s speaks %q, want %q", tt.host, tls.VersionName(version), conn.ConnectionState().NegotiatedProtocol, tt.proto)
			}
		}
		if _, err := w.handshake(t, w.config(tt.host, "spdy/3")); err == nil {
			t.Errorf("%s speaks spdy/3", tt.host)
		}
		if tt.proto != "h2" {
			if _, err := w.handshake(t, w.config(tt.host, "h2")); err == nil {
				t.Errorf("%s speaks h2", tt.host)
			}
		}
	}
}

// A27: référentiel MSSanté #2: ECDHE with AES-GCM, nothing else of TLS 1.2.
func TestCipherSuites(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	allowed := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384} // of our ECDSA certificate
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
			continue
		}
		for _, host := range []string{auth, card, browser} {
			c := w.config(host)
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}
			if _, err := w.handshake(t, c); (err == nil) != slices.Contains(allowed, suite.ID) {
				t.Errorf("%s with %s: %v", host, suite.Name, err)
			}
		}
	}
}

// resume connects twice with one cache of tickets, to hosts a and then b, and says whether the second was a resumption.
func resume(t *testing.T, w *world, version uint16, a, b string) (*tls.Conn, error) {
	t.Helper()
	cache := &anyName{}
	for _, host := range []string{a, b} {
		c := w.config(host, "http/1.1")
		c.MinVersion, c.MaxVersion, c.ClientSessionCache = version, version, cache
		c.InsecureSkipVerify = true // the client of the attack does not mind
		conn, err := w.handshake(t, c)
		if host == b && cache.used || err != nil {
			return conn, err
		}
		// Tickets of TLS 1.3 come after the handshake: read an answer.
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
			t.Fatal(err)
		}
		cache.used = true
	}
	return nil, nil // unreachable
}

// anyName is a cache that offers the newest ticket to every host.
type anyName struct {
	state *tls.ClientSessionState
	used  bool
}

func (c *anyName) Get(string) (*tls.ClientSessionState, bool) { return c.state, c.state != nil }
func (c *anyName) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.state = s
	}
}

// A5, A6: a card's signature counts for one connection. Card hosts give no tickets and take none, not even those of another host. A3: and a
// ticket of a host opens no unknown name.
func TestResumption(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, tt := range []struct {
			name, a, b string
			resumed    bool // or refused
			err        bool
		}{
			{"the auth host resumes: the baseline", auth, auth, true, false},
			{"the card host does not", card, card, false, false},
			{"the browser card host does not", browser, browser, false, false},
			{"a ticket of the auth host at the card host", auth, card, false, false},
			{"a ticket of the auth host at the browser card host", auth, browser, false, false},
			{"a ticket of the auth host at an unknown name", auth, "other.test", false, true},
			{"a ticket of the auth host without a name", auth, "", false, true},
		} {
			if version == tls.VersionTLS13 && (tt.a == browser || tt.b == browser) {
				continue // it speaks TLS 1.2 only
			}
			t.Run(tt.name+" "+tls.VersionName(version), func(t *testing.T) {
				conn, err := resume(t, w, version, tt.a, tt.b)
				if (err != nil) != tt.err {
					t.Fatalf("handshake = %v, want failure %v", err, tt.err)
				}
				if err == nil && conn.ConnectionState().DidResume != tt.resumed {
					t.Errorf("DidResume = %v, want %v", !tt.resumed, tt.resumed)
				}
			})
		}
	}
}

// A7: crypto/tls takes no early data; no ticket of ours allows any (RFC 8446, section 4.6.1).
func TestNoEarlyData(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	cache := &anyName{}
	c := w.config(auth, "http/1.1")
	c.ClientSessionCache = cache
	conn := w.mustHandshake(t, c)
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", auth)
	if _, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil {
		t.Fatal(err)
	}
	if cache.state == nil {
		t.Fatal("no ticket")
	}
	_, state, err := cache.state.ResumptionState()
	if err != nil {
		t.Fatal(err)
	}
	if state.EarlyData {
		t.Error("the ticket allows early data")
	}
}

// The handler of a card host judges certificates, so it gets every request: without one, with an expired one, with one of an authority
// that nobody knows. Other hosts ask for none.
func TestClientCertificates(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	expired := certificate(t, time.Date(2000, 6, 1, 0, 0, 0, 0, time.UTC), "expired card")
	unknown := certificate(t, farFuture, "card of nobody")
	for _, tt := range []struct {
		host string
		cert *tls.Certificate
		want string
	}{
		{card, nil, "nobody"}, {card, &expired, "expired card"}, {card, &unknown, "card of nobody"},
		{browser, nil, "nobody"}, {browser, &expired, "expired card"}, {browser, &unknown, "card of nobody"},
		{service, nil, "nobody"}, {service, &expired, "expired card"}, {service, &unknown, "card of nobody"},
		{auth, &unknown, "nobody"}, {mail, &unknown, "nobody"},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			if tt.host == browser && version == tls.VersionTLS13 {
				continue
			}
			t.Run(fmt.Sprint(tt.host, " ", tt.want, " ", tls.VersionName(version)), func(t *testing.T) {
				asked := false
				c := w.config(tt.host)
				c.MinVersion, c.MaxVersion = version, version
				c.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
					asked = true
					if tt.host == service {
						if len(info.AcceptableCAs) != 0 { // a program's certificate may be of its own making
							t.Errorf("authorities named = %q, want none", info.AcceptableCAs)
						}
					} else if len(info.AcceptableCAs) != 1 || !strings.Contains(string(info.AcceptableCAs[0]), "AC of cards") {
						t.Errorf("authorities named = %q, want the one of cards", info.AcceptableCAs)
					}
					if tt.cert == nil {
						return &tls.Certificate{}, nil
					}
					return tt.cert, nil
				}
				conn := w.mustHandshake(t, c)
				fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", tt.host)
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(res.Body)
				if got, want := string(body), tt.host+" HTTP/1.1 "+tt.want; got != want {
					t.Errorf("handler saw %q, want %q", got, want)
				}
				if want := tt.host == card || tt.host == browser || tt.host == service; asked != want {
					t.Errorf("asked for a certificate: %v, want %v", asked, want)
				}
			})
		}
	}
}

// A certificate that the client cannot use the key of proves nothing: the handshake fails.
func TestCertificateWithoutItsKey(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	victim, thief := certificate(t, farFuture, "victim"), certificate(t, farFuture, "thief")
	victim.PrivateKey = thief.PrivateKey
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := w.config(card)
		c.MinVersion, c.MaxVersion = version, version
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &victim, nil }
		conn, err := w.handshake(t, c)
		if err != nil {
			continue
		}
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", card) // in TLS 1.3 the refusal comes after the client's last message
		if res, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			t.Errorf("%s: answer %s, want none", tls.VersionName(version), res.Status)
		}
	}
}
