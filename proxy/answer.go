package proxy

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// modifyResponse keeps a service from speaking for the gateway.
func (p *Proxy) modifyResponse(r *http.Response) error {
	stripSetCookies(r.Header)
	for name := range r.Header {
		if strings.HasPrefix(fold(name), "x-authgw-") {
			delete(r.Header, name)
		}
	}
	keepFromCaches(r)
	// The listener's to say, for the name and its port: how the host is reached. By Alt-Svc (RFC 7838) a service could send browsers, and
	// the cookies of the host with them, to another port.
	r.Header.Del("Strict-Transport-Security")
	r.Header.Del("Alt-Svc")
	if r.StatusCode != http.StatusSwitchingProtocols { // then the body is the connection
		r.Trailer, r.Body = nil, withoutTrailer{r.Body, r}
	}
	return nil
}

// withoutTrailer is the body of an answer whose trailer is dropped, as that of a request is: headers by another way.
type withoutTrailer struct {
	io.ReadCloser
	answer *http.Response
}

// Close implements io.Closer. The trailer was read with the end of the body, and ReverseProxy looks at it after Close.
func (b withoutTrailer) Close() error {
	err := b.ReadCloser.Close()
	b.answer.Trailer = nil
	return err
}

// keepFromCaches lets no browser keep what a person has read: after they have signed out, "back" must not show it. What pages load to
// look as they do (scripts, styles, images, fonts) is left to the service.
func keepFromCaches(r *http.Response) {
	switch r.Request.Header.Get("Sec-Fetch-Dest") {
	case "document", "iframe", "frame", "object", "embed":
		r.Header.Set("Cache-Control", "no-store")
	case "":
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "text/html" || kind == "application/xhtml+xml" {
			r.Header.Set("Cache-Control", "no-store")
			return
		}
		fallthrough
	case "empty": // a script's own requests
		if r.Header.Get("Cache-Control") == "" {
			r.Header.Set("Cache-Control", "no-store")
		}
	}
}

// finalAnswers is a transport that tells nobody of answers before the last. ReverseProxy would pass early ones (RFC 8297) on without
// modifyResponse having seen them, and drop the headers that the listener had set for the last.
type finalAnswers struct{ transport *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t finalAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	return t.transport.RoundTrip(r.WithContext(untraced{r.Context()}))
}

// untraced is a context without the net/http/httptrace hooks of ReverseProxy.
type untraced struct{ context.Context }

// Value implements context.Context.
func (c untraced) Value(key any) any {
	v := c.Context.Value(key)
	if _, ok := v.(*httptrace.ClientTrace); ok {
		return nil
	}
	return v
}
