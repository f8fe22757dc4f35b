package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The listener gives each request and each answer a fixed time, which is right for pages and wrong for attachments of 30 MB and for
// streams of hours. For these the time starts anew with each piece: who moves on may go on, who stalls is cut off.
const stallTimeout = 30 * time.Second

// rollingBody is a request body with a time for each read. The transport may read it in a goroutine that outlives the request, so it
// forgets the connection, under mu, as soon as there is nothing more to read: a deadline set later would be that of whatever the
// connection does next.
type rollingBody struct {
	io.ReadCloser
	stalled atomic.Bool

	mu      sync.Mutex
	control *http.ResponseController // nil when the body is over
}

// newRollingBody returns nil when there is no body.
func newRollingBody(w http.ResponseWriter, body io.ReadCloser) *rollingBody {
	if body == nil || body == http.NoBody {
		return nil
	}
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Time{}) // the listener's began with the request; the answer's own begins with the answer
	return &rollingBody{ReadCloser: body, control: c}
}

func (b *rollingBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if b.control != nil {
		_ = b.control.SetReadDeadline(time.Now().Add(stallTimeout)) // not supported: the listener's own time holds
	}
	b.mu.Unlock()
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.finish()
	}
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		b.stalled.Store(true)
	}
	return n, err
}

// finish says that no more time is to be given: the body has been read, or nobody will read it.
func (b *rollingBody) finish() {
	b.mu.Lock()
	b.control = nil
	b.mu.Unlock()
}

// smallAnswer is what any client takes within smallTimeout.
const (
	smallAnswer  = 1 << 20
	smallTimeout = 60 * time.Second
)

// rollingWriter is an answer with a time for each write, unless it is known to be small.
type rollingWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	atEnd   func(f func()) (stop func() bool) // context.AfterFunc of the request
	began   time.Time
	body    bool // the request had one, and so no deadline is set
	decided bool
	rolling bool
}

func newRollingWriter(ctx context.Context, w http.ResponseWriter, body bool) *rollingWriter {
	atEnd := func(f func()) func() bool { return context.AfterFunc(ctx, f) }
	return &rollingWriter{ResponseWriter: w, control: http.NewResponseController(w), atEnd: atEnd, began: time.Now(), body: body}
}

// finish bounds what is still to be sent when the handler has returned.
func (w *rollingWriter) finish() {
	if w.rolling || w.body {
		_ = w.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *rollingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Hijack hands the connection over until the request is over: one whose client takes nothing would outlive its session (B15).
func (w *rollingWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, brw, err := w.control.Hijack()
	if err == nil {
		w.atEnd(func() { conn.Close() })
	}
	return conn, brw, err
}

func (w *rollingWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.decide(status)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *rollingWriter) decide(status int) {
	if w.decided {
		return
	}
	w.decided = true
	n, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	w.rolling = status == http.StatusSwitchingProtocols || err != nil || n > smallAnswer
	switch {
	case w.rolling:
		_ = w.control.SetWriteDeadline(time.Time{}) // from now on each write has its own; not supported: the listener's holds
	case w.body || time.Since(w.began) > smallTimeout/6: // else enough is left of the listener's
		_ = w.control.SetWriteDeadline(time.Now().Add(smallTimeout))
	}
}

func (w *rollingWriter) Write(p []byte) (int, error) {
	w.decide(http.StatusOK)
	if !w.rolling {
		return w.ResponseWriter.Write(p)
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	n, err := w.ResponseWriter.Write(p)
	if err == nil {
		_ = w.control.SetWriteDeadline(time.Time{}) // the next piece may take its time to come: an event stream
	}
	return n, err
}

// FlushError sends what was written, within the time of a write.
func (w *rollingWriter) FlushError() error {
	if !w.rolling {
		return w.control.Flush()
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	err := w.control.Flush()
	if err == nil {
		_ = w.control.SetWriteDeadline(time.Time{})
	}
	return err
}
