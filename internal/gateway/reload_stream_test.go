package gateway_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"promess/authgw/internal/testpki"
)

// RFC 6455, section 1.3: the key and what a server makes of it.
const (
	socketKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	socketAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// echoService answers a WebSocket handshake and then sends back what it gets; it has a page too.
func echoService(t *testing.T, page string) *url.URL {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			io.WriteString(w, page)
			return
		}
		conn, both, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", socketAccept)
		io.Copy(conn, both) // until the gateway closes it
	}))
	t.Cleanup(s.Close)
	return must(t, func() (*url.URL, error) { return url.Parse(s.URL) })
}

// socket opens a WebSocket to the service with the cookies of the person's browser.
func (p *person) socket() (net.Conn, *bufio.Reader) {
	p.t.Helper()
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: p.at.files.pki.ServerRoots(), ServerName: "mail.example.test", NextProtos: []string{"http/1.1"}}}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", p.at.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(2 * time.Minute)) // bounds all that follows
	r := must(p.t, func() (*http.Request, error) { return http.NewRequest(http.MethodGet, mail+"/socket", nil) })
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Origin": mail, "Sec-WebSocket-Key": socketKey, "Sec-WebSocket-Version": "13",
	} {
		r.Header.Set(name, value)
	}
	for _, c := range p.client.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	if err := r.Write(conn); err != nil {
		p.t.Fatal(err)
	}
	read := bufio.NewReader(conn)
	answer, err := http.ReadResponse(read, r)
	if err != nil {
		p.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Sec-WebSocket-Accept") != socketAccept {
		p.t.Fatalf("the handshake is answered with %d, want 101 of the service", answer.StatusCode)
	}
	return conn, read
}

// A WebSocket stays with the service it was opened to while everything is replaced under it, and ends with the session like any other (B15).
func TestB15WebSocketOutlivesAReloadAndEndsWithTheSession(t *testing.T) {
	f := newFiles(t)
	f.config.Services[0].Backend = echoService(t, "the old service")
	r, hangup := f.serve(t)
	p := r.person(t, f.card(t, testpki.Card{}))
	p.logIn()
	_, login, _ := p.visit(http.MethodGet, mail+"/")
	_, enter, _ := p.visit(http.MethodGet, login)
	p.visit(http.MethodGet, enter)
	conn, read := p.socket()
	echoes := func(frame string) {
		t.Helper()
		if _, err := io.WriteString(conn, frame); err != nil {
			t.Fatalf("write: %v", err)
		}
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(read, got); err != nil || string(got) != frame {
			t.Fatalf("echo = %q, %v, want %q", got, err, frame)
		}
	}
	echoes("\x81\x05Hello") // RFC 6455, section 5.7
	for i := range 3 {
		f.certify(t, "*.example.test")
		f.config.Services[0].Backend = echoService(t, fmt.Sprint("service ", i))
		f.save(t)
		hangup <- os.Interrupt
		eventually(t, "reloaded", func() bool { return r.reloads() > i })
		if _, _, body := p.visit(http.MethodGet, mail+"/"); body != fmt.Sprint("service ", i) {
			t.Errorf("reload %d: a page comes from %.100q, want the new backend", i, body)
		}
		echoes("\x82\x03\x00\xff\x7f")
	}
	if r.refusals() != 0 || strings.Contains(r.log.String(), "panic") {
		t.Errorf("log: %s", r.log.String())
	}
	p.visit(http.MethodPost, auth+"/logout")
	if n, err := io.Copy(io.Discard, read); err != nil && strings.Contains(err.Error(), "timeout") {
		t.Errorf("the WebSocket is open after the sign-out: %d bytes, %v", n, err)
	}
}
