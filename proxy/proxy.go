package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Limits of the way to a service. Bodies have no limit in size; they move on, or they are cut off (see stream.go).
const (
	dialTimeout = 5 * time.Second
	// answerTimeout is from the end of the request to the head of the answer: less than the listener gives an answer, so that
	// the page that says so can still be sent.
	answerTimeout = 45 * time.Second
	// idleTimeout is less than any server waits by itself (Apache: 5 s). A server that closes a connection just as a form is sent
	// on it would cost the person the form: a POST is not sent twice.
	idleTimeout       = 4 * time.Second
	idlePerService    = 256
	maxResponseHeader = 256 << 10
	bufferSize        = 32 << 10
)

// Config is what a Proxy is made of.
type Config struct {
	Service string // name, for logs
	Origin  string // of the service host, as browsers see it: WebSockets of other origins are refused
	Backend *url.URL
	Roots   *x509.CertPool // authorities of an https backend; nil: those of the system
	Gate    Gate
	Log     *slog.Logger
	// Observe is told of each request when it is over: the status of its answer, and how long the head of it took. Of a request
	// whose client went before, the status is zero. It may be called by several goroutines; nil: nobody is told.
	Observe func(status int, d time.Duration)
}

// Proxy forwards to one service.
type Proxy struct {
	config    Config
	strip     stripper
	transport *http.Transport
	forward   *httputil.ReverseProxy
	log       *slog.Logger
}

// New returns a Proxy.
func New(c Config) (*Proxy, error) {
	if c.Backend == nil || (c.Backend.Scheme != "http" && c.Backend.Scheme != "https") || c.Backend.Host == "" {
		return nil, fmt.Errorf("service %q: the backend is not an http or https URL", c.Service)
	}
	if c.Gate == nil || c.Log == nil || c.Origin == "" {
		return nil, errors.New("proxy: Gate, Log and Origin are required")
	}
	p := &Proxy{config: c, strip: newStripper(), log: c.Log.With("service", c.Service)}
	p.transport = newTransport(c.Roots)
	p.forward = &httputil.ReverseProxy{
		Rewrite:        p.rewrite,
		ModifyResponse: p.modifyResponse,
		ErrorHandler:   p.failed,
		Transport:      finalAnswers{p.transport},
		BufferPool:     &buffers{},
		ErrorLog:       slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		FlushInterval:  0, // server-sent events and answers of unknown length are flushed at once by ReverseProxy itself
	}
	return p, nil
}

func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		Proxy:                  nil, // the environment has no say in where a mailbox is
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  answerTimeout,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        idleTimeout,
		MaxIdleConnsPerHost:    idlePerService,
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true, // what the client and the service agree on passes as it is
	}
}

// passage is a request on its way: what ServeHTTP hands to rewrite and failed in the context.
type passage struct {
	id   Identity
	in   *http.Request // as it came in
	body *rollingBody  // nil when it has none
}

type passageKey struct{}

// ServeHTTP forwards a request with a session, and has the gate answer any other.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.config.Observe == nil {
		p.serve(w, r)
		return
	}
	o := &observed{ResponseWriter: w, began: time.Now()}
	defer func() { p.config.Observe(o.status, o.took) }() // when the client goes, by a panic
	p.serve(o, r)
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace { // TRACE would show cookies and identity to a script
		p.config.Gate.Refuse(w, r, NotAllowed)
		return
	}
	id, err := p.config.Gate.Identify(r)
	switch {
	case errors.Is(err, ErrNoSession):
		p.config.Gate.Refuse(w, r, NoSession)
		return
	case errors.Is(err, ErrNotAllowed):
		p.config.Gate.Refuse(w, r, NoAccess)
		return
	case err != nil:
		if r.Context().Err() == nil {
			p.log.Error("identity not found out", "error", err)
		}
		p.config.Gate.Refuse(w, r, Unavailable)
		return
	}
	if !upgradeAllowed(r, p.config.Origin) {
		p.config.Gate.Refuse(w, r, Forbidden)
		return
	}
	body := newRollingBody(w, r.Body)
	if body != nil {
		defer body.finish()
	}
	ctx := context.WithValue(r.Context(), passageKey{}, passage{id, r, body})
	if id.Hold != nil {
		held, release := id.Hold(ctx)
		defer release()
		ctx = held
	}
	out := r.WithContext(ctx)
	if body != nil {
		out.Body = body
	}
	rolling := newRollingWriter(ctx, w, body != nil)
	defer rolling.finish()
	p.forward.ServeHTTP(rolling, out)
}

