package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"promess/authgw/proxy"
)

// wantRefusal fails unless the gate was asked exactly once to refuse, for this reason.
func wantRefusal(t testing.TB, g *gate, want proxy.Refusal) {
	t.Helper()
	if got := g.refused(); !slices.Equal(got, []proxy.Refusal{want}) {
		t.Errorf("refusals = %v, want one of %v", got, want)
	}
}

// B10: a session store that cannot be asked lets nobody in.
func TestUnknownIdentityFailsClosed(t *testing.T) {
	service := newRecorder(t)
	g := &gate{identify: func(*http.Request) (proxy.Identity, error) {
		return jeanne(), errors.New("database is locked") // even with somebody in the other hand
	}}
	w := newWorld(t, g, service.url)
	res, _ := do(t, w.client(t, "h2"), request(t, "GET", "/", nil))
	if res.StatusCode != 503 {
		t.Errorf("status = %d, want 503", res.StatusCode)
	}
	wantRefusal(t, g, proxy.Unavailable)
	if got := service.messages(); len(got) != 0 {
		t.Errorf("the service got %q, want nothing", got)
	}
}

func TestWrappedErrNoSessionIsNoSession(t *testing.T) {
	service := newRecorder(t)
	g := &gate{identify: func(*http.Request) (proxy.Identity, error) {
		return proxy.Identity{}, fmt.Errorf("find session: %w", proxy.ErrNoSession)
	}}
	w := newWorld(t, g, service.url)
	do(t, w.client(t, "h2"), request(t, "GET", "/", nil))
	wantRefusal(t, g, proxy.NoSession)
}

func TestServiceThatIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for name, backend := range map[string]string{"refuses connections": "http://" + addr, "has no address": "http://service.invalid"} {
		t.Run(name, func(t *testing.T) {
			g := &gate{}
			w := newWorld(t, g, backend)
			if name == "has no address" {
				w.proxy.TestOnlyTransport().DialContext = func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "service.invalid", IsNotFound: true}}
				}
			}
			do(t, w.client(t, "http/1.1"), request(t, "GET", "/", nil))
			wantRefusal(t, g, proxy.BackendDown)
		})
	}
}

// B14: a service, or who stands in for it, cannot fill the gateway's memory with headers, nor confuse it with nonsense.
func TestAnswersThatAreNone(t *testing.T) {
	for _, tt := range []struct{ name, answer string }{
		{"a header of 300 KiB", "HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("a", 300<<10) + "\r\n\r\n"},
		{"headers of 300 KiB together", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Many: "+strings.Repeat("a", 1000)+"\r\n", 300) + "\r\n"},
		{"a header without end", "HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("a", 1<<20)},
		{"early answers without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </"+strings.Repeat("a", 1000)+">\r\n\r\n", 300)},
		{"another protocol", "SSH-2.0-OpenSSH_9.9\r\n"},
		{"nothing", ""},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"},
		{"a change of protocol that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						conn.SetDeadline(time.Now().Add(patience))
						conn.Read(make([]byte, 4096))
						io.WriteString(conn, tt.answer)
						if tt.answer != "" {
							io.Copy(io.Discard, conn) // until the gateway has had enough
						}
					}()
				}
			}()
			g := &gate{}
			w := newWorld(t, g, "http://"+l.Addr().String())
			w.proxy.TestOnlyTransport().ResponseHeaderTimeout = patience
			res, _ := do(t, w.client(t, "http/1.1"), request(t, "POST", "/", strings.NewReader("a")))
			if res.StatusCode != 502 {
				t.Errorf("status = %d, want 502", res.StatusCode)
			}
			wantRefusal(t, g, proxy.BackendDown)
		})
	}
}

func TestServiceThatIsSlow(t *testing.T) {
	for _, proto := range protocols {
		for _, method := range []string{"GET", "POST"} {
			t.Run(method+" over "+proto, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := &gate{}
					w := newBubble(t, g, func(_ http.ResponseWriter, r *http.Request) {
						io.Copy(io.Discard, r.Body)
						<-r.Context().Done()
					})
					began := time.Now()
					var body io.Reader
					if method == "POST" {
						body = strings.NewReader("a")
					}
					res, err := w.client(t, proto).Do(request(t, method, "/", body))
					if err != nil {
						t.Fatalf("after %v: %v", time.Since(began), err)
					}
					res.Body.Close()
					wantRefusal(t, g, proxy.BackendSlow)
					if took := time.Since(began); res.StatusCode != 504 || took != 45*time.Second {
						t.Errorf("status %d after %v, want 504 after 45 s", res.StatusCode, took)
					}
				})
			})
		}
	}
}

func TestSessionThatEndsBeforeTheAnswer(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			arrived := make(chan struct{}, 1)
			url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				<-r.Context().Done()
			})
			h := newHolder()
			g := &gate{identify: func(*http.Request) (proxy.Identity, error) {
				id := jeanne()
				id.Hold = h.hold
				return id, nil
			}}
			w := newWorld(t, g, url)
			go func() { <-arrived; h.end() }()
			res, _ := do(t, w.client(t, proto), request(t, "GET", "/", nil))
			if res.StatusCode != 401 {
				t.Errorf("status = %d, want 401", res.StatusCode)
			}
			wantRefusal(t, g, proxy.NoSession)
			within(t, h.released, "release")
		})
	}
}

// A client that has gone takes its request to the service with it, and nobody is told of a service that failed.
func TestClientThatGoes(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			arrived, ended := make(chan struct{}, 1), make(chan struct{}, 1)
			url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				arrived <- struct{}{}
				<-r.Context().Done()
				ended <- struct{}{}
			})
			g := &gate{}
			w := newWorld(t, g, url)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() { <-arrived; cancel() }()
			if res, err := w.client(t, proto).Do(request(t, "GET", "/", nil).WithContext(ctx)); err == nil {
				res.Body.Close()
				t.Errorf("an answer, %s", res.Status)
			}
			within(t, ended, "the end at the service")
			if got := g.refused(); len(got) != 0 {
				t.Errorf("refusals = %v, want none", got)
			}
		})
	}
}

func TestNew(t *testing.T) {
	good := func() proxy.Config {
		return proxy.Config{Service: "mail", Origin: origin, Backend: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, Gate: &gate{}, Log: slog.New(slog.DiscardHandler)}
	}
	if _, err := proxy.New(good()); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*proxy.Config)
		want   string
	}{
		{"no backend", func(c *proxy.Config) { c.Backend = nil }, `service "mail": the backend is not an http or https URL`},
		{"a backend of another scheme", func(c *proxy.Config) { c.Backend.Scheme = "ftp" }, `service "mail": the backend is not an http or https URL`},
		{"a backend without a host", func(c *proxy.Config) { c.Backend.Host = "" }, `service "mail": the backend is not an http or https URL`},
		{"no gate", func(c *proxy.Config) { c.Gate = nil }, "proxy: Gate, Log and Origin are required"},
		{"no log", func(c *proxy.Config) { c.Log = nil }, "proxy: Gate, Log and Origin are required"},
		{"no origin", func(c *proxy.Config) { c.Origin = "" }, "proxy: Gate, Log and Origin are required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := good()
			tt.change(&c)
			if _, err := proxy.New(c); err == nil || err.Error() != tt.want {
				t.Errorf("New = %v, want %s", err, tt.want)
			}
		})
	}
}
