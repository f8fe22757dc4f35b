package proxy_test

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// pipeBuffer is what one direction of a pipe holds, as the kernel would of a socket.
const pipeBuffer = 64 << 10

// newPipe returns the two ends of a connection without a network. Other than net.Pipe it has buffers: two TLS connections that say
// goodbye at once would wait for each other.
func newPipe() (net.Conn, net.Conn) {
	a, b := newHalf(), newHalf()
	return &pipeConn{in: a, out: b}, &pipeConn{in: b, out: a}
}

// half is one direction of a pipe.
type half struct {
	mu          sync.Mutex
	buf         []byte
	closed      bool
	read, write time.Time // deadlines of its two ends
	changed     chan struct{}
}

func newHalf() *half { return &half{changed: make(chan struct{})} }

// change runs f and wakes who waits.
func (h *half) change(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
	close(h.changed)
	h.changed = make(chan struct{})
}

// wait runs try until it says that it is done, or until the deadline.
func (h *half) wait(deadline *time.Time, try func() (n int, err error, done bool)) (int, error) {
	for {
		h.mu.Lock()
		if !deadline.IsZero() && !time.Now().Before(*deadline) {
			h.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		n, err, done := try()
		if done {
			close(h.changed)
			h.changed = make(chan struct{})
			h.mu.Unlock()
			return n, err
		}
		changed, left := h.changed, time.Until(*deadline)
		h.mu.Unlock()
		var timeout <-chan time.Time
		if left > 0 {
			timeout = time.After(left)
		}
		select {
		case <-changed:
		case <-timeout:
		}
	}
}

// pipeConn is one end of a pipe.
type pipeConn struct{ in, out *half }

var _ net.Conn = (*pipeConn)(nil)

func (c *pipeConn) Read(p []byte) (int, error) {
	return c.in.wait(&c.in.read, func() (int, error, bool) {
		n := copy(p, c.in.buf)
		c.in.buf = c.in.buf[n:]
		switch {
		case n > 0 || len(p) == 0:
			return n, nil, true
		case c.in.closed:
			return 0, io.EOF, true
		}
		return 0, nil, false
	})
}

func (c *pipeConn) Write(p []byte) (int, error) {
	written := 0
	for {
		n, err := c.out.wait(&c.out.write, func() (int, error, bool) {
			if c.out.closed {
				return 0, io.ErrClosedPipe, true
			}
			n := min(len(p)-written, pipeBuffer-len(c.out.buf))
			c.out.buf = append(c.out.buf, p[written:written+n]...)
			return n, nil, n > 0 || len(p) == 0
		})
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}

func (c *pipeConn) Close() error {
	for _, h := range []*half{c.in, c.out} {
		h.change(func() { h.closed = true })
	}
	return nil
}

func (c *pipeConn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *pipeConn) SetReadDeadline(t time.Time) error {
	c.in.change(func() { c.in.read = t })
	return nil
}

func (c *pipeConn) SetWriteDeadline(t time.Time) error {
	c.out.change(func() { c.out.write = t })
	return nil
}

func (c *pipeConn) LocalAddr() net.Addr  { return pipeAddr }
func (c *pipeConn) RemoteAddr() net.Addr { return pipeAddr }

var pipeAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443}

// pipeListener is a listener of pipes, for tests in a bubble of testing/synctest: time passes there only when every goroutine waits for
// another, and a network would be somebody outside.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return pipeAddr }

func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	client, server := newPipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
