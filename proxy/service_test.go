package proxy_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// serve starts a service and returns its URL.
func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s.URL
}

// newBubble is newWorld without a network, to be called in a bubble.
func newBubble(t testing.TB, g *gate, h http.HandlerFunc) *world {
	t.Helper()
	service, listener := newPipeListener(), newPipeListener()
	server := &http.Server{Handler: h}
	go server.Serve(service)
	t.Cleanup(func() { server.Close() })
	w := newWorldOn(t, g, "http://service.test", listener)
	w.dial = listener.dial
	w.proxy.TestOnlyTransport().DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return service.dial(ctx) }
	return w
}

// within receives from c or fails.
func within[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
	panic("unreachable")
}

// holder bounds the requests of a session, which a test ends.
type holder struct {
	end      context.CancelFunc
	released chan struct{}
	over     context.Context
}

func newHolder() *holder {
	h := &holder{released: make(chan struct{}, 16)}
	h.over, h.end = context.WithCancel(context.Background())
	return h
}

// hold is the Hold of an identity.
func (h *holder) hold(ctx context.Context) (context.Context, func()) {
	held, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(h.over, cancel)
	return held, func() { stop(); cancel(); h.released <- struct{}{} }
}
