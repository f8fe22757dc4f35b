package vhost

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

// listener gives connections that remember whether the time to read ran out.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c}, nil
}

// conn is a connection below TLS.
type conn struct {
	net.Conn
	late atomic.Bool // the last read ran out of time, and nobody has given more since
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.late.Store(true)
	}
	return n, err
}

// SetReadDeadline is what net/http begins each request with. It also ends a read that it does not want any more, by a deadline long
// ago, and gives another one after that.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.late.Store(false)
	return c.Conn.SetReadDeadline(t)
}

// requestTimeout is RFC 9110, section 15.5.9: the request was not complete within the time that the server was prepared to wait.
const requestTimeout = "HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"408 request timeout: the request did not come whole in time\n"

// answerLate answers half a request whose time is over. net/http would close the connection without a word, or call the request a bad
// one. It tells of a connection that becomes active when a request has come, and when a piece of one has and there will be no more.
// A connection on which nothing was said gets no answer: it could be taken for that of the next request. Nor, because net/http tells
// nobody, does one that has had answers before and on which the piece came at once: it is closed, which RFC 9112, section 9.5 allows.
func answerLate(c *tls.Conn, state http.ConnState) {
	below, ok := c.NetConn().(*conn)
	if !ok || state != http.StateActive || !below.late.Load() || c.ConnectionState().NegotiatedProtocol == "h2" {
		return
	}
	_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // so short an answer waits only for somebody who takes none
	_, _ = io.WriteString(c, requestTimeout)
	_ = c.CloseWrite() // net/http can write nothing after it
}
