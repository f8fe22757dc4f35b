package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"promess/authgw/internal/cardwire"
)

// gatewayClient talks to one gateway. Each exchange has its own connection: nothing of a handshake, and so nothing of a
// card, is kept for the next one. No proxy, no redirect, and every answer bounded.
type gatewayClient struct {
	gateway Gateway
	version string
	timeout time.Duration // of one exchange
	signing time.Duration // of a signature of the card, on top of it
}

// errorWord is what the agent shows of a gateway's error.
var errorWord = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)

// opaque is what the agent takes for a code or a watch token: it becomes part of a URL, or of a request.
var opaque = regexp.MustCompile(`^[A-Za-z0-9_.~-]{16,512}$`)

// fetch tells the gateway that the agent has the login.
func (c *gatewayClient) fetch(ctx context.Context, handle string) (cardwire.Fetched, error) {
	ctx, done := context.WithTimeout(ctx, c.timeout)
	defer done()
	var answer cardwire.Fetched
	err := c.call(ctx, c.gateway.Origin, cardwire.FetchPath, c.tls(), cardwire.Fetch{Handle: handle, Version: c.version}, &answer)
	if err == nil && answer.ExpiresIn <= 0 {
		err = errUnknown
	}
	return answer, err
}

// tell says what has become of the card. present is held by the gateway.
func (c *gatewayClient) tell(ctx context.Context, watch cardwire.Watch) (cardwire.Watched, error) {
	wait := c.timeout
	if watch.Card == cardwire.CardPresent {
		wait += cardwire.WatchHold * time.Second
	}
	ctx, done := context.WithTimeout(ctx, wait)
	defer done()
	var answer cardwire.Watched
	err := c.call(ctx, c.gateway.Origin, cardwire.WatchPath, c.tls(), watch, &answer)
	return answer, err
}

// tls is the configuration of a connection: the server's certificate is verified against its name, always.
func (c *gatewayClient) tls() *tls.Config {
	return &tls.Config{
		RootCAs:                c.gateway.Roots,
		MinVersion:             tls.VersionTLS12,
		SessionTicketsDisabled: true, // and no ClientSessionCache: no handshake without the card
	}
}

// call makes one exchange on a connection of its own.
func (c *gatewayClient) call(ctx context.Context, origin, path string, config *tls.Config, in, out any) error {
	conn, err := c.dial(ctx, origin, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	return exchange(ctx, conn, origin+path, in, out)
}

// dial connects and completes the handshake.
func (c *gatewayClient) dial(ctx context.Context, origin string, config *tls.Config) (*tls.Conn, error) {
	u, err := url.Parse(origin)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreached, err) // unreachable: checked by New
	}
	address := c.gateway.Dial
	if address == "" {
		port := u.Port()
		if port == "" {
			port = "443"
		}
		address = net.JoinHostPort(u.Hostname(), port)
	}
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUnreached, err)
	}
	config.ServerName = u.Hostname()
	conn := tls.Client(raw, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, transportError(err)
	}
	return conn, nil
}

// transportError sorts the failure of a connection into what the person can do about it.
func transportError(err error) error {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%w: %w", errUntrusted, err)
	}
	// With TLS 1.3 the gateway's refusal of a client shows at the first read.
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return &refusedError{word: fmt.Sprintf("tls alert %d", uint8(alert))}
	}
	return fmt.Errorf("%w: %w", errUnreached, err)
}

// exchange posts in on conn and reads out.
func exchange(ctx context.Context, conn net.Conn, target string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode request: %w", err) // unreachable: plain structs
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err) // unreachable: checked by New
	}
	req.Header.Set("Content-Type", "application/json")
	transport := &http.Transport{
		DialTLSContext:         func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 16 << 10,
	}
	// A transport follows no redirect and knows no proxy that it was not given.
	res, err := transport.RoundTrip(req)
	if err != nil {
		return transportError(err)
	}
	defer res.Body.Close()
	return decode(res, out)
}

// decode reads an answer of at most cardwire.MaxBody bytes.
func decode(res *http.Response, out any) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, cardwire.MaxBody+1))
	switch {
	case err != nil:
		return transportError(err)
	case len(body) > cardwire.MaxBody:
		return &refusedError{word: "answer_too_large"}
	case res.StatusCode == http.StatusOK:
		if json.Unmarshal(body, out) != nil {
			return &refusedError{word: "answer_malformed"}
		}
		return nil
	}
	var e cardwire.Error
	if json.Unmarshal(body, &e) != nil || !errorWord.MatchString(e.Error) {
		return &refusedError{word: fmt.Sprintf("status %d", res.StatusCode)}
	}
	if e.Error == "login_unknown" {
		return errUnknown
	}
	return &refusedError{word: strings.ToLower(e.Error)}
}
