package demo

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"promess/authgw/internal/config"
	"promess/authgw/proxy"
)

//go:embed pages
var pages embed.FS

// sample is a service behind the gateway, such as somebody else would write it. It knows nobody but by the gateway's headers, and
// believes these because the signed assertion says the same.
type sample struct {
	service  config.Service
	listener net.Listener
	issuer   string
	keys     keySet
	page     *template.Template
}

func newSample(s config.Service, l net.Listener, issuer string, keys keySet) *sample {
	return &sample{service: s, listener: l, issuer: issuer, keys: keys, page: template.Must(template.ParseFS(pages, "pages/service.html"))}
}

// samplePage is what the page shows.
type samplePage struct {
	Title    string
	Mail     bool
	Name     string
	Verified string // empty: the assertion was verified
	Rows     []sampleRow
}

type sampleRow struct{ Name, Value string }

// ServeHTTP shows the person what the service knows of them.
func (s *sample) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	switch r.URL.Path {
	case "/style.css":
		h.Set("Content-Type", "text/css; charset=utf-8")
		http.ServeFileFS(w, r, pages, "pages/service.css")
		return
	case "/":
	default:
		http.NotFound(w, r)
		return
	}
	page := samplePage{Title: s.service.Title, Mail: s.service.Name == "mail", Name: r.Header.Get(proxy.HeaderName)}
	for _, name := range []string{
		proxy.HeaderUser, proxy.HeaderNationalID, proxy.HeaderName, proxy.HeaderEmail, proxy.HeaderACR,
	} {
		page.Rows = append(page.Rows, sampleRow{name, r.Header.Get(name)})
	}
	if err := s.verify(r.Context(), r.Header.Get(proxy.HeaderAssertion), r.Header.Get(proxy.HeaderUser)); err != nil {
		page.Verified = err.Error()
	}
	h.Set("Content-Type", "text/html; charset=utf-8")
	if err := s.page.Execute(w, page); err != nil {
		return // the browser has gone
	}
}

// verify is what a service does that wants proof: the assertion is signed by the gateway, for this service, now, about this person.
func (s *sample) verify(ctx context.Context, assertion, user string) error {
	token, err := jwt.ParseSigned(assertion, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return fmt.Errorf("no assertion: %w", err)
	}
	keys, err := s.keys.fetch(ctx)
	if err != nil {
		return err
	}
	var claims jwt.Claims
	if err := token.Claims(keys, &claims); err != nil {
		return fmt.Errorf("not signed by the gateway: %w", err)
	}
	return claims.Validate(jwt.Expected{Issuer: s.issuer, Subject: user, AnyAudience: jwt.Audience{s.service.Name}, Time: time.Now()})
}

// keySet is the gateway's public keys, at their URL. The names of the demonstration may resolve in browsers only, hence dial.
type keySet struct {
	url, dial string
	roots     *x509.CertPool
}

// client reaches the gateway, by whatever name.
func (k keySet) client() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, k.dial)
		},
		TLSClientConfig: &tls.Config{RootCAs: k.roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
}

func (k keySet) fetch(ctx context.Context) (*jose.JSONWebKeySet, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := k.client().Do(r)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	defer answer.Body.Close()
	var set jose.JSONWebKeySet
	if err := json.NewDecoder(io.LimitReader(answer.Body, 64<<10)).Decode(&set); err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	return &set, nil
}
