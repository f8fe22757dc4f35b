package psc

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

const (
	maxAnswer      = 512 << 10 // of any endpoint; a userinfo of many situations has some 50 KB
	maxConnections = 8         // to a host
	keysPerMinute  = 12        // how often the keys are asked for: anybody can send a token with a key that nobody knows
	keysAtOnce     = 12
)

// Errors of the client that callers tell apart.
var (
	errDown     = errors.New("the last requests were not answered, so none is made for a while")
	errNotThere = errors.New("the host is not one of those that are allowed")
	errTooLarge = errors.New("the answer is too large")
	errTooOften = errors.New("the keys were asked for too often")
)

// guard makes the requests of a method: to its hosts alone, over TLS, with answers of bounded size that are read whole, and none while
// the breaker is open (F6, F10, B14).
type guard struct {
	method *Method
	next   http.RoundTripper
	keys   *rate.Limiter
}

func newClient(m *Method) *http.Client {
	config := &tls.Config{RootCAs: m.Roots, MinVersion: tls.VersionTLS12, Time: m.Now}
	if m.Auth == TLS && m.Certificate != nil {
		// The server may name authorities that are not those of the certificate's chain as we have it: it is shown in any case.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return m.Certificate, nil }
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxConnsPerHost: maxConnections, MaxIdleConnsPerHost: maxConnections,
		IdleConnTimeout: time.Minute, TLSHandshakeTimeout: m.Timeout, ResponseHeaderTimeout: m.Timeout, MaxResponseHeaderBytes: 64 << 10,
	}
	return &http.Client{
		Transport: &guard{method: m, next: transport, keys: rate.NewLimiter(rate.Every(time.Minute/keysPerMinute), keysAtOnce)},
		Timeout:   m.Timeout,
		// None of these endpoints has a reason to send us elsewhere, and a redirect would carry the code or the token on.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	m := g.method
	endpoint := m.endpoint(r.URL)
	if err := m.mayReach(r.URL); err != nil {
		return nil, err
	}
	if endpoint == "keys" {
		m.keyless.Store(true) // until they are here
		if !g.keys.AllowN(m.Now(), 1) {
			return nil, errTooOften
		}
	}
	probe := endpoint == "discovery" // tells nothing of the others, and is asked for seldom
	if !probe && !m.breaker.allow() {
		m.Observe(endpoint, "not_sent")
		return nil, errDown
	}
	answer, err := g.next.RoundTrip(r)
	if err == nil {
		err = readWhole(answer)
	}
	outcome, says := "error", unanswered
	switch {
	case err == nil:
		outcome = strconv.Itoa(answer.StatusCode/100) + "xx"
		if answer.StatusCode < 500 {
			says = answered
		}
		if endpoint == "keys" && answer.StatusCode == http.StatusOK {
			m.keyless.Store(false)
		}
	case errors.Is(r.Context().Err(), context.Canceled):
		outcome, says = "left", nothing
	}
	m.Observe(endpoint, outcome)
	if !probe {
		m.breaker.done(says)
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// readWhole reads the body of an answer, so that its end is within the bounds of time and size.
func readWhole(answer *http.Response) error {
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = errTooLarge
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return err
}

// mayReach refuses a URL that is not https on one of the hosts.
func (m *Method) mayReach(u *url.URL) error {
	host := strings.TrimSuffix(u.Host, ":443")
	if u.Scheme != "https" || u.User != nil || !slices.Contains(m.Hosts, host) {
		return errNotThere
	}
	return nil
}

// endpoint names what a URL is of.
func (m *Method) endpoint(u *url.URL) string {
	text := u.String()
	d := m.current.Load()
	switch {
	case text == m.discoveryURL():
		return "discovery"
	case d == nil:
	case text == d.config.TokenURL:
		return "token"
	case text == d.config.UserInfoURL:
		return "userinfo"
	case text == d.config.JWKSURL:
		return "keys"
	}
	return "other"
}
