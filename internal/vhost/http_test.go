package vhost_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"promess/authgw/internal/vhost"
)

// A4: a request reaches a host by its own handshake only (RFC 9110, section 7.4).
func TestHostIsThatOfTheHandshake(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	for _, tt := range []struct {
		name, sni, line, host string
		want                  int
	}{
		{"the same", auth, "GET / HTTP/1.1", auth, 200},
		{"with the public port", auth, "GET / HTTP/1.1", auth + ":8443", 200},
		{"in mixed case", auth, "GET / HTTP/1.1", "AUTH.test", 200},
		{"in a whole URL, which counts more than the header", auth, "GET https://" + auth + "/ HTTP/1.1", "other.test", 200},
		{"in HTTP/1.0", auth, "GET / HTTP/1.0", auth, 200},
		{"another host", auth, "GET / HTTP/1.1", mail, 421},
		{"a card host by the auth host", auth, "GET / HTTP/1.1", card, 421},
		{"the auth host by a card host", card, "GET / HTTP/1.1", auth, 421},
		{"another host in a whole URL", auth, "GET https://" + mail + "/ HTTP/1.1", auth, 421},
		{"another port", auth, "GET / HTTP/1.1", auth + ":443", 421},
		{"an empty port", auth, "GET / HTTP/1.1", auth + ":", 421},
		{"a trailing dot", auth, "GET / HTTP/1.1", auth + ".", 421},
		{"an unknown host", auth, "GET / HTTP/1.1", "other.test", 421},
		{"an address", auth, "GET / HTTP/1.1", "127.0.0.1:8443", 421},
		{"an empty host", auth, "GET / HTTP/1.1", "", 421},
		{"no host in HTTP/1.0", auth, "GET / HTTP/1.0\r\nX-No-Host: 1", "-", 421},
		{"the server as a whole, of another host", auth, "OPTIONS * HTTP/1.1", card, 421}, // RFC 9110, section 9.3.7
		{"the server as a whole", auth, "OPTIONS * HTTP/1.1", auth, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := w.mustHandshake(t, w.config(tt.sni, "http/1.1"))
			head := tt.line + "\r\nConnection: close\r\nHost: " + tt.host + "\r\n\r\n"
			if tt.host == "-" {
				head = tt.line + "\r\n\r\n"
			}
			io.WriteString(conn, head)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != tt.want {
				t.Errorf("status = %d, want %d", res.StatusCode, tt.want)
			}
			if ran := strings.HasSuffix(string(body), "nobody"); ran != (tt.want == 200) {
				t.Errorf("body = %q: the handler ran: %v", body, ran)
			}
			if got := res.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
				t.Errorf("Strict-Transport-Security = %q, want a year", got)
			}
		})
	}
}

// A4: RFC 9113, section 9.1.1: a browser may reuse an HTTP/2 connection for another name that the certificate covers. It gets 421 and
// asks anew.
func TestHTTP2Coalescing(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	client := w.client(t, auth, "h2")
	if res, body := get(t, client, "https://"+auth+"/"); res.StatusCode != 200 || body != auth+" HTTP/2.0 nobody" {
		t.Fatalf("baseline = %d %q", res.StatusCode, body)
	}
	for _, name := range []string{card, browser, mail, auth + ":1"} {
		if res, body := get(t, client, "https://"+name+"/"); res.StatusCode != 421 || strings.HasSuffix(body, "nobody") {
			t.Errorf("%s on the connection of %s: %d %q, want 421", name, auth, res.StatusCode, body)
		}
	}
}

// A2: the same request over each protocol gets the same answer.
func TestSameAnswerOverEachProtocol(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Method, r.Host, r.URL, r.Header.Get("X-A"), len(r.TLS.PeerCertificates))
	}))
	var answers []string
	for _, proto := range []string{"http/1.1", "h2"} {
		req, err := http.NewRequestWithContext(t.Context(), "PUT", "https://"+mail+":8443/a%2Fb?c;d", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-A", "b")
		res, err := w.client(t, mail, proto).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.Proto[:6] != strings.ToUpper(map[string]string{"http/1.1": "http/1", "h2": "http/2"}[proto]) {
			t.Errorf("protocol = %s, want %s", res.Proto, proto)
		}
		answers = append(answers, fmt.Sprint(res.StatusCode, res.Header.Get("Strict-Transport-Security"), string(body)))
	}
	if answers[0] != answers[1] {
		t.Errorf("answers differ: %q", answers)
	}
}

