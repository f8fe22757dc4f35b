package proxy

import (
	"bufio"
	"net"
	"net/http"
	"time"
)

// observed is an answer that remembers its head.
type observed struct {
	http.ResponseWriter
	began  time.Time
	took   time.Duration
	status int // zero until there is one
}

// Unwrap lets http.ResponseController reach the connection.
func (o *observed) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// WriteHeader notes the status of the answer. Those before the last (RFC 9110, section 15.2) are not it.
func (o *observed) WriteHeader(status int) {
	if status >= 200 {
		o.head(status)
	}
	o.ResponseWriter.WriteHeader(status)
}

func (o *observed) Write(p []byte) (int, error) {
	o.head(http.StatusOK)
	return o.ResponseWriter.Write(p)
}

// Hijack is what ReverseProxy does for a change of protocol, the one status that it writes to the connection itself.
func (o *observed) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := http.NewResponseController(o.ResponseWriter).Hijack()
	if err == nil {
		o.head(http.StatusSwitchingProtocols)
	}
	return conn, brw, err
}

func (o *observed) head(status int) {
	if o.status == 0 {
		o.status, o.took = status, time.Since(o.began)
	}
}
