package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"promess/authgw/proxy"
)

// large is more than may be held in memory; roomy is what may be.
const (
	large = 48 << 20
	roomy = 24 << 20
)

// filler is n bytes of nothing.
func filler(n int64) io.Reader { return io.LimitReader(zeros{}, n) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// heap notes how much memory is in use at most, while what it counts passes.
type heap struct {
	base, peak uint64
	passed     int64
}

func newHeap() *heap {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return &heap{base: m.HeapAlloc}
}

func (h *heap) Write(p []byte) (int, error) {
	before := h.passed >> 21
	h.passed += int64(len(p))
	if h.passed>>21 != before {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		h.peak = max(h.peak, m.HeapAlloc)
	}
	return len(p), nil
}

func (h *heap) check(t *testing.T) {
	t.Helper()
	if h.passed != large {
		t.Errorf("%d bytes passed, want %d", h.passed, large)
	}
	if h.peak > h.base+roomy {
		t.Errorf("%d bytes of memory in use, want at most %d", h.peak-h.base, roomy)
	}
}

func TestLargeBodiesAreNotKept(t *testing.T) {
	for _, proto := range protocols {
		t.Run("upload over "+proto, func(t *testing.T) {
			memory := newHeap()
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(memory, r.Body); err != nil {
					t.Error(err)
				}
				w.WriteHeader(http.StatusCreated)
			})
			w := newWorld(t, &gate{}, url)
			res, _ := do(t, w.client(t, proto), request(t, "PUT", "/", filler(large)))
			if res.StatusCode != http.StatusCreated {
				t.Errorf("status = %d, want 201", res.StatusCode)
			}
			memory.check(t)
		})
		t.Run("download over "+proto, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", fmt.Sprint(large))
				io.Copy(w, filler(large))
			})
			w := newWorld(t, &gate{}, url)
			memory := newHeap()
			res, err := w.client(t, proto).Do(request(t, "GET", "/", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if _, err := io.Copy(memory, res.Body); err != nil {
				t.Fatal(err)
			}
			memory.check(t)
		})
	}
}

// dribble is a body that comes in pieces, with a pause before each; then it ends, or, as stalls says, never does.
type dribble struct {
	pieces int
	pause  time.Duration
	stalls bool
	closed chan struct{}
}

func (d *dribble) Read(p []byte) (int, error) {
	if d.pieces == 0 {
		if d.stalls {
			<-d.closed
		}
		return 0, io.EOF
	}
	d.pieces--
	time.Sleep(d.pause) // of the bubble: no time passes
	p[0] = 'a'
	return 1, nil
}

func (d *dribble) Close() error {
	select {
	case <-d.closed:
	default:
		close(d.closed)
	}
	return nil
}

