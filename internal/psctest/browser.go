package psctest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// Client returns an HTTP client with cookies that trusts the stand-in, follows redirects, and shows a certificate when one is asked for.
func (s *Server) Client(tb testing.TB, certificates ...tls.Certificate) *http.Client {
	tb.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.roots, Certificates: certificates, MinVersion: tls.VersionTLS12}}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: patience}
}

// ErrChoice says that the stand-in shows its page where it was expected to send the browser back at once.
var ErrChoice = errors.New("psctest: the stand-in asks who it is")

// Choose plays a person in front of a browser: it opens an authorization URL, chooses a person on the page when it is shown ("" cancels),
// and returns where the stand-in sends the browser, without going there. A browser does the same with
// button[name=person][value=…].
func (s *Server) Choose(tb testing.TB, browser *http.Client, at, person string) *url.URL {
	tb.Helper()
	to, err := s.choose(tb.Context(), browser, at, &person)
	if err != nil {
		tb.Fatal(err)
	}
	return to
}

// Follow opens a URL of the stand-in and returns where it sends the browser, without going there, and nil when it shows a page at the
// end. When that is the choice, it returns ErrChoice.
func (s *Server) Follow(ctx context.Context, browser *http.Client, at string) (*url.URL, error) {
	return s.choose(ctx, browser, at, nil)
}

// action finds the form of the page.
var action = regexp.MustCompile(`<form method="post" action="([^"]+)"`)

func (s *Server) choose(ctx context.Context, browser *http.Client, at string, person *string) (*url.URL, error) {
	stepping := *browser
	stepping.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	for range 20 {
		if err != nil {
			return nil, err
		}
		response, err := stepping.Do(req)
		if err != nil {
			return nil, err
		}
		page, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		next, method, form := "", http.MethodGet, ""
		if response.StatusCode/100 == 3 {
			next = response.Header.Get("Location")
		} else {
			found := action.FindSubmatch(page)
			switch {
			case found == nil && response.StatusCode == http.StatusOK:
				return nil, nil
			case found == nil:
				return nil, fmt.Errorf("psctest: %s answers %s: %s", req.URL.Path, response.Status, page)
			case person == nil:
				return nil, ErrChoice
			}
			next, method, form = html.UnescapeString(string(found[1])), http.MethodPost, url.Values{"person": {*person}}.Encode()
		}
		to, err := req.URL.Parse(next)
		if err != nil {
			return nil, err
		}
		if to.Host != s.Hosts()[0] && to.Host != s.Hosts()[1] {
			return to, nil
		}
		req, err = http.NewRequestWithContext(ctx, method, to.String(), strings.NewReader(form))
		if err == nil && method == http.MethodPost {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	return nil, errors.New("psctest: the stand-in goes round in circles")
}