// upgradeAllowed lets WebSockets of the service's own pages through, and no other change of protocol: with h2c a client would talk to
// the service past the gateway. RFC 6455, section 10.2: a browser says whose script opens a WebSocket, and sends cookies whoever it is.
func upgradeAllowed(r *http.Request, origin string) bool {
	upgrade := r.Header.Values("Upgrade")
	if len(upgrade) == 0 {
		return true
	}
	return len(upgrade) == 1 && strings.EqualFold(strings.TrimSpace(upgrade[0]), "websocket") && r.Method == http.MethodGet && sameOrigin(r, origin)
}

func sameOrigin(r *http.Request, origin string) bool {
	origins := r.Header.Values("Origin")
	return len(origins) == 1 && origins[0] == origin
}

// WebSocketAllowed says whether a request that reaches its service by another proxy opens no WebSocket, or one of a page of origin. That
// proxy may have removed Upgrade; a browser that opens one always says Sec-WebSocket-Key or, on HTTP/2, Sec-WebSocket-Version
// (RFC 6455, section 4.1; RFC 8441, section 5), which no script can leave out.
func WebSocketAllowed(r *http.Request, origin string) bool {
	for _, name := range []string{"Upgrade", "Sec-Websocket-Key", "Sec-Websocket-Version"} {
		if len(r.Header.Values(name)) > 0 {
			return sameOrigin(r, origin)
		}
	}
	return true
}

// rewrite makes the request for the service. It runs after ReverseProxy has removed the headers that the client's Connection header
// names, so that header cannot remove ours (B3).
func (p *Proxy) rewrite(pr *httputil.ProxyRequest) {
	out := pr.Out
	out.URL.Scheme, out.URL.Host = p.config.Backend.Scheme, p.config.Backend.Host
	out.URL.RawQuery = pr.In.URL.RawQuery // as the client wrote it: nothing here decides by it (B13)
	keepSpelling(out.URL)
	out.Host = pr.In.Host // the vhost has compared it with the name of the TLS handshake
	p.strip.strip(out.Header)
	out.Trailer = nil // headers by another way (B2)
	stripCookies(out.Header)
	pr.SetXForwarded() // from the connection; those of the client are gone
	if way, ok := out.Context().Value(passageKey{}).(passage); ok {
		way.id.set(out.Header)
	}
}

// keepSpelling makes a path go out as it came in (C1). net/url encodes a path anew when it finds a character in it that RFC 3986 does
// not allow there, such as the bar that browsers send as it is, and loses the difference between "/" and "%2F" with that. So what is not
// allowed is encoded here, and nothing else.
func keepSpelling(u *url.URL) {
	if u.RawPath == "" || u.EscapedPath() == u.RawPath {
		return
	}
	var b strings.Builder
	for _, c := range []byte(u.RawPath) {
		if c >= 0x80 || strings.IndexByte("\"#<>?\\^`{|} ", c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	u.RawPath = b.String()
}

// failed answers a request that the service did not answer.
func (p *Proxy) failed(w http.ResponseWriter, out *http.Request, err error) {
	way, _ := out.Context().Value(passageKey{}).(passage) // always there: ServeHTTP put it in
	var netErr net.Error
	switch {
	case way.body != nil && way.body.stalled.Load(): // net/http takes a client that stalls for one that has gone, so this comes first
		p.config.Gate.Refuse(w, way.in, Stalled)
	case way.in.Context().Err() != nil: // the client has gone: nobody hears an answer
		panic(http.ErrAbortHandler)
	case out.Context().Err() != nil: // the session is over
		p.config.Gate.Refuse(w, way.in, NoSession)
	case errors.As(err, &netErr) && netErr.Timeout():
		p.log.Warn("service too slow", "error", err)
		p.config.Gate.Refuse(w, way.in, BackendSlow)
	default:
		p.log.Warn("service not reached", "error", err)
		p.config.Gate.Refuse(w, way.in, BackendDown)
	}
}

// buffers lends the buffers of copies. It is safe for concurrent use.
type buffers struct{ pool sync.Pool }

var _ httputil.BufferPool = (*buffers)(nil)

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if v, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return v[:]
	}
	return make([]byte, bufferSize)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(v []byte) {
	if len(v) == bufferSize {
		b.pool.Put((*[bufferSize]byte)(v))
	}
}
