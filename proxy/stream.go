package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// The listener gives each request and each answer a fixed time, which is right for pages and wrong for attachments of 30 MB and for
// streams of hours. For these the time starts anew with each piece: who moves on may go on, who stalls is cut off.
const stallTimeout = 30 * time.Second

// errClientStalled says that the client's body did not come.
var errClientStalled = errors.New("the request body stalled")

// rollingBody is a request body with a time for each read.
type rollingBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func newRollingBody(w http.ResponseWriter, body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody {
		return body
	}
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Time{}) // the listener's began with the request; the answer's own begins with the answer
	return &rollingBody{body, c}
}

func (b *rollingBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(stallTimeout)) // not supported: the listener's own time holds
	n, err := b.ReadCloser.Read(p)
	var netErr net.Error
	if errors.As(err, &netErr) && netErr.Timeout() {
		err = fmt.Errorf("%w: %w", errClientStalled, err)
	}
	return n, err
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
	began   time.Time
	body    bool // the request had one, and so no deadline is set
	decided bool
	rolling bool
}

func newRollingWriter(w http.ResponseWriter, body bool) *rollingWriter {
	return &rollingWriter{ResponseWriter: w, control: http.NewResponseController(w), began: time.Now(), body: body}
}

// finish bounds what is still to be sent when the handler has returned.
func (w *rollingWriter) finish() {
	if w.rolling || w.body {
		_ = w.control.SetWriteDeadline(time.Now().Add(stallTimeout))
	}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *rollingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

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