func TestOversizedHeaders(t *testing.T) {
	w := start(t, 0, http.HandlerFunc(who))
	for _, proto := range []string{"http/1.1", "h2"} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "https://"+auth+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 * vhost.MaxHeader >> 10 {
			req.Header.Set(fmt.Sprint("X-", i), strings.Repeat("a", 1<<10))
		}
		res, err := w.client(t, auth, proto).Do(req)
		if err != nil {
			if proto == "http/1.1" { // of HTTP/2 the client knows the limit, or the server ends the connection
				t.Errorf("%v, want 431", err)
			}
			continue
		}
		res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: status = %d, want 431", proto, res.StatusCode)
		}
	}
}

func TestHandlerThatPanics(t *testing.T) {
	for _, proto := range []string{"http/1.1", "h2"} {
		for _, tt := range []struct {
			name   string
			value  any
			logged bool
		}{{"a fault", "nil map", true}, {"an abort on purpose", http.ErrAbortHandler, false}} {
			t.Run(tt.name+" over "+proto, func(t *testing.T) {
				w := start(t, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/panic" {
						panic(tt.value)
					}
				}))
				client := w.client(t, auth, proto)
				if res, err := client.Post("https://"+auth+"/panic", "", strings.NewReader("a")); err == nil {
					t.Errorf("answer = %s, want none", res.Status)
				}
				if got := strings.Contains(w.log.String(), "a handler panicked"); got != tt.logged {
					t.Errorf("logged = %v, want %v:\n%s", got, tt.logged, w.log)
				}
				if res, _ := get(t, client, "https://"+auth+"/"); res.StatusCode != 200 {
					t.Errorf("the listener is gone: %d", res.StatusCode)
				}
			})
		}
	}
}

func TestGracefulShutdown(t *testing.T) {
	for _, proto := range []string{"http/1.1", "h2"} {
		t.Run("a request may finish over "+proto, func(t *testing.T) {
			arrived, finish := make(chan struct{}), make(chan struct{})
			w := start(t, patience, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(arrived)
				<-finish
				io.WriteString(w, "done")
			}))
			client := w.client(t, auth, proto)
			go func() {
				<-arrived
				w.stop()
				for { // until the listener is closed
					conn, err := w.dial(context.Background())
					if err != nil {
						break
					}
					conn.Close()
				}
				close(finish)
			}()
			if _, body := get(t, client, "https://"+auth+"/"); body != "done" {
				t.Errorf("answer = %q", body)
			}
			if err := <-w.done; err != nil {
				t.Errorf("Serve = %v", err)
			}
		})
		t.Run("one that does not is cut off over "+proto, func(t *testing.T) {
			arrived, ended := make(chan struct{}), make(chan struct{})
			w := start(t, 50*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(arrived)
				<-r.Context().Done()
				close(ended)
			}))
			go func() { <-arrived; w.stop() }()
			if res, err := w.client(t, auth, proto).Get("https://" + auth + "/"); err == nil {
				t.Errorf("answer = %s, want none", res.Status)
			}
			if err := <-w.done; err != nil {
				t.Errorf("Serve = %v", err)
			}
			<-ended
			if !strings.Contains(w.log.String(), "requests were cut off at shutdown") {
				t.Errorf("log = %s", w.log)
			}
		})
	}
	// net/http forgets connections that a handler has taken over: WebSockets.
	t.Run("a connection that was taken over ends with the listener", func(t *testing.T) {
		taken, ended := make(chan struct{}), make(chan struct{})
		w := start(t, patience, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			close(taken)
			<-r.Context().Done()
			close(ended)
		}))
		conn := w.mustHandshake(t, w.config(auth, "http/1.1"))
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", auth)
		<-taken
		w.stop()
		select {
		case <-ended:
		case <-time.After(patience):
			t.Error("the request goes on")
		}
	})
}

func TestServeFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	w := startOn(t, l, 0, http.HandlerFunc(who))
	if err := <-w.done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve = %v, want %v", err, net.ErrClosed)
	}
}

