package vhost_test

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"promess/authgw/internal/vhost"
)

// word answers every request with a word.
func word(text string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
}

// replaceable is a listener whose hosts a test replaces.
type replaceable struct {
	*world
	server *vhost.Server
	config vhost.Config

	mu     sync.Mutex
	failed []string
}

func (r *replaceable) failures() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.failed...)
}

func startReplaceable(t *testing.T) *replaceable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	own := certificate(t, farFuture, auth, card, mail)
	r := &replaceable{world: &world{log: &log{}, done: make(chan error, 1)}}
	r.config = vhost.Config{
		Hosts: []vhost.Host{
			{Name: auth, Handler: word("old")}, {Name: mail, Handler: word("old mail")}, {Name: card, Client: vhost.CardOfAgent, Handler: word("old card")},
		},
		Certificates: []tls.Certificate{own}, PublicPort: 8443, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		HandshakeFailed: func(reason string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.failed = append(r.failed, reason)
		},
	}
	if r.server, err = vhost.New(r.config); err != nil {
		t.Fatal(err)
	}
	r.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		r.done <- r.server.Serve(ctx, l, 0)
		close(ended)
	}()
	t.Cleanup(func() { stop(); <-ended })
	return r
}

// client keeps one connection, and says by which certificate it was opened.
func (r *replaceable) client(t *testing.T, h2 bool) *http.Client {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	tr := &http.Transport{
		Protocols:       protocols,
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return r.dial(ctx) },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // which certificate it is, the test looks at itself
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

func ask(t *testing.T, c *http.Client, host string) (status int, body string, state *tls.ConnectionState) {
	t.Helper()
	answer, err := c.Get("https://" + host + ":8443/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(data), answer.TLS
}

func TestReplacedHostsServeOpenConnections(t *testing.T) {
	for name, h2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			r := startReplaceable(t)
			open := r.client(t, h2)
			_, body, before := ask(t, open, auth)
			ask(t, open, mail)
			if body != "old" {
				t.Fatalf("answer = %q", body)
			}
			next := r.config
			next.Certificates = []tls.Certificate{certificate(t, farFuture, auth, card, "new.svc.test")}
			next.Hosts = []vhost.Host{
				{Name: auth, Handler: word("new")}, {Name: "new.svc.test", Handler: word("new service")}, {Name: card, Client: vhost.CardOfAgent, Handler: word("new card")},
			}
			if err := r.server.Replace(next); err != nil {
				t.Fatal(err)
			}
			// C6: the rules of a connection that is open are the new ones, from the next request on.
			_, body, after := ask(t, open, auth)
			if body != "new" || !after.PeerCertificates[0].Equal(before.PeerCertificates[0]) {
				t.Errorf("open connection: answer = %q, the same certificate = %t; want the new host on the connection that was open",
					body, after.PeerCertificates[0].Equal(before.PeerCertificates[0]))
			}
			if status, body, _ := ask(t, open, mail); status != http.StatusMisdirectedRequest {
				t.Errorf("a host that has gone = %d %q, want 421", status, body)
			}
			_, body, fresh := ask(t, r.client(t, h2), auth)
			if body != "new" || !fresh.PeerCertificates[0].Equal(next.Certificates[0].Leaf) {
				t.Errorf("new connection: answer = %q, the new certificate = %t", body, fresh.PeerCertificates[0].Equal(next.Certificates[0].Leaf))
			}
			if _, body, _ := ask(t, r.client(t, h2), "new.svc.test"); body != "new service" {
				t.Errorf("a host that has come = %q", body)
			}
		})
	}
}

func TestHostsThatCannotServeReplaceNothing(t *testing.T) {
	r := startReplaceable(t)
	for name, change := range map[string]func(c *vhost.Config){
		"no certificate":                func(c *vhost.Config) { c.Certificates = nil },
		"a certificate for other names": func(c *vhost.Config) { c.Certificates = []tls.Certificate{certificate(t, farFuture, auth)} },
		"a certificate without a leaf":  func(c *vhost.Config) { c.Certificates = []tls.Certificate{{}} },
		"a host twice":                  func(c *vhost.Config) { c.Hosts = append(c.Hosts[:1:1], c.Hosts[0]) },
	} {
		t.Run(name, func(t *testing.T) {
			next := r.config
			change(&next)
			if err := r.server.Replace(next); err == nil {
				t.Error("it replaces")
			}
			if _, body, _ := ask(t, r.client(t, false), mail); body != "old mail" {
				t.Errorf("answer = %q, want the old host", body)
			}
		})
	}
}

// A5: a ticket carries no card from before a reload to after it, since a card host gives none, before as after; a ticket of another host
// opens no card host, whatever was replaced in between.
func TestA5NoTicketOfACardHostOutlivesAReload(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			r := startReplaceable(t)
			presented := certificate(t, farFuture, "card of a person")
			// One cache and one key of it for both hosts: the client offers what it has, to whomever.
			cache := tls.NewLRUClientSessionCache(8)
			connect := func(host string) tls.ConnectionState {
				t.Helper()
				conn, err := r.handshake(t, &tls.Config{
					ServerName: host, InsecureSkipVerify: true, MinVersion: version, MaxVersion: version, ClientSessionCache: sameKey{cache},
					Certificates: []tls.Certificate{presented},
				})
				if err != nil {
					t.Fatal(err)
				}
				io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
				io.Copy(io.Discard, conn) // with TLS 1.3, tickets come after the handshake
				return conn.ConnectionState()
			}
			connect(card)
			if connect(card).DidResume {
				t.Fatal("a card host resumes before the reload")
			}
			connect(auth)
			if !connect(auth).DidResume {
				t.Fatal("the attack tests nothing: no host gives tickets")
			}
			if err := r.server.Replace(r.config); err != nil {
				t.Fatal(err)
			}
			if first, second := connect(card), connect(card); first.DidResume || second.DidResume {
				t.Error("a card host resumes after the reload")
			}
		})
	}
}

// sameKey is a session cache that offers whatever it has.
type sameKey struct{ tls.ClientSessionCache }

func (c sameKey) Get(string) (*tls.ClientSessionState, bool) { return c.ClientSessionCache.Get("any") }

func (c sameKey) Put(_ string, s *tls.ClientSessionState) {
	if s != nil {
		c.ClientSessionCache.Put("any", s)
	}
}

func TestFailedHandshakesAreTold(t *testing.T) {
	r := startReplaceable(t)
	ask(t, r.client(t, false), auth) // one that does not fail
	if _, err := r.handshake(t, &tls.Config{ServerName: "nobody.test", InsecureSkipVerify: true}); err == nil {
		t.Fatal("an unknown name is let in")
	}
	if _, err := r.handshake(t, &tls.Config{ServerName: auth, InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil {
		t.Fatal("TLS 1.1 is spoken")
	}
	conn, err := r.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	conn.Close()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		told := strings.Join(r.failures(), " ")
		if strings.Count(told, "unknown_name") == 1 && strings.Count(told, "handshake") == 2 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("told of %q, want one name that is unknown and two handshakes", told)
		}
	}
}