func TestSlowRequests(t *testing.T) {
	for _, proto := range protocols {
		t.Run("a body that stalls over "+proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &gate{}
				w := newBubble(t, g, func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
				body := &dribble{pieces: 1, stalls: true, closed: make(chan struct{})}
				defer body.Close()
				began := time.Now()
				res, err := w.client(t, proto).Do(request(t, "POST", "/", body))
				if err != nil {
					t.Fatalf("after %v: %v", time.Since(began), err)
				}
				res.Body.Close()
				wantRefusal(t, g, proxy.Stalled)
				if took := time.Since(began); res.StatusCode != 408 || took != 30*time.Second {
					t.Errorf("status %d after %v, want 408 after 30 s", res.StatusCode, took)
				}
			})
		})
		t.Run("a body that takes minutes but moves on over "+proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, &gate{}, func(w http.ResponseWriter, r *http.Request) {
					n, err := io.Copy(io.Discard, r.Body)
					fmt.Fprint(w, n, err)
				})
				res, err := w.client(t, proto).Do(request(t, "POST", "/", &dribble{pieces: 20, pause: 20 * time.Second, closed: make(chan struct{})}))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if body, err := io.ReadAll(res.Body); string(body) != "20 <nil>" || err != nil {
					t.Errorf("answer = %q, %v, want all of the body", body, err)
				}
			})
		})
		// The time for the body must not outlive the body: a service may take 45 s to answer a form, and minutes to send what was asked for.
		for _, kind := range []string{"of a stated length", "of an unknown length"} {
			t.Run("a long answer to a body "+kind+" over "+proto, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newBubble(t, &gate{}, func(w http.ResponseWriter, r *http.Request) {
						io.Copy(io.Discard, r.Body)
						time.Sleep(44 * time.Second)
						for range 10 {
							io.WriteString(w, "a")
							w.(http.Flusher).Flush()
							time.Sleep(50 * time.Second)
						}
					})
					var body io.Reader = strings.NewReader("name=value")
					if kind == "of an unknown length" {
						body = io.MultiReader(body)
					}
					began := time.Now()
					res, err := w.client(t, proto).Do(request(t, "POST", "/", body))
					if err != nil {
						t.Fatalf("after %v: %v", time.Since(began), err)
					}
					defer res.Body.Close()
					if body, err := io.ReadAll(res.Body); string(body) != strings.Repeat("a", 10) || err != nil {
						t.Errorf("after %v: answer = %q, %v, want all of it", time.Since(began), body, err)
					}
				})
			})
		}
	}
}

// A client that takes nothing of a large answer is cut off, and the service with it.
func TestClientThatStopsReading(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ended := make(chan time.Duration, 1)
				w := newBubble(t, &gate{}, func(w http.ResponseWriter, r *http.Request) {
					// The head goes first, and the bubble's clock with it: ReverseProxy flushes it from a goroutine that would otherwise
					// wait for the write that hangs, in a mutex, and with that the clock of the bubble stands still.
					w.(http.Flusher).Flush()
					time.Sleep(time.Millisecond)
					io.Copy(w, filler(large))
					ended <- time.Since(began)
				})
				res, err := w.client(t, proto).Do(request(t, "GET", "/", nil))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if took := <-ended; took < 30*time.Second || took > time.Minute {
					t.Errorf("the service was held for %v, want 30 s and a little", took)
				}
				if _, err := io.Copy(io.Discard, res.Body); err == nil {
					t.Error("the answer ended well, want it cut off")
				}
			})
		})
	}
}

// A service may answer before it has the whole body, and go on reading. What still reads the body for it must not touch a request that
// is over: over HTTP/2, giving it more time then would be a nil pointer, and the end of the process.
func TestAnswerBeforeTheEndOfTheBody(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			answered := make(chan struct{}, 1)
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				http.NewResponseController(w).EnableFullDuplex()
				w.Header().Set("Content-Length", "4")
				w.WriteHeader(http.StatusRequestEntityTooLarge)
				io.WriteString(w, "much")
				w.(http.Flusher).Flush()
				select {
				case <-answered: // the request is over, and the transport waits for room to send more of it
				case <-r.Context().Done():
				case <-time.After(patience):
				}
				io.Copy(io.Discard, r.Body)
			})
			w := newWorld(t, &gate{}, url)
			client := w.client(t, proto)
			for range 5 {
				res, _ := do(t, client, request(t, "POST", "/", filler(32<<20)))
				if res.StatusCode != http.StatusRequestEntityTooLarge {
					t.Errorf("status = %d, want 413", res.StatusCode)
				}
				answered <- struct{}{}
			}
		})
	}
}

// RFC 6455, section 1.3: the key and what a server makes of it.
const (
	socketKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	socketAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// socketService echoes on a WebSocket; conns counts the connections that it got.
func socketService(t testing.TB, conns *atomic.Int32, onSocket func(net.Conn, *bufio.ReadWriter)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				conns.Add(1)
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Upgrade") != "websocket" {
				io.WriteString(w, "page")
				return
			}
			conn, brw, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"+
				"X-Authgw-User: evil\r\nSet-Cookie: __Host-authgw=evil\r\nX-Seen: %s\r\n\r\n", socketAccept, r.Header.Get("X-Authgw-User"))
			onSocket(conn, brw)
		}),
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return "http://" + l.Addr().String()
}