// pipes is a listener without a network, see testing/synctest.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l *pipes) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A26: whoever stalls is let go: in the handshake, in a header, in a body, between requests. Issue 2, bad input: half a request is
// told so, once.
func TestStalls(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	for _, tt := range []struct {
		name string
		say  func(t *testing.T, raw net.Conn, c *tls.Config) (wait func() error)
		want time.Duration
	}{
		{"nothing is said", func(_ *testing.T, raw net.Conn, _ *tls.Config) func() error { return readAll(raw) }, vhost.HeaderTimeout},
		{"half a ClientHello", func(_ *testing.T, raw net.Conn, _ *tls.Config) func() error {
			raw.Write([]byte{22, 3, 1, 2, 0, 1, 0})
			return readAll(raw)
		}, vhost.HeaderTimeout},
		{"half a header", func(t *testing.T, raw net.Conn, c *tls.Config) func() error {
			return answers(say(t, raw, c, "GET / HTTP/1.1\r\nHost: auth.test\r\nX-A"), 408)
		}, vhost.HeaderTimeout},
		{"half a request line", func(t *testing.T, raw net.Conn, c *tls.Config) func() error {
			return answers(say(t, raw, c, "GET /lo"), 408)
		}, vhost.HeaderTimeout},
		{"a header, a byte a second", func(t *testing.T, raw net.Conn, c *tls.Config) func() error {
			conn := say(t, raw, c, "GET / HTTP/1.1\r\nHost: auth.test\r\nX-A: ")
			go func() { // ends with the test
				for t.Context().Err() == nil {
					select {
					case <-time.After(time.Second):
						io.WriteString(conn, "a")
					case <-t.Context().Done():
					}
				}
			}()
			return answers(conn, 408)
		}, vhost.HeaderTimeout},
		{"no request after the handshake", func(t *testing.T, raw net.Conn, c *tls.Config) func() error {
			return answers(say(t, raw, c, "")) // an answer to nothing could be taken for that of the next request
		}, vhost.HeaderTimeout},
		{"half a body", func(t *testing.T, raw net.Conn, c *tls.Config) func() error {
			return readAll(say(t, raw, c, "POST / HTTP/1.1\r\nHost: auth.test\r\nContent-Length: 9\r\n\r\nhalf"))
		}, vhost.ReadTimeout},
		{"no second request", func(t *testing.T, raw net.Conn, c *tls.Config) func() error {
			return answers(say(t, raw, c, "GET / HTTP/1.1\r\nHost: auth.test\r\n\r\n"), 200)
		}, vhost.IdleTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
				w := startOn(t, l, 0, handler)
				client, server := net.Pipe()
				defer client.Close()
				began := time.Now()
				l.conns <- server
				wait := tt.say(t, client, w.config(auth, "http/1.1"))
				if err := wait(); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
					t.Errorf("the connection ended with %v", err)
				}
				if took := time.Since(began); took < tt.want || took > tt.want+6*time.Second { // 5 s: for a farewell of TLS
					t.Errorf("let go after %v, want %v", took, tt.want)
				}
			})
		})
	}
}

// told is a connection that tells when it is closed.
type told struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *told) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// A26: so is who asks, and does not take the answer.
func TestAnswerThatNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		w := startOn(t, l, 0, http.HandlerFunc(who))
		client, server := net.Pipe()
		defer client.Close()
		conn := &told{Conn: server, closed: make(chan struct{})}
		l.conns <- conn
		c := w.config(auth, "http/1.1")
		c.MaxVersion = tls.VersionTLS12 // with TLS 1.3 the server's tickets come after the handshake, and would wait instead
		say(t, client, c, "GET / HTTP/1.1\r\nHost: auth.test\r\n\r\n")
		began := time.Now()
		<-conn.closed
		if took, want := time.Since(began), vhost.WriteTimeout; took < want || took > want+6*time.Second { // 5 s: for a farewell of TLS
			t.Errorf("let go after %v, want %v", took, want)
		}
	})
}

func readAll(c net.Conn) func() error {
	return func() error { _, err := io.Copy(io.Discard, c); return err }
}

