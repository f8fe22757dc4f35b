package proxy_test

import (
	"context"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"promess/authgw/proxy"
)

// wantObserved waits until n requests were told of: the last is when its handler returns, which may be after its answer was read.
func wantObserved(t *testing.T, g *gate, n int) []observation {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if got := g.observations(); len(got) >= n || time.Now().After(end) {
			if len(got) != n {
				t.Fatalf("told of %d requests, want %d: %v", len(got), n, got)
			}
			return got
		}
	}
}

func TestEachRequestIsToldOfOnce(t *testing.T) {
	g := &gate{identify: func(r *http.Request) (proxy.Identity, error) {
		if r.URL.Path == "/nobody" {
			return proxy.Identity{}, proxy.ErrNoSession
		}
		return jeanne(), nil
	}}
	w := newWorld(t, g, serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/early":
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusTeapot)
		case "/cut":
			panic(http.ErrAbortHandler)
		}
	}))
	c := w.client(t, "http/1.1")
	for i, test := range []struct {
		path string
		want int
	}{
		{"/", http.StatusOK}, {"/early", http.StatusTeapot}, {"/nobody", http.StatusUnauthorized}, {"/cut", http.StatusBadGateway},
	} {
		do(t, c, request(t, http.MethodGet, test.path, nil))
		got := wantObserved(t, g, i+1)[i]
		if got.status != test.want {
			t.Errorf("%s: told of %d, want %d", test.path, got.status, test.want)
		}
	}
}

func TestTimeThatIsToldIsThatToTheHead(t *testing.T) {
	g := &gate{}
	rest := make(chan struct{})
	w := newWorld(t, g, serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-rest
	}))
	end := sync.OnceFunc(func() { close(rest) })
	defer end()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	res, err := w.client(t, "http/1.1").Do(request(t, http.MethodGet, "/", nil).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	head := time.Since(began) // the proxy has taken less: it began later, and had sent the head by then
	time.Sleep(head)          // what follows the head takes as long again, whatever that is here
	end()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if got := wantObserved(t, g, 1)[0]; got.took > head || got.took <= 0 {
		t.Errorf("the head took %v, want less than %v", got.took, head)
	}
}

func TestWebSocketIsToldOfByItsHead(t *testing.T) {
	g := &gate{}
	w := newWorld(t, g, socketService(t, new(atomic.Int32), echo))
	conn, br := w.socket(t)
	io.WriteString(conn, "ping")
	if _, err := io.ReadFull(br, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if got := wantObserved(t, g, 1)[0]; got.status != http.StatusSwitchingProtocols {
		t.Errorf("told of %d, want 101", got.status)
	}
}

func TestClientThatGoesIsToldOf(t *testing.T) {
	g := &gate{}
	reached, done := make(chan struct{}), make(chan struct{})
	w := newWorld(t, g, serve(t, func(_ http.ResponseWriter, r *http.Request) {
		close(reached)
		<-done
	}))
	defer close(done)
	conn := w.open(t)
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
	within(t, reached, "the request at the service")
	conn.Close()
	if got := wantObserved(t, g, 1)[0]; got.status != 0 {
		t.Errorf("told of %d, want 0: nobody heard an answer", got.status)
	}
}