func echo(conn net.Conn, brw *bufio.ReadWriter) { io.Copy(conn, brw) }

// socketHead is a WebSocket handshake as a browser sends it, with these lines for upgrade and origin.
func socketHead(lines string) string {
	return "GET /socket HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " + socketKey + "\r\nSec-WebSocket-Version: 13\r\n" + lines + "\r\n"
}

const goodSocket = "Upgrade: websocket\r\nOrigin: " + origin + "\r\n"

// socket opens a WebSocket.
func (w *world) socket(t testing.TB) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn := w.open(t)
	io.WriteString(conn, socketHead(goodSocket))
	br := bufio.NewReader(conn)
	res, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != socketAccept {
		t.Fatalf("answer = %v, want 101 with the service's Sec-WebSocket-Accept", res)
	}
	if res.Header.Get("X-Authgw-User") != "" || res.Header.Get("Set-Cookie") != "" || res.Header.Get("X-Seen") != "u-7Q2" {
		t.Errorf("headers = %v, want the service to have heard of u-7Q2 and to say nothing of it", res.Header)
	}
	return conn, br
}

func TestWebSocket(t *testing.T) {
	var conns atomic.Int32
	w := newWorld(t, &gate{}, socketService(t, &conns, echo))
	conn, br := w.socket(t)
	for _, frame := range []string{"\x81\x05Hello", "\x82\x03\x00\xff\x7f"} { // RFC 6455, section 5.7
		io.WriteString(conn, frame)
		got := make([]byte, len(frame))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != frame {
			t.Errorf("echo = %q, %v, want %q", got, err, frame)
		}
	}
	// B12: the connection that was a WebSocket is never a page's.
	conn.Close()
	for range 3 {
		if _, body := do(t, w.client(t, "http/1.1"), request(t, "GET", "/", nil)); body != "page" {
			t.Errorf("page = %q", body)
		}
	}
	if got := conns.Load(); got != 2 {
		t.Errorf("the service got %d connections, want one for the WebSocket and one for the pages", got)
	}
}

// B12, B15: with h2c a client would speak to the service past the gateway; a WebSocket of another site would carry the person's cookie.
func TestUpgradesThatAreNotLetThrough(t *testing.T) {
	const from = "Origin: " + origin + "\r\n"
	for _, tt := range []struct{ name, head string }{
		{"h2c", socketHead("Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n" + from)},
		{"h2c behind websocket", socketHead("Upgrade: websocket, h2c\r\n" + from)},
		{"h2c in a second line", socketHead("Upgrade: websocket\r\nUpgrade: h2c\r\n" + from)},
		{"TLS", socketHead("Upgrade: TLS/1.0\r\n" + from)},
		{"an empty one", socketHead("Upgrade: \r\n" + from)},
		{"a WebSocket by POST", strings.Replace(socketHead(goodSocket), "GET", "POST", 1)},
		{"a WebSocket of nobody", socketHead("Upgrade: websocket\r\n")},
		{"a WebSocket of another site", socketHead("Upgrade: websocket\r\nOrigin: https://evil.test\r\n")},
		{"a WebSocket of a site whose name begins alike", socketHead("Upgrade: websocket\r\nOrigin: " + origin + ".evil.test\r\n")},
		{"a WebSocket of the same host without TLS", socketHead("Upgrade: websocket\r\nOrigin: http://" + host + "\r\n")},
		{"a WebSocket of another port", socketHead("Upgrade: websocket\r\nOrigin: " + origin + ":8443\r\n")},
		{"a WebSocket of a sandbox", socketHead("Upgrade: websocket\r\nOrigin: null\r\n")},
		{"a WebSocket of two origins", socketHead(goodSocket + "Origin: https://evil.test\r\n")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			service := newRecorder(t)
			g := &gate{}
			w := newWorld(t, g, service.url)
			conn := w.open(t)
			io.WriteString(conn, tt.head)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != 403 {
				t.Errorf("status = %d, want 403", res.StatusCode)
			}
			wantRefusal(t, g, proxy.Forbidden)
			if got := service.messages(); len(got) != 0 {
				t.Errorf("the service got %q, want nothing", got)
			}
		})
	}
}