// answers reads all answers up to the end of the connection, whose statuses are to be these.
func answers(c net.Conn, want ...int) func() error {
	return func() error {
		var got []int
		for r := bufio.NewReader(c); ; {
			if _, err := r.Peek(1); err != nil { // between two answers
				if !slices.Equal(got, want) {
					return fmt.Errorf("the answers %v, want %v", got, want)
				}
				return err
			}
			res, err := http.ReadResponse(r, nil)
			if err != nil {
				return fmt.Errorf("after the answers %v: %v", got, err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil {
				return err
			}
			got = append(got, res.StatusCode)
		}
	}
}

// say shakes hands and writes, while what comes back is read by the caller.
func say(t *testing.T, raw net.Conn, c *tls.Config, text string) net.Conn {
	t.Helper()
	conn := tls.Client(raw, c)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	go io.WriteString(conn, text) // ends with the connection; a pipe has no room of its own
	return conn
}

func TestLimitBody(t *testing.T) {
	const limit, patient = 10, 100 * time.Millisecond
	handler := vhost.LimitBody(limit, patient, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Begun", "yes") // and it does not ask for the body, whose failure it would be
		if r.Context().Err() != nil {
			t.Error("the handler begins without a client")
		}
	}))
	w := start(t, 0, handler)
	for _, tt := range []struct {
		name, raw string
		want      int
	}{
		{"no body", "GET / HTTP/1.1\r\nHost: auth.test\r\n\r\n", 200},
		{"as much as is allowed", "POST / HTTP/1.1\r\nHost: auth.test\r\nContent-Length: 10\r\n\r\n0123456789", 200},
		{"as much as is allowed, in chunks", "POST / HTTP/1.1\r\nHost: auth.test\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n", 200},
		{"too much, and said so", "POST / HTTP/1.1\r\nHost: auth.test\r\nContent-Length: 11\r\n\r\n01234567890", 413},
		{"a length beyond everything", "POST / HTTP/1.1\r\nHost: auth.test\r\nContent-Length: 9223372036854775807\r\n\r\n", 413},
		{"too much, in chunks", "POST / HTTP/1.1\r\nHost: auth.test\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890\r\n0\r\n\r\n", 413},
		{"a body that does not come", "POST / HTTP/1.1\r\nHost: auth.test\r\nContent-Length: 5\r\n\r\n012", 408},
		{"a chunk that does not come", "POST / HTTP/1.1\r\nHost: auth.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n012", 408},
		{"a broken chunk", "POST / HTTP/1.1\r\nHost: auth.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := w.mustHandshake(t, w.config(auth, "http/1.1"))
			io.WriteString(conn, tt.raw)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.want {
				t.Errorf("status = %d, want %d", res.StatusCode, tt.want)
			}
			if begun := res.Header.Get("Begun") != ""; begun != (tt.want == 200) {
				t.Errorf("the handler has begun: %t", begun)
			}
		})
	}
	t.Run("who sends JSON is answered in JSON", func(t *testing.T) {
		for status, raw := range map[string]string{
			"413 too_large": "Content-Length: 11\r\n\r\n", "408 timeout": "Content-Length: 5\r\n\r\n{", "400 bad_request": "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		} {
			conn := w.mustHandshake(t, w.config(auth, "http/1.1"))
			io.WriteString(conn, "POST / HTTP/1.1\r\nHost: auth.test\r\nContent-Type: application/json; charset=utf-8\r\n"+raw)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			var answer struct{ Error string }
			if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || fmt.Sprint(res.StatusCode, " ", answer.Error) != status {
				t.Errorf("answer = %d %q, %v, want %s", res.StatusCode, answer.Error, err, status)
			}
		}
	})
	t.Run("what has come reaches the handler", func(t *testing.T) {
		w := start(t, 0, vhost.LimitBody(limit, patience, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })))
		for _, proto := range []string{"http/1.1", "h2"} {
			res, err := w.client(t, auth, proto).Post("https://"+auth+"/", "", strings.NewReader("0123456789"))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(body) != "0123456789" {
				t.Errorf("%s: body = %q, %v", proto, body, err)
			}
		}
	})
	t.Run("a body that does not come over h2", func(t *testing.T) {
		r, end := io.Pipe()
		defer end.Close()
		res, err := w.client(t, auth, "h2").Post("https://"+auth+"/", "", r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 408 {
			t.Errorf("status = %d, want 408", res.StatusCode)
		}
	})
}

func TestBodyError(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want int
	}{
		{&http.MaxBytesError{Limit: 1}, 413},
		{fmt.Errorf("read form: %w", &http.MaxBytesError{Limit: 1}), 413},
		{os.ErrDeadlineExceeded, 408},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, 408},
		{io.ErrUnexpectedEOF, 400},
		{errors.New("invalid byte in chunk length"), 400},
	} {
		if got := vhost.BodyError(tt.err); got != tt.want {
			t.Errorf("BodyError(%v) = %d, want %d", tt.err, got, tt.want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	cert := certificate(t, farFuture, auth)
	bare := cert
	bare.Leaf = nil
	for _, tt := range []struct {
		name  string
		hosts []vhost.Host
		certs []tls.Certificate
		want  string
	}{
		{"a host twice, in two cases", []vhost.Host{{Name: auth}, {Name: "AUTH.test"}}, []tls.Certificate{cert}, `host "auth.test" is used twice`},
		{"a host without a certificate", []vhost.Host{{Name: mail}}, []tls.Certificate{cert}, `no server certificate covers host "mail.svc.test"`},
		{"a host without a name", []vhost.Host{{}}, []tls.Certificate{cert}, `no server certificate covers host ""`},
		{"no certificates", []vhost.Host{{Name: auth}}, nil, `no server certificate covers host "auth.test"`},
		{"a certificate that is not parsed", []vhost.Host{{Name: auth}}, []tls.Certificate{bare}, "a server certificate comes without its parsed leaf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := vhost.New(vhost.Config{Hosts: tt.hosts, Certificates: tt.certs, CardIssuers: x509.NewCertPool(), Log: slog.New(slog.DiscardHandler)})
			if err == nil || err.Error() != tt.want {
				t.Errorf("New = %v, want %s", err, tt.want)
			}
		})
	}
}