// held is a gate whose one session the holder ends.
func held(h *holder) *gate {
	return &gate{identify: func(*http.Request) (proxy.Identity, error) {
		id := jeanne()
		id.Hold = h.hold
		return id, nil
	}}
}

// B15: when the session ends, its WebSockets end, on both sides, also one whose client takes nothing.
func TestWebSocketEndsWithTheSession(t *testing.T) {
	t.Run("an idle one", func(t *testing.T) {
		var conns atomic.Int32
		ended := make(chan struct{}, 1)
		h := newHolder()
		w := newWorld(t, held(h), socketService(t, &conns, func(conn net.Conn, brw *bufio.ReadWriter) {
			echo(conn, brw)
			ended <- struct{}{}
		}))
		_, br := w.socket(t)
		h.end()
		within(t, ended, "the end at the service")
		within(t, h.released, "release")
		if _, err := br.ReadByte(); err == nil {
			t.Error("the client read more, want the end")
		}
	})
	t.Run("one whose client takes nothing", func(t *testing.T) {
		var conns atomic.Int32
		full := make(chan struct{}, 1)
		h := newHolder()
		w := newWorld(t, held(h), socketService(t, &conns, func(conn net.Conn, _ *bufio.ReadWriter) {
			buf := make([]byte, 64<<10)
			for { // until nothing more fits between here and the client
				conn.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
				if _, err := conn.Write(buf); err != nil {
					break
				}
			}
			full <- struct{}{}
			io.Copy(io.Discard, conn)
		}))
		w.socket(t)
		within(t, full, "full buffers")
		h.end()
		within(t, h.released, "release")
	})
}

// B15: a stream of events comes as it is sent, and ends with the session.
func TestEventStream(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			next, ended := make(chan string), make(chan struct{}, 1)
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
				w.(http.Flusher).Flush()
				for {
					select {
					case event := <-next:
						io.WriteString(w, "data: "+event+"\n\n")
						w.(http.Flusher).Flush()
					case <-r.Context().Done():
						ended <- struct{}{}
						return
					}
				}
			})
			h := newHolder()
			w := newWorld(t, held(h), url)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			res, err := w.client(t, proto).Do(request(t, "GET", "/events", nil).WithContext(ctx)) // returns with the head, before any event
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			br := bufio.NewReader(res.Body)
			for _, event := range []string{"one", "two"} {
				next <- event
				if line, err := br.ReadString('\n'); line != "data: "+event+"\n" || err != nil {
					t.Fatalf("line = %q, %v, want event %q", line, err, event)
				}
				br.ReadString('\n')
			}
			h.end()
			within(t, ended, "the end at the service")
			within(t, h.released, "release")
			if _, err := br.ReadByte(); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("the stream ended with %v, want it cut off", err)
			}
		})
	}
}

// An event stream may be silent for longer than any time of the listener.
func TestSilentEventStream(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBubble(t, &gate{}, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					w.(http.Flusher).Flush()
					for range 3 {
						time.Sleep(20 * time.Minute)
						io.WriteString(w, "data\n")
						w.(http.Flusher).Flush()
					}
				})
				res, err := w.client(t, proto).Do(request(t, "GET", "/", nil))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if body, err := io.ReadAll(res.Body); string(body) != "data\ndata\ndata\n" || err != nil {
					t.Errorf("stream = %q, %v, want three events", body, err)
				}
			})
		})
	}
}
